"""The health of a source follows from its own faults and its strategy's crashes."""

import asyncio
from contextlib import suppress

from cluster_kit import DiscoveryError, Failed, Fence, Found, Node, Strategy
from cluster_kit.config import ChildSpec
from cluster_kit.network.system import SystemNetwork
from cluster_kit.pipe.messages import SourceHealth
from cluster_kit.worker.local_node import LocalNode
from cluster_kit.worker.strategy_runner import StrategyRunner

HERE = LocalNode(
    node=Node(name="ann@127.0.0.1"),
    fence=Fence("shop", "lan"),
    network=SystemNetwork(),
    security=None,
    announce=True,
)
FAULT = "gossip: cannot send to the group: no route"


class Interrupted(Strategy):
    """Its network fails, and comes back without any peer on it."""

    announces = True

    async def discover(self, ctx):
        ctx.announced()
        yield Failed(DiscoveryError(FAULT))
        await asyncio.sleep(0)
        ctx.announced()
        await asyncio.Event().wait()


class FailsInManyWays(Strategy):
    async def discover(self, ctx):
        for number in range(5000):
            yield Failed(DiscoveryError(f"fault {number}"))
        await asyncio.Event().wait()


class Reporter:
    """A ``SourceReceiver`` that passes on what a test waits for."""

    def __init__(self, *, observed=lambda observation: None, health=lambda health: None):
        self.observed = lambda _, observation: observed(observation)
        self.health = health
        self.works = self.fails = self.announced = lambda _: None


def runner_of(strategy, receiver):
    return StrategyRunner("gossip", strategy, ChildSpec(), here=HERE, receiver=receiver)


def reports_until(strategy, error):
    """Run a strategy until its health shows ``error``, then cancel it; return what was reported."""
    reports = []

    async def scenario():
        shown = asyncio.Event()

        def report(health):
            reports.append(health)
            if health.error == error:
                shown.set()

        running = asyncio.create_task(runner_of(strategy, Reporter(health=report)).run())
        async with asyncio.timeout(30):
            await shown.wait()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
        assert running.cancelled()

    asyncio.run(scenario())
    return reports


def test_ever_changing_faults_are_reported_at_intervals():
    reports = reports_until(FailsInManyWays(), "fault 4999")
    assert reports[0].error == "fault 127"  # of the first batch
    assert len(reports) < 50


def test_source_that_announces_again_is_healthy_again():
    assert reports_until(Interrupted(), None) == [
        SourceHealth("gossip", FAULT),
        SourceHealth("gossip", None),
    ]


class RaisesWhenClosed(Strategy):
    runs = 0

    async def discover(self, ctx):
        RaisesWhenClosed.runs += 1
        try:
            yield Failed(DiscoveryError(FAULT))
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("no goodbye from me")


def test_source_that_raises_while_it_is_cancelled_does_not_begin_anew():
    reports_until(RaisesWhenClosed(), FAULT)
    assert RaisesWhenClosed.runs == 1


class CrashesOnce(Strategy):
    """Finds a node and raises, then tells as its fault whom it had found."""

    async def discover(self, ctx):
        if not ctx.found:
            yield Found([Node(name="bob@127.0.0.1")])
            raise RuntimeError("lost my mind")
        yield Failed(DiscoveryError(", ".join(node.key for node in ctx.found)))
        await asyncio.Event().wait()


def test_restarted_strategy_knows_what_it_found_before():
    heard = []

    async def scenario():
        failed = asyncio.Event()

        def observed(observation):
            heard.append(observation)
            if isinstance(observation, Failed):
                failed.set()

        runner = runner_of(CrashesOnce(), Reporter(observed=observed))
        running = asyncio.create_task(runner.run())
        async with asyncio.timeout(30):
            await failed.wait()
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(scenario())
    assert str(heard[-1].error) == "bob@127.0.0.1"


class ChangesWhileItFails(Strategy):
    async def discover(self, ctx):
        yield Failed(DiscoveryError(FAULT))
        for count in range(3):
            await asyncio.sleep(0)
            yield Found([Node(name=f"n{count}@127.0.0.1")])
            yield Failed(DiscoveryError(FAULT))
        yield Failed(DiscoveryError("the end"))
        await asyncio.Event().wait()


def test_source_that_finds_and_fails_at_once_is_not_healthy_in_between():
    reports = reports_until(ChangesWhileItFails(), "the end")
    assert None not in [report.error for report in reports]
