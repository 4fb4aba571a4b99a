"""Reports of one turn of the event loop become one step, whose effects keep their order."""

import asyncio
from types import SimpleNamespace

import pytest

from cluster_kit import ConfigError, Node, TopologyEvent
from cluster_kit.attended import AttendedClock
from cluster_kit.membership.membership import Effects
from cluster_kit.membership.reports import LinkUp, Stopping
from cluster_kit.membership.selection import TopologyError
from cluster_kit.network.system import SystemClock
from cluster_kit.pipe.messages import CannotServe
from cluster_kit.worker.host_process import EXIT_BROKEN
from cluster_kit.worker.membership_driver import MembershipDriver

ANN, BOB = LinkUp(Node(name="ann@h")), LinkUp(Node(name="bob@h"))


class Ended(BaseException):
    pass


class Membership:
    """Answers each step with one command and one event, which name the reports."""

    overflowing_source = None

    def __init__(self):
        self.steps = []
        self.stepped_again = asyncio.Event()
        self.error = None
        self.wake_at_s = None

    def step(self, reports, now_s):
        if self.error is not None:
            raise self.error
        self.steps.append(reports)
        if len(self.steps) > 1:
            self.stepped_again.set()
        event = TopologyEvent(topology="t", kind="step", data=len(self.steps))
        wake_at_s, self.wake_at_s = self.wake_at_s, None
        return Effects([f"command {len(self.steps)}"], [event], wake_at_s)


class Stage:
    def __init__(self):
        loop = asyncio.get_running_loop()
        self.membership, self.stopping = Membership(), asyncio.Event()
        self.effects = []  # in their order
        self.clock = AttendedClock(loop.time, 60.0)
        outbox = SimpleNamespace(
            publish=lambda events: self.effects.extend(event.data for event in events),
            send_last=self.effects.append,
        )
        self.driver = MembershipDriver(
            self.membership,
            10,
            outbox,
            loop=loop,
            clock=self.clock,
            wall_clock=SystemClock(),
            stopping=self.stopping,
            process=SimpleNamespace(end=self._end),
        )
        self.driver.execute = self.effects.append

    def _end(self, code):
        self.effects.append(code)
        raise Ended


@pytest.fixture
def run():
    """Run a scenario on a ``Stage`` in an event loop."""
    return lambda scenario: asyncio.run(_on_stage(scenario))


async def _on_stage(scenario):
    await scenario(Stage())


def test_reports_of_one_turn_are_one_step_in_the_next(run):
    async def scenario(stage):
        stage.driver.report(ANN)
        stage.driver.report(BOB)
        assert stage.membership.steps == []
        await asyncio.sleep(0)
        assert stage.membership.steps == [[ANN, BOB]]
        assert stage.effects == ["command 1", 1]

    run(scenario)


def test_event_follows_those_of_earlier_reports(run):
    async def scenario(stage):
        stage.driver.report(ANN)
        stage.driver.publish(TopologyEvent(topology="t", kind="own", data="own"))
        assert stage.membership.steps == [[ANN]]
        assert stage.effects == ["command 1", 1, "own"]

    run(scenario)


def test_settles_again_when_the_membership_asks_for_it(run):
    async def scenario(stage):
        stage.membership.wake_at_s = stage.clock.now_s() + 0.01
        stage.driver.settle()
        async with asyncio.timeout(30):
            await stage.membership.stepped_again.wait()

    run(scenario)


def test_last_report_of_a_worker_that_leaves_is_that_it_stops(run):
    async def scenario(stage):
        stage.stopping.set()
        stage.driver.settle(ANN)
        assert stage.membership.steps == [[ANN, Stopping()]]

    run(scenario)


def test_topology_that_raises_ends_the_process(run):
    async def scenario(stage):
        stage.membership.error = TopologyError()
        stage.membership.error.__cause__ = ConfigError("ring: no")
        with pytest.raises(Ended):
            stage.driver.settle()
        [last, code] = stage.effects
        assert isinstance(last, CannotServe)
        assert code == EXIT_BROKEN

    run(scenario)
