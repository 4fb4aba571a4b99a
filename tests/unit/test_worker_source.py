"""The health of a source: what it says itself, and what its strategy's crashes say."""

import asyncio
from contextlib import suppress
from types import SimpleNamespace

from cluster_kit import DiscoveryError, Failed, Fence, Node, Strategy
from cluster_kit.config import ChildSpec
from cluster_kit.worker.messages import SourceHealth
from cluster_kit.worker.source import Source

HERE = SimpleNamespace(local=Node(name="ann@127.0.0.1"), leaving=False, announce=True, fence=Fence("shop", "lan"))
FAULT = "gossip: cannot send to the group: no route"


class Interrupted(Strategy):
    """Its network fails, and comes back without anybody to hear there."""

    announces = True

    async def discover(self, ctx):
        ctx.announced()
        yield Failed(DiscoveryError(FAULT))
        ctx.announced()
        await asyncio.Event().wait()


class FailsInManyWays(Strategy):
    async def discover(self, ctx):
        for number in range(5000):
            yield Failed(DiscoveryError(f"fault {number}"))
        await asyncio.Event().wait()


def test_source_that_fails_in_ever_other_ways_is_told_of_now_and_then():
    reports = []

    async def scenario():
        last = asyncio.Event()

        def report(health):
            reports.append(health)
            if health.error == "fault 4999":
                last.set()

        running = asyncio.create_task(source_of(FailsInManyWays(), report).run())
        async with asyncio.timeout(30):
            await last.wait()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    asyncio.run(scenario())
    assert reports[0].error == "fault 0"
    assert len(reports) < 50


def source_of(strategy, report):
    return Source(
        "gossip", strategy, ChildSpec(), surroundings=HERE, observe=lambda *_: None, report=report, announced=lambda: None
    )


def test_source_that_announces_again_is_healthy_again():
    reports = []

    async def scenario():
        recovered = asyncio.Event()

        def report(health):
            reports.append(health)
            if health.error is None:
                recovered.set()

        running = asyncio.create_task(source_of(Interrupted(), report).run())
        async with asyncio.timeout(10):
            await recovered.wait()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    asyncio.run(scenario())
    assert reports == [SourceHealth("gossip", FAULT), SourceHealth("gossip", None)]


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
    async def scenario():
        failed = asyncio.Event()
        running = asyncio.create_task(source_of(RaisesWhenClosed(), lambda _: failed.set()).run())
        async with asyncio.timeout(10):
            await failed.wait()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
        assert running.cancelled()

    asyncio.run(scenario())
    assert RaisesWhenClosed.runs == 1
