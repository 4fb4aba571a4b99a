"""Links under a secret: which peers get in, what both ends report, and what strangers can do."""

import asyncio
import gc
import socket
import ssl
from contextlib import ExitStack

import pytest
from made_up_secrets import keyring
from tcp_refusals import refusal, told, until_told
from tcp_stage import DEADLINE_S, FENCE, Local
from tcp_strangers import hello_of_a_client
from waiting import run

from cluster_kit.connectors.tcp import TcpConnector, admission
from cluster_kit.connectors.tcp.handshake_queue import MAX_AT_ONCE
from cluster_kit.diagnosis import Outcome
from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.node import BootId, Node, split_address
from cluster_kit.security import Security
from cluster_kit.security.links import ProtectedStream
from cluster_kit.testing import FakeDiscovery
from cluster_kit.wire.frames import MAGIC, VERSION, Hello, Identity, Refusal, encode

BOOT = BootId(5, 5)


def node(basename, ring, **options):
    """Return a node that holds secrets, or none."""
    return Local(basename, keyring=ring, **options)


def test_members_link_under_tls_and_know_each_other_by_proof():
    async def scenario():
        async with node("ann", keyring(1)) as ann, node("bob", keyring(1)) as bob:
            assert await ann.connect(bob) == bob.node
            await bob.links.expect("up", ann.name)
            (session,) = bob.connector._hub._sessions.values()
            assert isinstance(session._stream, ProtectedStream)
            assert session.certified.name == ann.name
            await ann.connector.stop()
            await bob.down(ann)

    run(scenario)


def test_nothing_of_a_link_can_be_read_on_the_way():
    async def scenario():
        heard = bytearray()

        async def relay(reader, writer):
            far_reader, far_writer = await asyncio.open_connection(*split_address(bob.node.address))
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

        async def pump(reader, writer):
            while data := await reader.read(4096):
                heard.extend(data)
                writer.write(data)
            writer.close()

        async with node("ann", keyring(1)) as ann, node("bob", keyring(1)) as bob:
            server = await asyncio.start_server(relay, "127.0.0.1", 0)
            async with server:
                address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
                assert await ann.connector.connect(Node(address=address)) == bob.node
                await ann.connector.stop()
                await bob.down(ann)
            assert len(heard) > 1000
            for word in (b"ann@", b"bob@", FENCE.cluster.encode(), b"leaving"):
                assert word not in heard

    run(scenario)


def test_another_secret_is_reported_at_both_ends(caplog):
    async def scenario():
        async with node("ann", keyring(1)) as ann, node("bob", keyring(2)) as bob:
            error = await refusal(ann, bob)
            assert error.reason is ConnectReason.AUTH
            assert error.retryable
            for part in (
                bob.name,
                bob.node.address,
                "it does not hold our secret",
                "give both nodes the same secret",
            ):
                assert part in str(error)
            (line,) = await until_told(caplog)
            assert "127.0.0.1" in line
            assert "it does not accept our secret" in line
            for _ in range(3):
                await refusal(ann, bob)
            assert len(told(caplog)) == 1
            assert ann.links.reports == bob.links.reports == []

    run(scenario)


def test_node_that_is_not_believed_learns_so(caplog):
    async def scenario():
        async with node("ann", keyring(2, 1)) as ann, node("bob", keyring(1)) as bob:
            error = await refusal(ann, bob)
            assert error.reason is ConnectReason.AUTH
            assert "it does not accept our secret" in str(error)
            (line,) = await until_told(caplog)
            assert "it does not hold our secret" in line

    run(scenario)


@pytest.mark.parametrize(
    ("anns", "bobs", "why", "whys"),
    [
        (
            None,
            keyring(1),
            "it has a secret or certificates that this node lacks",
            "it has no secret, and this node has one",
        ),
        (
            keyring(1),
            None,
            "it has no secret, and this node has one",
            "it has a secret or certificates that this node lacks",
        ),
    ],
    ids=["dialler", "acceptor"],
)
def test_which_end_has_no_secret_is_reported_at_both_ends(caplog, anns, bobs, why, whys):
    async def scenario():
        async with node("ann", anns) as ann, node("bob", bobs) as bob:
            error = await refusal(ann, bob)
            assert error.reason is ConnectReason.AUTH
            cause = f"{bob.name!r} at {bob.node.address!r}: {why}: give both nodes the same secret"
            assert cause in str(error)
            (line,) = await until_told(caplog)
            assert whys in line
            assert ann.links.reports == bob.links.reports == []

    run(scenario)


def test_server_of_another_kind_is_no_question_of_secrets():
    async def scenario():
        async def serve(reader, writer):
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server, node("ann", keyring(1)) as ann:
            target = Node(address=f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
            with pytest.raises(ConnectError, match="does not speak TLS") as raised:
                await ann.connector.connect(target)
            assert raised.value.reason is ConnectReason.PROTOCOL

    run(scenario)


@pytest.mark.parametrize("lied_to", ["acceptor", "dialler"])
def test_member_can_speak_for_itself_only(lied_to, caplog):
    async def scenario():
        liar, honest = node("mallory", keyring(1)), node("bob", keyring(1))
        liar.links.security = Security(Node(name="eve@127.0.0.1", boot_id=BOOT), keyring(1))
        async with liar, honest:
            if lied_to == "acceptor":
                assert (await refusal(liar, honest)).reason is ConnectReason.RESET
            else:
                error = await refusal(honest, liar)
                assert error.reason is ConnectReason.NAME
                identity = "calls itself 'mallory@127.0.0.1', and has proved to be 'eve@127.0.0.1'"
                assert identity in str(error)
            assert "proved to be 'eve@127.0.0.1'" in (await until_told(caplog))[0]
            assert honest.links.of("up") == []

    run(scenario)


@pytest.mark.parametrize("reason", ["self", "conflict", "crossed", "leaving", "foreign", "full"])
def test_refusal_from_an_unproven_peer_is_not_believed(reason):
    async def scenario():
        async def serve(reader, writer):
            await reader.read(1)
            writer.write(encode(Refusal(reason=reason, rival=(1, 1))))
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server, node("ann", keyring(1)) as ann:
            target = Node(
                name="bob@127.0.0.1", address=f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            )
            with pytest.raises(ConnectError) as raised:
                await ann.connector.connect(target)
            assert raised.value.reason is ConnectReason.AUTH
            assert ann.links.reports == []

    run(scenario)


def test_hello_from_an_unproven_peer_is_not_believed():
    async def scenario():
        async with node("ann", keyring(1)) as ann:
            # our own name and boot
            identity = Identity.of(ann.node, FENCE, leaving=False, wanted=True)
            reader, writer = await asyncio.open_connection(*split_address(ann.node.address))
            writer.write(encode(Hello(magic=MAGIC, version=VERSION, identity=identity)))
            assert (await reader.read())[:1] == b"\x15"  # an alert, and nothing else
            writer.close()
            assert ann.links.reports == []

    run(scenario)


def test_node_is_tried_under_its_secret():
    async def scenario():
        async with node("bob", keyring(1)) as bob:
            ann = Node(name="ann@127.0.0.1", boot_id=BOOT)
            outcomes = {}
            for secret in (1, 2, None):
                ctx = FakeDiscovery(
                    ann, fence=FENCE, announce=False, keyring=secret and keyring(secret)
                )
                outcomes[secret] = await TcpConnector().diagnose(bob.node, ctx)
            assert outcomes[1].outcome is Outcome.OK
            assert (outcomes[2].outcome, outcomes[2].got) == (Outcome.FAILED, "auth")
            assert "it does not hold our secret" in outcomes[2].cause
            assert "it has a secret or certificates that this node lacks" in outcomes[None].cause
            assert bob.links.reports == []

    run(scenario)


def test_diagnosis_exposes_a_node_that_claims_another_name():
    async def scenario():
        liar = node("mallory", keyring(1))
        liar.links.security = Security(Node(name="eve@127.0.0.1", boot_id=BOOT), keyring(1))
        async with liar:
            ann = Node(name="ann@127.0.0.1", boot_id=BOOT)
            ctx = FakeDiscovery(ann, fence=FENCE, announce=False, keyring=keyring(1))
            finding = await TcpConnector().diagnose(liar.node, ctx)
            assert (finding.outcome, finding.got) == (Outcome.FAILED, "name")
            assert "has proved to be 'eve@127.0.0.1'" in finding.cause

    run(scenario)


def test_links_stay_when_secrets_change_and_new_ones_use_the_new():
    async def scenario():
        async with node("ann", keyring(1)) as ann, node("bob", keyring(1)) as bob:
            await ann.link(bob)
            for ring in (keyring(1, 2), keyring(2, 1), keyring(2)):
                for each in (ann, bob):
                    each.links.security.renew(ring)
            async with node("cat", keyring(2)) as cat:
                await cat.link(ann)
                await bob.link(cat)
            assert ann.history(bob) == ["up"]

    run(scenario)


def test_update_sends_the_current_secret_ids_to_peers():
    async def scenario():
        async with node("ann", keyring(1)) as ann, node("bob", keyring(1)) as bob:
            await ann.link(bob)
            bob.links.security.renew(keyring(1, 2))
            await bob.connector.update(bob.node, leaving=False)
            held = bob.links.security.secret_ids
            assert len(held) == 2
            await ann.links.until(
                lambda: held in [report.data for report in ann.links.of("secrets", bob.name)],
                "both secrets",
            )

    run(scenario)


def test_flood_of_strangers_leaves_links_and_descriptors_alone():
    async def scenario():
        async with node("ann", keyring(1)) as ann, node("bob", keyring(1)) as bob:
            await bob.link(ann)
            socks = [socket.create_connection(split_address(ann.node.address)) for _ in range(100)]
            for number, sock in enumerate(socks):
                sock.send((hello_of_a_client(), b"\x16\x03\x01", bytes(9), b"")[number % 4])
                sock.close()
            async with node("cat", keyring(1)) as cat:
                await cat.link(ann)
            async with asyncio.timeout(DEADLINE_S):
                while len(ann.connector._hub._sessions) > 1:  # noqa: ASYNC110 - no event reports it
                    await asyncio.sleep(0.05)
            assert ann.history(bob) == ["up"]

    run(scenario)


def handshakes_and_links():
    """Return how many ends of TLS this process has begun."""
    gc.collect()
    return sum(isinstance(each, ssl.SSLObject) for each in gc.get_objects())


def test_member_links_amid_a_crowd_that_sends_only_a_hello():
    async def scenario():
        async with (
            node("ann", keyring(1)) as ann,
            node("bob", keyring(1)) as bob,
            node("cat", keyring(1)) as cat,
        ):
            await bob.link(ann)
            before = handshakes_and_links()
            with ExitStack() as opened:
                for _ in range(admission.MAX_HALF_OPEN - 1):
                    sock = opened.enter_context(
                        socket.create_connection(split_address(ann.node.address))
                    )
                    sock.send(hello_of_a_client())
                queue = ann.connector._hub._admission._queue
                async with asyncio.timeout(DEADLINE_S):
                    while len(queue._waiting) < admission.MAX_HALF_OPEN - 1 - MAX_AT_ONCE:  # noqa: ASYNC110 - no event reports it
                        await asyncio.sleep(0)
                await cat.connect(ann)
                # one link more has two ends here
                assert handshakes_and_links() <= before + MAX_AT_ONCE + 2
            assert ann.history(bob) == ["up"]

    run(scenario)
