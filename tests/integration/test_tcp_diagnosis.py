"""A node is diagnosed without a link: each case has its report, and the node notices nothing."""

import asyncio
import logging
import socket
from contextlib import asynccontextmanager, suppress

import pytest
from tcp_stage import FENCE, Local, at
from waiting import run

from cluster_kit.connectors.tcp import TcpConnector
from cluster_kit.diagnosis import Outcome
from cluster_kit.node import MAX_NAME_CHARS, BootId, Fence, Node
from cluster_kit.testing import FakeDiscovery
from cluster_kit.wire.frames import Goodbye, Refusal, encode
from cluster_kit.wire.link import Farewell, LinkProtocol, Role

DEADLINE_S = 30.0
ANN = Node(name="ann@127.0.0.1", metadata={"zone": "a"}, boot_id=BootId(1, 1))


async def tried(node, *, local=ANN, fence=FENCE, **options):
    return await TcpConnector(**options).diagnose(
        node, FakeDiscovery(local, fence=fence, announce=False)
    )


def tried_bob(local=ANN, fence=FENCE, change=lambda bob: bob):
    """Try a running node; return what was found and what it reported."""

    async def scenario():
        async with Local("bob") as bob:
            finding = await tried(change(bob.node), local=local, fence=fence)
            # once this link is up, everything about the trial has been seen
            async with Local("cat") as cat:
                await cat.link(bob)
                await bob.links.expect("up", cat.name)
            reports = [
                report
                for report in bob.links.reports
                if report.node is None or report.node.name != cat.name
            ]
        return finding, reports

    return run(scenario)


@asynccontextmanager
async def acceptor(answer):
    """Yield the address of a node that calls ``answer`` for each connection; await all calls."""
    connections = []

    async def serve(reader, writer):
        connections.append(asyncio.current_task())
        with suppress(ConnectionError):
            await answer(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield at(server.sockets[0])
    await asyncio.gather(*connections)


# -- who answers -----------------------------------------------------------------------------------


def test_node_that_could_be_linked_to_is_ok_and_reports_nothing(caplog):
    caplog.set_level(logging.DEBUG, "cluster_kit")
    finding, reports = tried_bob()
    assert finding.outcome is Outcome.OK
    assert finding.asked.startswith("bob@127.0.0.1 at 127.0.0.1:")
    assert finding.got.startswith("answers in ")
    assert reports == []
    assert caplog.messages == []


def test_name_is_learned_where_only_an_address_was_known():
    finding, _ = tried_bob(change=lambda bob: Node(address=bob.address))
    assert finding.asked.startswith("127.0.0.1:")
    assert finding.got.startswith("answers as bob@127.0.0.1 in ")


def test_diagnosis_works_with_the_longest_name():
    host = ".".join(["h" * 61] * 4)
    name = f"{'a' * (MAX_NAME_CHARS - len(host) - 1)}@{host}"
    finding, _ = tried_bob(local=Node(name=name, boot_id=BootId(7, 7)))
    assert finding.outcome is Outcome.OK


def test_trying_as_the_namesake_of_a_node_is_no_name_conflict(caplog):
    finding, reports = tried_bob(local=Node(name="bob@127.0.0.1", boot_id=BootId(7, 7)))
    assert (finding.outcome, finding.got) == (Outcome.EMPTY, "this node itself")
    assert reports == []
    assert caplog.messages == []


def test_other_name_failed_with_both_names():
    finding, reports = tried_bob(change=lambda bob: bob.evolve(name="dan@127.0.0.1"))
    assert (finding.outcome, finding.got) == (Outcome.FAILED, "name")
    assert "'bob@127.0.0.1' answers" in finding.cause
    assert "expected 'dan@127.0.0.1'" in finding.cause
    assert reports == []


def test_another_node_at_an_address_listed_under_our_name_failed():
    finding, reports = tried_bob(change=lambda bob: bob.evolve(name=ANN.name))
    assert (finding.outcome, finding.got) == (Outcome.FAILED, "name")
    assert reports == []


@pytest.mark.parametrize("fence", [Fence("other", "web"), Fence("shop", "other")])
def test_foreign_cluster_or_group_failed(fence, caplog):
    finding, reports = tried_bob(fence=fence)
    assert (finding.outcome, finding.got) == (Outcome.FAILED, "foreign")
    assert (
        finding.cause
        == "it belongs to another cluster or group; give both nodes the same, or remove its address"
    )
    assert reports == []
    assert caplog.messages == []


def test_node_that_is_about_to_leave_is_no_failure():
    async def scenario():
        async with Local("bob") as bob:
            await bob.connector.update(bob.node, leaving=True)
            return await tried(bob.node)

    finding = run(scenario)
    assert (finding.outcome, finding.got) == (Outcome.OK, "about to leave, takes no new links")


# -- who doesn't -----------------------------------------------------------------------------------


@pytest.fixture
def closed_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def test_address_without_a_listener_failed(closed_port):
    finding = run(lambda: tried(Node(address=f"127.0.0.1:{closed_port}")))
    assert (finding.outcome, finding.got) == (Outcome.FAILED, "refused")
    assert finding.cause.endswith("nothing listens there; start the node or correct its address")


@pytest.mark.parametrize("name", [None, ANN.name])
def test_own_address_without_a_listener_is_this_node(closed_port, name):
    finding = run(
        lambda: tried(Node(name=name, address=f"127.0.0.1:{closed_port}"), port=closed_port)
    )
    assert (finding.outcome, finding.got) == (Outcome.EMPTY, "this node itself, which does not run")


def test_unresolvable_host_failed():
    finding = run(lambda: tried(Node(address="no-such-host.invalid:4000")))
    assert (finding.outcome, finding.got) == (Outcome.FAILED, "unreachable")


def test_address_of_another_connector_failed():
    finding = run(lambda: tried(Node(address="unix:/run/bob")))
    assert (finding.outcome, finding.got) == (Outcome.FAILED, "unreachable")


def test_node_without_address_failed():
    finding = run(lambda: tried(Node(name="bob@127.0.0.1")))
    assert (finding.outcome, finding.got) == (Outcome.FAILED, "unreachable")
    assert finding.asked == "bob@127.0.0.1"


async def hangs_up(reader, writer):
    await reader.read(1)


async def speaks_http(reader, writer):
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def says_goodbye_out_of_order(reader, writer):
    await reader.read(1)
    link = LinkProtocol(Role.ACCEPTOR)
    link.state = next(state for state in type(link.state) if state.name == "UP")
    writer.write(link.send(Goodbye(reason=Farewell.LEAVING)))


async def refuses_and_waits(reader, writer):
    await reader.read(1)
    writer.write(encode(Refusal(reason="full")))
    await reader.read()


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        (hangs_up, "reset"),
        (speaks_http, "protocol"),
        (says_goodbye_out_of_order, "protocol"),
        (refuses_and_waits, "full"),
    ],
)
def test_stranger_at_the_address_failed(answer, got):
    async def scenario():
        async with acceptor(answer) as node:
            return await tried(node)

    finding = run(scenario)
    assert (finding.outcome, finding.got) == (Outcome.FAILED, got)
    assert "\n" not in finding.cause


def test_cancelled_diagnosis_closes_its_connection():
    async def scenario():
        hello, end = asyncio.Event(), asyncio.Event()

        async def listen(reader, writer):
            await reader.read(1)
            hello.set()
            with suppress(ConnectionError):
                await reader.read()
            end.set()

        async with asyncio.timeout(DEADLINE_S), acceptor(listen) as node:
            trial = asyncio.create_task(tried(node))
            await hello.wait()
            trial.cancel()
            await end.wait()
            assert trial.cancelled()

    run(scenario)
