"""What the runner logs about links that cannot be, and how it gives up a dial."""

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
from cluster_kit.worker.connector_runner import ConnectorRunner
from cluster_kit.worker.local_node import LocalNode
from cluster_kit.worker.report_receivers import LinkReceiver
from cluster_kit.worker.trust_warnings import MAX_NAMED


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


class Driver:
    def __init__(self, clock):
        self.clock = clock
        self.reports = asyncio.Queue()
        self.report = self.reports.put_nowait


def runner_of(driver, connector=None, timeout_s=1.0):
    local = here()
    links = LinkReceiver(None, driver, None, here=local, partial=False)
    return ConnectorRunner(connector, links, driver, here=local, connect_timeout_s=timeout_s)


@pytest.fixture
def runner(clock):
    return runner_of(Driver(clock))


def fail(runner, name, reason=ConnectReason.NAME):
    runner._log_failure(Node(name=name), ConnectError("tcp: not so", node=name, reason=reason))


def warned(caplog):
    return [
        record.getMessage().split(":")[0]
        for record in caplog.records
        if record.levelno >= logging.WARNING
    ]


def test_lasting_failure_is_warned_about_once_an_hour(runner, clock, caplog):
    for _ in range(120):
        fail(runner, "b@h")
        clock.time_s += 60
    assert warned(caplog) == ["cannot link to b@h"] * 2


def test_different_secret_is_warned_about_once_a_minute(runner, clock, caplog):
    for _ in range(120):
        fail(runner, "b@h", ConnectReason.AUTH)
        clock.time_s += 30
    assert warned(caplog) == ["cannot link to b@h"] * 60


def test_each_node_with_a_different_secret_is_named_once_a_minute(runner, clock, caplog):
    names = ["b@h", "c@h", "d@h"]
    for _ in range(240):
        for name in names:
            fail(runner, name, ConnectReason.AUTH)
        runner.log_distrust()
        clock.time_s += 0.5
    assert warned(caplog) == [f"cannot link to {name}" for name in names] * 2


def test_some_of_many_nodes_with_different_secrets_are_named_and_the_others_counted(
    runner, clock, caplog
):
    for _ in range(200):
        for number in range(50):
            fail(runner, f"n{number}@h", ConnectReason.AUTH)
        runner.log_distrust()
        clock.time_s += 1
    told = warned(caplog)
    counts = [message for message in told if "more" in message]
    assert counts == [f"cannot authenticate with {50 - MAX_NAMED} more nodes"] * 3
    assert len(told) - len(counts) == 4 * MAX_NAMED


def test_strangers_with_different_secrets_cost_bounded_memory(runner, caplog):
    for number in range(10_000):
        fail(runner, f"n{number}@h", ConnectReason.AUTH)
    assert len(warned(caplog)) == MAX_NAMED
    assert len(runner._untrusted._unnamed) <= 1000


def test_many_failing_nodes_cause_one_warning_a_minute(runner, clock, caplog):
    for number in range(3000):
        fail(runner, f"n{number}@h")
        clock.time_s += 0.1
    assert len(warned(caplog)) == 5


@pytest.mark.parametrize("reason", [ConnectReason.REFUSED, ConnectReason.SELF])
def test_passing_failures_and_ourselves_are_no_warning(runner, caplog, reason):
    fail(runner, "b@h", reason)
    assert warned(caplog) == []


class Holes(Connector):
    """A connector whose dials never end."""

    def __init__(self):
        self.cancelled = asyncio.Event()

    async def start(self, local, runner):
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


def test_abandoned_dial_fails_as_if_its_deadline_had_passed(clock):
    async def main():
        connector, driver = Holes(), Driver(clock)
        runner = runner_of(driver, connector, timeout_s=3600.0)
        node = Node(name="b@h")
        runner.execute(Connect(node))
        await asyncio.sleep(0)
        runner.execute(GiveUp(node.key))
        runner.execute(GiveUp(node.key))
        runner.execute(GiveUp("nobody@h"))
        failed = await asyncio.wait_for(driver.reports.get(), 30)
        assert isinstance(failed, ConnectFailed)
        assert (failed.node, failed.error.reason) == (node, ConnectReason.TIMEOUT)
        assert connector.cancelled.is_set()
        runner.execute(GiveUp(node.key))

    asyncio.run(main())
