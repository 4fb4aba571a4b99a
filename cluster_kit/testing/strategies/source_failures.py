"""Rules on a source that fails, recovers, or contains litter."""

from __future__ import annotations

import asyncio

import pytest

from cluster_kit.abc import Failed, Observation, Strategy
from cluster_kit.testing.blocking import check_never_blocked
from cluster_kit.testing.listener import Listener, vouches
from cluster_kit.testing.observations import removals, vouched_after
from cluster_kit.testing.rules import contract
from cluster_kit.testing.strategies.harness import (
    ANN,
    BOB,
    CAT,
    StrategyHarness,
    finds,
    needs_announcing,
)

# how often the source restarts: whether a node reads it before the others are back is up to chance
RESTARTS = 3


class SourceFailureRules(StrategyHarness):
    """A source that fails removes no node, and is asked again until it answers."""

    @contract("An error of the source is ``Failed``.")
    async def test_broken_source_is_reported_not_raised(self, strategy: Strategy) -> None:
        """An error of the source is an observation, ``Failed``.

        An exception would spend the topology's restart budget.
        """
        async with self.listen(strategy, self.discovery()) as listener:
            await listener.hear(within_s=self.listen_s)
            since = len(listener.observations)
            self.break_source()
            await listener.until(Failed, "Failed after the source broke", since=since)

    @contract("what is known stays known")
    async def test_broken_source_removes_no_node(self, strategy: Strategy) -> None:
        """Unknown is not empty: while the source fails, no node is withdrawn."""
        async with self.in_company(strategy) as listener:
            vouched = vouched_after(listener.observations).values()
            since = len(listener.observations)
            self.break_source()
            assert vouched, (
                "no node was found that could be lost: the source of the fixture 'strategy' must "
                "list one"
            )
            await listener.hear(_is_failed, since=since)
            await self.watch(listener)
            lost = removals(listener.observations[since:], vouched)
            assert not lost, f"while the source was broken, nodes were lost: {'; '.join(lost)}"

    @contract("After a failure it goes on asking")
    async def test_recovers_when_the_source_recovers(self, strategy: Strategy) -> None:
        """After a failure the source is asked again.

        If nodes announce themselves, earlier nodes and newcomers find each other.
        """
        async with self.listen(strategy, self.discovery()) as listener:
            await listener.hear(within_s=self.listen_s)
            self.break_source()
            await listener.hear(_is_failed)
            await self.watch(listener)  # for further failures
            self.mend_source()
            since = len(listener.observations)
            if strategy.announces:
                async with self.listen(strategy, self.discovery(CAT)) as newcomer:
                    await finds(listener, CAT, since=since)
                    await finds(newcomer, ANN)
            else:
                await listener.until(
                    lambda observed: not _is_failed(observed),
                    "an answer of the recovered source",
                    since=since,
                )

    @contract("After a failure it goes on asking, and announces its node again")
    async def test_starts_while_the_source_is_broken(self, strategy: Strategy) -> None:
        """A node that starts while the source is down announces itself once the source recovers."""
        needs_announcing(strategy)
        self.break_source()
        ctx = self.discovery()
        async with self.listen(strategy, ctx) as listener:
            await listener.until(Failed, "Failed while the source is broken from the start")
            self.mend_source()
            async with self.listen(strategy, self.discovery(CAT)) as newcomer:
                await finds(newcomer, ANN)
            if not await listener.happens(ctx.has_announced):
                raise listener.error or AssertionError(
                    "ctx.announced() was not called after the source recovered"
                )

    @contract("for the first time or again after a failure")
    async def test_reports_that_it_has_announced_again(self, strategy: Strategy) -> None:
        """``ctx.announced()`` is called again for an announcement renewed after a failure."""
        needs_announcing(strategy)
        ctx = self.discovery()
        async with self.listen(strategy, ctx) as listener:
            await listener.happens(ctx.has_announced)
            since = len(listener.observations)
            self.break_source()
            await listener.hear(_is_failed, since=since)
            ctx.has_announced.clear()
            self.mend_source()
            if not await listener.happens(ctx.has_announced):
                raise listener.error or AssertionError(
                    "ctx.announced() was not called again after a failure"
                )

    @contract("Never block the event loop: it carries the heartbeats of all links.")
    async def test_never_blocks_the_event_loop_in_trouble(self, strategy: Strategy) -> None:
        """A failing source may be slow and retried often, but the event loop keeps running."""

        async def in_trouble() -> None:
            async with self.listen(strategy, self.discovery()) as listener:
                await listener.hear(_is_failed)
                await self.watch(listener)

        self.break_source()
        await check_never_blocked(in_trouble)

    @contract("one entry that can't be read hides no other")
    async def test_litter_in_the_source_hides_no_node(self, strategy: Strategy) -> None:
        """An entry that is not a node is skipped.

        It raises nothing, removes no node, and keeps no newcomer from being found.
        """
        async with self.in_company(strategy) as ann:
            vouched = vouched_after(ann.observations).values()
            since = len(ann.observations)
            self.litter_source()
            await self.watch(ann)
            lost = removals(ann.observations[since:], vouched)
            assert not lost, f"the source was littered, and nodes were lost: {'; '.join(lost)}"
            if ann.error is not None:
                raise ann.error
            if strategy.announces:
                async with self.listen(strategy, self.discovery(CAT)):
                    await finds(ann, CAT, since=since)

    @contract("A source that comes back empty removes no node")
    async def test_recovered_source_keeps_late_nodes(self, strategy: Strategy) -> None:
        """A server that restarted has lost its data, and some nodes announce themselves late.

        Here one never does.
        """
        needs_announcing(strategy)
        async with self.listen(strategy, self.discovery(ANN)) as ann:
            await asyncio.sleep(0)  # ann starts first
            bob = self.discovery(BOB)
            with self.bystander(strategy, bob) as late:
                await finds(ann, bob.local)
                late.freeze()
                since = len(ann.observations)
                self.break_source()
                await ann.hear(_is_failed, since=since)
                self.mend_source()
                since = len(ann.observations)  # another rule covers the time of failure
                await self.watch(ann)
                lost = removals(ann.observations[since:], [bob.local])
        assert not lost, f"the source was restarted, and nodes were lost: {'; '.join(lost)}"

    @pytest.mark.parametrize("noticed", [False, True], ids=["unnoticed", "noticed"])
    @contract("A source that comes back empty removes no node")
    async def test_recovered_source_removes_no_node(
        self, strategy: Strategy, noticed: bool
    ) -> None:
        """A server that restarted has lost its data, but its nodes are still there."""
        needs_announcing(strategy)
        async with self.in_company(strategy) as ann:
            vouched = vouched_after(ann.observations).values()
            since = len(ann.observations)
            for _ in range(1 if noticed else RESTARTS):
                await self._restart(strategy, ann, noticed)
            lost = removals(ann.observations[since:], vouched)
            assert not lost, f"the source was restarted, and nodes were lost: {'; '.join(lost)}"

    async def _restart(self, strategy: Strategy, ann: Listener, noticed: bool) -> None:
        """Break and repair the source, and wait until it works again."""
        since = len(ann.observations)
        self.break_source()
        if noticed:
            await ann.hear(_is_failed, since=since)
        self.mend_source()
        async with self.listen(strategy, self.discovery(CAT)):
            await ann.hear(lambda observed: vouches(observed, CAT), since=since)


def _is_failed(observation: Observation) -> bool:
    return isinstance(observation, Failed)
