"""What ``Links`` logs of links that cannot be, and how it ends what it is to give up."""

import asyncio
import logging

import pytest

from cluster_kit.abc import Connector
from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.membership.reconciler import Connect, GiveUp
from cluster_kit.membership.reports import ConnectFailed
from cluster_kit.network.system import SystemNetwork
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.security import Security
from cluster_kit.worker.links import Links
from cluster_kit.worker.local_node import LocalNode
from cluster_kit.worker.untrusting import MOST_NAMED


class Clock:
    """Attended time that a test sets."""

    def __init__(self):
        self.time_s = 0.0

    def now_s(self):
        return self.time_s


def here():
    node = Node(name="ann@127.0.0.1", boot_id=BootId.new())
    return LocalNode(
        node=node, fence=Fence("c", "g"), network=SystemNetwork(), security=Security(node)
    )


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def links(clock):
    return Links(
        None,
        None,
        here=here(),
        partial=False,
        clock=clock,
        forwarding=None,
        connect_timeout_s=1.0,
        report=lambda report: None,
        tell=lambda event: None,
    )


def fail(links, name, reason=ConnectReason.NAME):
    links._log_failure(Node(name=name), ConnectError("tcp: not so", node=name, reason=reason))


def warned(caplog):
    return [
        record.getMessage().split(":")[0]
        for record in caplog.records
        if record.levelno >= logging.WARNING
    ]


def test_a_lasting_failure_is_told_once_an_hour(links, clock, caplog):
    for _ in range(120):
        fail(links, "b@h")
        clock.time_s += 60
    assert warned(caplog) == ["cannot link to b@h"] * 2


def test_secret_that_differs_is_told_once_a_minute(links, clock, caplog):
    for _ in range(120):
        fail(links, "b@h", ConnectReason.AUTH)
        clock.time_s += 30
    assert warned(caplog) == ["cannot link to b@h"] * 60


def test_each_node_whose_secret_differs_is_told_once_a_minute(links, clock, caplog):
    names = ["b@h", "c@h", "d@h"]
    for _ in range(240):
        for name in names:
            fail(links, name, ConnectReason.AUTH)
        links.look()
        clock.time_s += 0.5
    assert warned(caplog) == [f"cannot link to {name}" for name in names] * 2


def test_of_many_nodes_whose_secret_differs_some_are_named_a_minute_and_the_others_counted(
    links, clock, caplog
):
    for _ in range(200):
        for number in range(50):
            fail(links, f"n{number}@h", ConnectReason.AUTH)
        links.look()
        clock.time_s += 1
    told = warned(caplog)
    counts = [message for message in told if "more" in message]
    assert counts == [f"cannot link to {50 - MOST_NAMED} more for want of trust"] * 3
    assert len(told) - len(counts) == 4 * MOST_NAMED


def test_strangers_whose_secret_differs_cost_no_memory_without_end(links, caplog):
    for number in range(10_000):
        fail(links, f"n{number}@h", ConnectReason.AUTH)
    assert len(warned(caplog)) == MOST_NAMED
    assert len(links._untrusting._others) <= 1000


def test_however_many_nodes_there_are_one_is_told_a_minute(links, clock, caplog):
    for number in range(3000):
        fail(links, f"n{number}@h")
        clock.time_s += 0.1
    assert len(warned(caplog)) == 5


@pytest.mark.parametrize("reason", [ConnectReason.REFUSED, ConnectReason.SELF])
def test_what_passes_and_what_we_are_is_no_warning(links, caplog, reason):
    fail(links, "b@h", reason)
    assert warned(caplog) == []


class Holes(Connector):
    """A connector whose dials never end."""

    def __init__(self):
        self.cancelled = asyncio.Event()

    async def start(self, local, links):
        return local

    async def connect(self, node):
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    async def disconnect(self, node):
        pass

    async def stop(self):
        pass


def test_dial_that_is_given_up_fails_as_at_its_deadline(clock):
    async def main():
        connector, reports = Holes(), asyncio.Queue()
        links = Links(
            connector,
            None,
            here=here(),
            partial=False,
            clock=clock,
            forwarding=None,
            connect_timeout_s=3600.0,
            report=reports.put_nowait,
            tell=lambda event: None,
        )
        node = Node(name="b@h")
        links.start(Connect(node))
        await asyncio.sleep(0)
        links.start(GiveUp(node.key))
        links.start(GiveUp(node.key))
        links.start(GiveUp("nobody@h"))
        failed = await asyncio.wait_for(reports.get(), 30)
        assert isinstance(failed, ConnectFailed)
        assert (failed.node, failed.error.reason) == (node, ConnectReason.TIMEOUT)
        assert connector.cancelled.is_set()
        links.start(GiveUp(node.key))

    asyncio.run(main())
