"""The whole connector in memory and virtual time: cases that take long or need exact timing."""

import asyncio
import gc
from contextlib import suppress
from itertools import permutations
from weakref import ref

import pytest
from made_up_secrets import keyring
from tcp_stage import FENCE, Local

from cluster_kit.abc import MAX_PAYLOAD_BYTES
from cluster_kit.connectors.tcp import TcpConnector
from cluster_kit.connectors.tcp.dial import Route
from cluster_kit.connectors.tcp.hub import FLUSH_S
from cluster_kit.connectors.tcp.session import MAX_OUTGOING_BYTES
from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Node
from cluster_kit.testing import (
    BlackHole,
    Cut,
    Delay,
    Drop,
    FakeDiscovery,
    MemoryNetwork,
    SlowReader,
    run_virtually,
)


class Lan:
    """Nodes with a host each."""

    def __init__(self, seed=0):
        self.network = MemoryNetwork(seed=seed)
        self.nodes = []

    def node(self, basename, **options):
        number = len(self.nodes) + 1
        host = self.network.host(f"10.0.0.{number}", names=[basename])
        node = Local(
            basename, network=host, address=host.addresses[0], boot_id=BootId(number, 0), **options
        )
        self.nodes.append(node)
        return node


async def mesh(lan, size, **options):
    """Start nodes and have everybody link to everybody at once."""
    nodes = [lan.node(f"n{number}", **options) for number in range(size)]
    for node in nodes:
        await node.__aenter__()
    await asyncio.gather(*(one.link(other) for one, other in permutations(nodes, 2)))
    return nodes


def test_network_that_delays_everything_by_a_second():
    async def scenario():
        lan = Lan()
        lan.network.add(Delay(1.0))
        nodes = await mesh(lan, 5)
        await asyncio.sleep(60)
        for one, other in permutations(nodes, 2):
            assert one.history(other) == ["up"]
            assert one.links.of("rtt", other.name)[-1].data == pytest.approx(2.0, abs=0.1)
        leaver, *others = nodes
        await leaver.connector.stop()
        assert {await other.down(leaver) for other in others} == {Reason.LEFT}
        for other in others:
            await other.connector.stop()

    run_virtually(scenario())


def test_lost_goodbye_arrives_even_if_the_peer_keeps_sending():
    async def scenario():
        lan = Lan()
        ann, bob = await mesh(lan, 2)
        loss = lan.network.add(Drop(1.0), lan.network.hosts[0], lan.network.hosts[1])
        leaving = asyncio.create_task(ann.connector.stop())
        await asyncio.sleep(0.05)
        await bob.connector.update(bob.node.evolve(metadata={"zone": "b"}), leaving=False)
        await asyncio.sleep(0.05)
        lan.network.remove(loss)
        assert await bob.down(ann) is Reason.LEFT
        await leaving
        await bob.connector.stop()

    run_virtually(scenario())


def test_peer_behind_a_cut_is_silent_in_time_and_linked_again_after():
    async def scenario():
        lan = Lan()
        ann, bob = await mesh(lan, 2)
        await asyncio.sleep(10)
        since_s = asyncio.get_running_loop().time()
        cut = lan.network.add(Cut())
        for one, other in ((ann, bob), (bob, ann)):
            assert await one.down(other) is Reason.SILENT
        assert asyncio.get_running_loop().time() - since_s == pytest.approx(
            ann.connector.silent_s, abs=1.0
        )
        lan.network.remove(cut)
        await ann.link(bob)
        await bob.links.expect("up", ann.name, count=2)
        assert ann.history(bob) == bob.history(ann) == ["up", "down", "up"]
        for node in (ann, bob):
            await node.connector.stop()

    run_virtually(scenario())


def test_messages_to_a_slow_reader_delay_no_sign_of_life_for_long():
    async def scenario():
        lan = Lan()
        ann, bob = await mesh(lan, 2, silent_s=5.0)
        # bytes a second: what is under way in the window takes a good second
        lan.network.add(SlowReader(200_000))

        async def send():
            while True:
                await ann.connector.send(bob.node, bytes(MAX_PAYLOAD_BYTES))

        sending = asyncio.create_task(send())
        await asyncio.sleep(60)
        assert ann.history(bob) == bob.history(ann) == ["up"]
        received = sum(len(report.data) for report in bob.links.of("message", ann.name))
        assert received > 60 * 200_000 * 0.9
        assert max(report.data for report in ann.links.of("rtt", bob.name)) < 3.0
        await ann.connector.stop()
        with pytest.raises(ConnectError, match="it is lost"):
            await sending
        await bob.connector.stop()

    run_virtually(scenario())


def test_address_that_swallows_dials_does_not_hold_up_the_next():
    async def scenario():
        lan = Lan()
        ann = lan.node("ann")
        hole = lan.network.host("10.0.1.1", names=["seed"])
        bob = Local(
            "bob",
            network=lan.network.host("10.0.1.2", names=["seed"]),
            address="10.0.1.2",
            port=4370,
        )
        lan.network.add(BlackHole(), target=hole)
        async with ann, bob:
            since_s = asyncio.get_running_loop().time()
            assert (await ann.connector.connect(Node(address="seed:4370"))).name == bob.name
            assert asyncio.get_running_loop().time() - since_s < 0.3

    run_virtually(scenario())


def test_diagnosis_reports_how_long_the_answer_took():
    async def scenario():
        lan = Lan()
        lan.network.add(Delay(0.1))
        us = Node(name="ann@10.0.1.1", boot_id=BootId(7, 7))
        ctx = FakeDiscovery(us, fence=FENCE, announce=False, network=lan.network.host("10.0.1.1"))
        async with lan.node("bob") as bob:
            await asyncio.sleep(60)
            finding = await TcpConnector().diagnose(bob.node, ctx)
            assert float(finding.got.split()[-2]) == pytest.approx(400.0, abs=20.0), finding.got

    run_virtually(scenario())


def test_host_that_never_answers_is_a_timeout():
    async def scenario():
        lan = Lan()
        hole = lan.network.host("10.0.1.1")
        lan.network.add(BlackHole(), target=hole)
        async with lan.node("ann") as ann:
            with pytest.raises(ConnectError) as caught:
                await ann.connector.connect(Node(address="10.0.1.1:4370"))
            assert caught.value.reason is ConnectReason.TIMEOUT

    run_virtually(scenario())


def test_connect_under_way_when_the_connector_stops_fails_and_dials_no_more():
    async def scenario():
        lan = Lan()
        lan.network.add(Delay(0.5))
        ann, bob = lan.node("ann"), lan.node("bob")
        async with ann, bob:
            connecting = asyncio.create_task(ann.connect(bob))
            await asyncio.sleep(0.2)
            await ann.connector.stop()
            assert asyncio.all_tasks() <= {asyncio.current_task(), connecting}
            with pytest.raises(ConnectError, match="we are stopping"):
                await connecting
            await asyncio.sleep(60)
            assert ann.history(bob) == bob.history(ann) == []

    run_virtually(scenario())


def test_connect_cancelled_during_the_stop_raises_cancelled_error():
    async def scenario():
        lan = Lan()
        lan.network.add(Delay(0.5))
        ann, bob = lan.node("ann"), lan.node("bob")
        async with ann, bob:
            connecting = asyncio.create_task(ann.connect(bob))
            await asyncio.sleep(0.2)
            connecting.cancel()
            await ann.connector.stop()
            with pytest.raises(asyncio.CancelledError):
                await connecting

    run_virtually(scenario())


def test_stop_waits_only_briefly_for_unreachable_peers():
    async def scenario():
        lan = Lan()
        ann, bob = await mesh(lan, 2)
        lan.network.add(Cut())
        since_s = asyncio.get_running_loop().time()
        for node in (ann, bob):
            await asyncio.wait_for(node.connector.stop(), 60)
        assert asyncio.get_running_loop().time() - since_s == pytest.approx(2 * FLUSH_S)

    run_virtually(scenario())


def test_stopped_connector_is_garbage_collected():
    async def scenario():
        lan = Lan()
        nodes = await mesh(lan, 2, exchange=True)
        hubs = [ref(node.connector._hub) for node in nodes]
        for node in nodes:
            await node.connector.stop()
        await asyncio.sleep(60)
        gc.collect()
        assert [hub() for hub in hubs] == [None, None]

    run_virtually(scenario())


def test_departed_peer_is_not_hinted_to_newcomers():
    async def scenario():
        lan = Lan()
        ann, bob, cat = await mesh(lan, 3, exchange=True)
        await cat.connector.stop()
        await ann.down(cat)
        async with lan.node("dan", exchange=True) as dan:
            await dan.link(ann)
            await dan.links.expect("hint", bob.name)
            await asyncio.sleep(60)
            assert not dan.links.of("hint", cat.name)
        for node in (ann, bob):
            await node.connector.stop()

    run_virtually(scenario())


def test_repeated_dials_do_not_leak_memory():
    def dials():
        gc.collect()
        return sum(isinstance(each, Route | asyncio.Future) for each in gc.get_objects())

    async def scenario():
        lan = Lan()
        async with lan.node("ann") as ann, lan.node("bob") as bob:
            counts = []
            for number in range(20):
                with pytest.raises(ConnectError, match="refused"):
                    await ann.connector.connect(Node(address=f"10.0.0.2:{number + 1}"))
                await ann.connect(bob)
                counts.append(dials())
            assert counts[10:] == counts[9:-1]

    run_virtually(scenario())


def test_waiting_sender_gets_an_error_when_the_link_is_lost():
    async def scenario():
        lan = Lan()
        ann, bob = await mesh(lan, 2)
        lan.network.add(Cut())
        now_s = asyncio.get_running_loop().time
        since_s, sent_s = now_s(), []

        async def send():
            while True:
                await ann.connector.send(bob.node, bytes(MAX_PAYLOAD_BYTES))
                sent_s.append(now_s())

        with pytest.raises(ConnectError, match="it is lost"):
            await send()
        assert max(sent_s) < since_s + 1.0, "the message that waited is lost too"
        assert await ann.down(bob) is Reason.SILENT
        for node in (ann, bob):
            await node.connector.stop()

    run_virtually(scenario())


def test_senders_that_time_out_leave_the_link_alone():
    async def scenario():
        lan = Lan()
        ann, bob = await mesh(lan, 2, silent_s=3600.0)
        cut = lan.network.add(Cut())
        for _ in range(2 * MAX_OUTGOING_BYTES // MAX_PAYLOAD_BYTES):
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await ann.connector.send(bob.node, bytes(MAX_PAYLOAD_BYTES))
        lan.network.remove(cut)
        await asyncio.sleep(60)
        assert bob.links.of("message", ann.name)
        assert ann.history(bob) == bob.history(ann) == ["up"]
        for node in (ann, bob):
            await node.connector.stop()

    run_virtually(scenario())


@pytest.mark.parametrize("ring", [None, keyring(1)], ids=["plain", "secret"])
@pytest.mark.parametrize("seed", range(20))
def test_mesh_on_a_lossy_network_has_one_link_per_pair_and_is_deterministic(seed, ring):
    def story():
        async def scenario():
            lan = Lan(seed)
            lan.network.add(Delay(0.01, jitter_s=0.2))
            lan.network.add(Drop(0.1))
            nodes = await mesh(lan, 6, keyring=ring)
            await asyncio.sleep(20)
            for one, other in permutations(nodes, 2):
                states = (one.history(other)[-1], other.history(one)[-1])
                assert states in {("up", "up"), ("down", "down")}
            for node in nodes:
                await node.connector.stop()
            return [(node.links.reports, node.links.network.traffic) for node in nodes]

        return run_virtually(scenario())

    assert story() == story()
