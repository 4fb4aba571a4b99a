"""Rules on a source that fails, and that works again."""

from __future__ import annotations

import asyncio

import pytest

from cluster_kit.abc import Failed, Observation, Strategy
from cluster_kit.testing.contract import contract
from cluster_kit.testing.lag import check_never_blocked
from cluster_kit.testing.listener import Listener, vouches
from cluster_kit.testing.strategies.overrides import (
    ANN,
    BOB,
    CAT,
    StrategyOverrides,
    needs_announcing,
)
from cluster_kit.testing.strategies.said import removals, vouched_after

# how often a source comes back: who looks before the others are in it again is a matter of chance
RETURNS = 3


class TroubleRules(StrategyOverrides):
    """Rules on a source that fails, and that works again."""

    @contract("An error of the source is ``Failed``.")
    def test_broken_source_is_reported_not_raised(self, strategy: Strategy) -> None:
        """An error of the source is an observation, ``Failed``; an exception would spend the
        restart budget.
        """

        async def scenario() -> None:
            async with self.listen(strategy, self.discovery()) as heard:
                await heard.hear(within_s=self.listen_s)
                since = len(heard.observations)
                self.break_source()
                await heard.until(Failed, "Failed after the source broke", since=since)

        self.run(scenario())

    @contract("what is known stays known")
    def test_broken_source_removes_nobody(self, strategy: Strategy) -> None:
        """Unknown is not empty: while the source fails, no node is taken back."""

        async def scenario() -> None:
            async with self.in_company(strategy) as heard:
                vouched = vouched_after(heard.observations).values()
                since = len(heard.observations)
                self.break_source()
                assert vouched, (
                    "nobody could be lost: let the source of the fixture 'strategy' list a node"
                )
                await heard.hear(_is_failed, since=since)
                await heard.hear(_never, within_s=self.listen_s)
                lost = removals(heard.observations[since:], vouched)
                assert not lost, f"while the source was broken, it took back {'; '.join(lost)}"

        self.run(scenario())

    @contract("After a failure it goes on asking")
    def test_works_again_when_the_source_is_mended(self, strategy: Strategy) -> None:
        """After a failure an answer is heard again; where nodes announce themselves, new and old
        ones are found.
        """

        async def scenario() -> None:
            async with self.listen(strategy, self.discovery()) as heard:
                await heard.hear(within_s=self.listen_s)
                self.break_source()
                await heard.hear(_is_failed)
                await heard.hear(_never, within_s=self.listen_s)  # one failure after the other
                self.mend_source()
                since = len(heard.observations)
                if strategy.announces:
                    async with self.listen(strategy, self.discovery(CAT)) as newcomer:
                        await heard.until(
                            lambda said: vouches(said, CAT),
                            "a new node in the mended source",
                            since=since,
                        )
                        await newcomer.until(
                            lambda said: vouches(said, ANN),
                            "a newcomer to find who was there before",
                        )
                else:
                    await heard.until(
                        lambda said: not _is_failed(said),
                        "an answer of the mended source",
                        since=since,
                    )

        self.run(scenario())

    @contract("After a failure it goes on asking, and announces its node again")
    def test_starts_while_the_source_is_broken(self, strategy: Strategy) -> None:
        """A source may be down when a node starts: once it is mended all is as if it had been
        there.
        """

        async def scenario() -> None:
            needs_announcing(strategy)
            self.break_source()
            ctx = self.discovery()
            async with self.listen(strategy, ctx) as heard:
                await heard.until(Failed, "Failed of a source that was broken from the start")
                self.mend_source()
                async with self.listen(strategy, self.discovery(CAT)) as newcomer:
                    await newcomer.until(
                        lambda said: vouches(said, ANN), "a newcomer to find who started before"
                    )
                if not await heard.happens(ctx.has_announced):
                    raise heard.error or AssertionError(
                        "ctx.announced() was not called after the source was mended"
                    )

        self.run(scenario())

    @contract("for the first time or again after a failure")
    def test_tells_that_it_has_announced_again(self, strategy: Strategy) -> None:
        """What is announced anew after a failure is told anew."""

        async def scenario() -> None:
            needs_announcing(strategy)
            ctx = self.discovery()
            async with self.listen(strategy, ctx) as heard:
                await heard.happens(ctx.has_announced)
                since = len(heard.observations)
                self.break_source()
                await heard.hear(_is_failed, since=since)
                ctx.has_announced.clear()
                self.mend_source()
                if not await heard.happens(ctx.has_announced):
                    raise heard.error or AssertionError(
                        "ctx.announced() was not called again after a failure"
                    )

        self.run(scenario())

    @contract("Never block the event loop: it carries the heartbeats of all links.")
    def test_never_blocks_the_event_loop_in_trouble(self, strategy: Strategy) -> None:
        """A source that fails may take its time for that, or be awaited again and again: all else
        goes on.
        """

        async def in_trouble() -> None:
            async with self.listen(strategy, self.discovery()) as heard:
                await heard.hear(_is_failed)
                await heard.hear(_never, within_s=self.listen_s)

        async def scenario() -> None:
            self.break_source()
            await check_never_blocked(in_trouble)

        self.run(scenario())

    @contract("one entry that can't be read hides no other")
    def test_litter_in_the_source_hides_nobody(self, strategy: Strategy) -> None:
        """Anybody may write to a source: what is no node there neither raises nor removes anybody,
        nor keeps new ones out.
        """

        async def scenario() -> None:
            async with self.in_company(strategy) as ann:
                vouched = vouched_after(ann.observations).values()
                since = len(ann.observations)
                self.litter_source()
                await ann.hear(_never, within_s=self.listen_s)
                lost = removals(ann.observations[since:], vouched)
                assert not lost, f"the source was littered, and it took back {'; '.join(lost)}"
                if ann.error is not None:
                    raise ann.error
                if strategy.announces:
                    async with self.listen(strategy, self.discovery(CAT)):
                        await ann.until(
                            lambda said: vouches(said, CAT),
                            "a new node in the littered source",
                            since=since,
                        )

        self.run(scenario())

    @contract("A source that comes back empty removes nobody")
    def test_source_that_comes_back_removes_nobody_who_is_late(self, strategy: Strategy) -> None:
        """A server that restarts has lost its data, and some are slow to announce themselves again:
        here one never does.
        """

        async def scenario() -> None:
            needs_announcing(strategy)
            async with self.listen(strategy, self.discovery(ANN)) as ann:
                await asyncio.sleep(0)  # ann comes first
                bob = self.discovery(BOB)
                with self.bystander(strategy, bob) as late:
                    await ann.until(lambda said: vouches(said, bob.local), "ann to find bob")
                    late.freeze()
                    since = len(ann.observations)
                    self.break_source()
                    await ann.hear(_is_failed, since=since)
                    self.mend_source()
                    since = len(ann.observations)  # what it says in trouble, another rule tells
                    await ann.hear(_never, within_s=self.listen_s)
                    lost = removals(ann.observations[since:], [bob.local])
            assert not lost, f"the source was restarted, and it took back {'; '.join(lost)}"

        self.run(scenario())

    @pytest.mark.parametrize("noticed", [False, True], ids=["unnoticed", "noticed"])
    @contract("A source that comes back empty removes nobody")
    def test_source_that_comes_back_removes_nobody(self, strategy: Strategy, noticed: bool) -> None:
        """A server that restarts has lost its data, and a node that is still there is not gone for
        that.
        """

        async def scenario() -> None:
            needs_announcing(strategy)
            async with self.in_company(strategy) as ann:
                vouched = vouched_after(ann.observations).values()
                since = len(ann.observations)
                for _ in range(1 if noticed else RETURNS):
                    await self._restart(strategy, ann, noticed)
                lost = removals(ann.observations[since:], vouched)
                assert not lost, f"the source was restarted, and it took back {'; '.join(lost)}"

        self.run(scenario())

    async def _restart(self, strategy: Strategy, ann: Listener, noticed: bool) -> None:
        """Break and mend the source, and wait until it is seen to work."""
        since = len(ann.observations)
        self.break_source()
        if noticed:
            await ann.hear(_is_failed, since=since)
        self.mend_source()
        async with self.listen(strategy, self.discovery(CAT)):
            await ann.hear(lambda observation: vouches(observation, CAT), since=since)


def _never(observation: Observation) -> bool:
    return False


def _is_failed(observation: Observation) -> bool:
    return isinstance(observation, Failed)
