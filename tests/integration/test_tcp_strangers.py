"""What strangers get from a node: little time and few key exchanges, measured in virtual time."""

import asyncio
from contextlib import AsyncExitStack, contextmanager

import pytest
from made_up_secrets import keyring
from tcp_stage import Local
from tcp_strangers import MALLORY, StrangerInMemory, hello, hello_of_a_client

from cluster_kit.abc import MAX_PAYLOAD_BYTES
from cluster_kit.connectors.tcp.admission import KEY_EXCHANGES_PER_S, MAX_HALF_OPEN_PER_HOST
from cluster_kit.connectors.tcp.handshake_queue import MAX_AT_ONCE, TURN_S
from cluster_kit.connectors.tcp.hub import FLUSH_S, HANDSHAKE_S
from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.network import Endpoint
from cluster_kit.node import Fence, Node
from cluster_kit.testing import Drop, MemoryNetwork, run_virtually
from cluster_kit.wire.frames import PROTOCOL, Refusal, Welcome, encode

IN_TIME_S = pytest.approx(HANDSHAKE_S, abs=1.0)


class Lan:
    """A network in memory with a node, strangers on a host of their own, and a clock."""

    def __init__(self):
        self._network = MemoryNetwork()
        self.elsewhere = self._network.host("10.0.1.1")
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()

    @contextmanager
    def dropping_outgoing(self, host):
        """Drop everything that ``host`` sends to the host of the strangers."""
        loss = self._network.add(Drop(1.0), host, self.elsewhere)
        yield
        self._network.remove(loss)

    @property
    def now_s(self):
        return self._loop.time() - self._began_s

    def node(self, basename, host="10.0.0.1", **options):
        return Local(basename, network=self._network.host(host), address=host, **options)

    def stranger(self, node):
        return StrangerInMemory(node.node, self.elsewhere)


def test_port_scanner_learns_nothing():
    async def scenario():
        lan = Lan()
        async with lan.node("ann") as ann, lan.stranger(ann) as stranger:
            assert await stranger.shut_out() == b""
            assert lan.now_s == IN_TIME_S

    run_virtually(scenario())


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x04abcd"], ids=["http", "tls"]
)
def test_stranger_with_another_protocol_is_hung_up_on_at_once(garbage):
    async def scenario():
        lan = Lan()
        async with lan.node("ann") as ann, lan.stranger(ann) as stranger:
            stranger.send(garbage)
            assert await stranger.shut_out() == b""
            assert lan.now_s < 0.1

    run_virtually(scenario())


def test_node_under_tls_gets_a_refusal_and_is_hung_up_on_at_once():
    async def scenario():
        lan = Lan()
        async with lan.node("ann") as ann, lan.stranger(ann) as stranger:
            stranger.send(b"\x16\x03\x01\x00\x40" + PROTOCOL)
            assert await stranger.hear() == Refusal(reason="auth")
            assert await stranger.hear() is None
            assert lan.now_s < 0.1

    run_virtually(scenario())


def test_slow_handshake_is_cut_off_however_busy_it_looks():
    async def scenario():
        lan = Lan()
        async with lan.node("ann") as ann, lan.stranger(ann) as stranger:

            async def drip():
                for byte in encode(hello()):
                    stranger.send(bytes([byte]))
                    await asyncio.sleep(0.5)

            dripping = asyncio.create_task(drip())
            assert await stranger.shut_out() == b""
            assert not dripping.done()
            dripping.cancel()
            assert lan.now_s == IN_TIME_S
            assert ann.links.reports == []

    run_virtually(scenario())


def test_answered_stranger_that_never_confirms_is_not_up():
    async def scenario():
        lan = Lan()
        async with lan.node("ann") as ann, lan.stranger(ann) as stranger:
            stranger.say(hello())
            assert isinstance(await stranger.hear(), Welcome)
            assert await stranger.hear() is None
            assert lan.now_s == IN_TIME_S
            assert ann.links.reports == []

    run_virtually(scenario())


def test_peer_accepts_and_never_answers():
    async def scenario():
        lan = Lan()
        frozen = await lan.elsewhere.listen(Endpoint("10.0.1.1", 4370))
        accepted = []
        frozen.start(accepted.append)
        async with lan.node("ann") as ann:
            with pytest.raises(ConnectError) as caught:
                await ann.connector.connect(Node(address="10.0.1.1:4370"))
            assert lan.now_s == IN_TIME_S
            assert caught.value.reason is ConnectReason.TIMEOUT
            assert len(accepted) == 1
            assert ann.links.reports == []
        await frozen.close()

    run_virtually(scenario())


def test_stranger_that_sends_only_a_hello_is_hung_up_on():
    async def scenario():
        lan = Lan()
        async with (
            lan.node("ann", keyring=keyring(1)) as ann,
            lan.node("bob", "10.0.0.2", keyring=keyring(1)) as bob,
        ):
            await bob.connect(ann)
            async with lan.stranger(ann) as stranger:
                stranger.send(hello_of_a_client())
                await stranger.shut_out()
            assert lan.now_s == IN_TIME_S
            assert ann.history(bob) == ["up"]

    run_virtually(scenario())


def test_refused_stranger_that_receives_nothing_is_waited_for_briefly():
    async def scenario():
        lan = Lan()
        async with lan.node("ann", heartbeat_s=0.1) as ann, lan.stranger(ann) as stranger:
            with lan.dropping_outgoing(ann.links.network):
                stranger.say(hello(fence=Fence("elsewhere", "web")))
                await asyncio.sleep(FLUSH_S / 2)
                assert ann.connector._hub._sessions
                await asyncio.sleep(FLUSH_S)
                assert not ann.connector._hub._sessions

    run_virtually(scenario())


def test_waiting_sender_gets_an_error_when_the_peer_is_gone():
    async def scenario():
        lan = Lan()
        async with lan.node("ann") as ann, lan.stranger(ann) as stranger:
            await stranger.link(features=["messages"])
            await ann.links.expect("up", MALLORY.name)

            sent_s = []

            async def send():
                while True:
                    await ann.connector.send(MALLORY, bytes(MAX_PAYLOAD_BYTES))
                    sent_s.append(lan.now_s)

            with lan.dropping_outgoing(ann.links.network):
                sending = asyncio.create_task(send())
                await asyncio.sleep(1.0)
                stranger.writer.abort()
                since_s = lan.now_s
                with pytest.raises(ConnectError, match="it is lost"):
                    await asyncio.wait_for(sending, 1.0)
            assert max(sent_s) < since_s, "the message that waited is lost too"

    run_virtually(scenario())


def test_links_do_not_count_as_half_open_connections():
    async def scenario():
        lan = Lan()
        async with lan.node("ann") as ann, AsyncExitStack() as stack:
            for number in range(MAX_HALF_OPEN_PER_HOST + 1):
                stranger = await stack.enter_async_context(lan.stranger(ann))
                await stranger.link(MALLORY.evolve(name=f"n{number}@10.0.1.1"))
                await ann.links.expect("up", f"n{number}@10.0.1.1")

    run_virtually(scenario())


def test_connections_without_a_key_exchange_are_not_delayed():
    async def scenario():
        lan = Lan()
        async with lan.node("ann") as ann:
            for _ in range(2 * MAX_HALF_OPEN_PER_HOST):
                async with lan.stranger(ann) as stranger:
                    stranger.say(hello(fence=Fence("elsewhere", "web")))
                    assert await stranger.hear() == Refusal(reason="foreign")
                    assert await stranger.hear() is None
            assert lan.now_s < 1.0

    run_virtually(scenario())


def test_abandoned_handshakes_hold_up_no_other():
    async def scenario():
        lan = Lan()
        async with (
            lan.node("ann", keyring=keyring(1)) as ann,
            lan.node("bob", "10.0.0.2", keyring=keyring(1)) as bob,
        ):
            for _ in range(MAX_AT_ONCE):
                async with lan.stranger(ann) as stranger:
                    stranger.send(hello_of_a_client())
                    await stranger.reader.readexactly(100)
            await bob.connect(ann)
            assert lan.now_s < TURN_S / 2

    run_virtually(scenario())


def test_key_exchanges_with_one_host_are_spread():
    async def scenario():
        lan = Lan()
        async with lan.node("ann", keyring=keyring(1)) as ann:
            for _ in range(MAX_HALF_OPEN_PER_HOST + 8):
                async with lan.stranger(ann) as stranger:
                    stranger.send(hello_of_a_client())
                    await stranger.reader.readexactly(100)
            assert lan.now_s == pytest.approx(8 / KEY_EXCHANGES_PER_S, abs=0.05)

    run_virtually(scenario())


def delay_strangers(ann):
    """Let the key exchanges of strangers wait for a long time; return for how long."""
    exchanges = ann.connector._hub._admission._key_exchanges
    for _ in range(1000):
        wait_s = exchanges.wait_s("10.0.1.1", asyncio.get_running_loop().time())
    return wait_s


def test_stranger_delayed_for_too_long_is_hung_up_on():
    async def scenario():
        lan = Lan()
        async with lan.node("ann", keyring=keyring(1)) as ann:
            assert delay_strangers(ann) > 2 * HANDSHAKE_S
            async with lan.stranger(ann) as stranger:
                assert await stranger.shut_out() == b""
                assert lan.now_s == IN_TIME_S
                assert not ann.connector._hub._sessions

    run_virtually(scenario())


def test_stop_does_not_wait_for_delayed_connections():
    async def scenario():
        lan = Lan()
        async with lan.node("ann", keyring=keyring(1)) as ann:
            assert delay_strangers(ann) > 10 * FLUSH_S
            async with lan.stranger(ann) as stranger:
                await asyncio.sleep(FLUSH_S)
                since_s = lan.now_s
                await ann.connector.stop()
                assert lan.now_s - since_s < FLUSH_S
                assert await stranger.shut_out() == b""

    run_virtually(scenario())
