"""Rules on who says goodbye, and whom it concerns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest

from cluster_kit.abc import Gone, Leaving, Observation, Seen, Strategy
from cluster_kit.testing.contract import contract
from cluster_kit.testing.listener import Listener, attend, run_of, vouches
from cluster_kit.testing.stand_ins import FakeDiscovery
from cluster_kit.testing.strategies.overrides import (
    ANN,
    BOB,
    CAT,
    StrategyOverrides,
    needs_announcing,
)
from cluster_kit.testing.strategies.said import removals, vouched_in, withdraws

_MOVED = BOB.evolve(address="127.0.0.1:45009")


class PartingRules(StrategyOverrides):
    """Rules on who says goodbye, and whom it concerns."""

    @contract(
        "A run is closed by ``GeneratorExit`` where it yields and by ``CancelledError`` where it "
        "awaits"
    )
    def test_goodbye_is_said_also_where_it_yields(self, strategy: Strategy) -> None:
        """A worker may close it between two observations, when nothing is cancelled."""

        async def scenario() -> None:
            needs_announcing(strategy)
            bob = self.discovery(BOB)
            async with self.listen(strategy, self.discovery(ANN)) as ann:
                observations = await self._known_at_a_yield(strategy, bob, ann)
                since, within_s = len(ann.observations), _life_of(ann, bob, self.deadline_s)
                await observations.aclose()
                heard = await ann.hear(
                    lambda said: withdraws(said, bob.local), since=since, within_s=within_s
                )
                said = ann.observations[since:]
            assert heard is not None, (
                f"bob was closed where it yields, and within {within_s:.1f} s ann heard only {said}"
            )

        self.run(scenario())

    @contract("One that fails is started again, so it says no goodbye.")
    def test_a_run_that_fails_says_no_goodbye(self, strategy: Strategy) -> None:
        """Its node is still there, and known again in a moment; the rule raises an exception where
        the strategy yields.
        """

        async def scenario() -> None:
            needs_announcing(strategy)
            bob = self.discovery(BOB)
            async with self.listen(strategy, self.discovery(ANN)) as ann:
                observations = await self._known_at_a_yield(strategy, bob, ann)
                if not any(
                    isinstance(said, Seen) and vouches(said, bob.local) for said in ann.observations
                ):
                    await observations.aclose()
                    pytest.skip(
                        "it says Found: whoever is no longer in the source is gone, for whatever "
                        "reason"
                    )
                since = len(ann.observations)
                with suppress(RuntimeError):
                    await observations.athrow(RuntimeError("planted by the suite"))
                await attend(self.listen_s)
                told = [
                    said
                    for said in ann.observations[since:]
                    if isinstance(said, Gone | Leaving) and said.name == BOB.name
                ]
            assert not told, f"a run of bob raised, and ann was told {told}"

        self.run(scenario())

    async def _known_at_a_yield(
        self, strategy: Strategy, ctx: FakeDiscovery, ann: Listener
    ) -> AsyncGenerator[Observation, None]:
        """Return a run that waits where it yields, and whom ann has found."""
        observations = run_of(strategy, ctx)
        try:
            async with asyncio.timeout(self.deadline_s):
                async for _ in observations:
                    if await ann.hear(
                        lambda said: vouches(said, ctx.local), within_s=self.listen_s
                    ):
                        return observations
        except TimeoutError:
            pytest.skip(
                "it doesn't yield once it is known, as test_two_nodes_find_each_other tells"
            )
        raise AssertionError("the strategy ended")

    @contract(
        "it has left, or is explicitly no longer there; ``boot_id`` limits that to one run of it"
    )
    def test_goodbye_of_one_spares_the_others(self, strategy: Strategy) -> None:
        """A node that leaves takes nobody with it: here one who stopped dead, and so can't announce
        itself again.
        """

        async def scenario() -> None:
            needs_announcing(strategy)
            cat, bob = self.discovery(CAT), self.discovery(BOB)
            async with self.listen(strategy, self.discovery(ANN)) as ann:
                await asyncio.sleep(0)  # ann comes first
                with self.bystander(strategy, cat) as stopped:
                    async with self.listen(strategy, bob):
                        await ann.until(lambda said: vouches(said, bob.local), "ann to find bob")
                        await ann.until(lambda said: vouches(said, cat.local), "ann to find cat")
                        since = len(ann.observations)
                        stopped.freeze()
                    await attend(self.listen_s)
                    lost = removals(ann.observations[since:], [cat.local])
            assert not lost, f"bob left, and ann was told {'; '.join(lost)}"

        self.run(scenario())

    @contract("False: look, but don't make yourself known.")
    def test_looking_and_leaving_disturbs_nobody(self, strategy: Strategy) -> None:
        """Whoever looks may do it by the name of a node that runs, and that node isn't gone when it
        looks no more.
        """

        async def scenario() -> None:
            needs_announcing(strategy)
            bob = self.discovery(BOB)
            async with (
                self.listen(strategy, self.discovery(ANN)) as ann,
                self.listen(strategy, bob),
            ):
                await ann.until(lambda said: vouches(said, bob.local), "ann to find bob")
                since = len(ann.observations)
                async with self.listen(strategy, self.discovery(BOB, announce=False)) as looking:
                    await looking.hear(lambda said: vouches(said, ANN), within_s=self.listen_s)
                await attend(self.listen_s)
                lost = removals(ann.observations[since:], [bob.local])
            assert not lost, (
                "one that only looked, by bob's name, was closed, and ann was told "
                f"{'; '.join(lost)}"
            )

        self.run(scenario())

    @contract("What it says of a node is what that node says of itself")
    def test_the_next_run_is_described_as_it_is(self, strategy: Strategy) -> None:
        """A node that comes back may have another address: what its former run said of itself is
        over.
        """

        async def scenario() -> None:
            needs_announcing(strategy)
            bob, moved = self.discovery(BOB), self.discovery(_MOVED)
            if bob.local.address == moved.local.address:
                pytest.skip("discovery() gives each node an address of its own making")
            async with self.listen(strategy, self.discovery(ANN)) as ann:
                async with self.listen(strategy, bob):
                    await ann.until(lambda said: vouches(said, bob.local), "ann to find bob")
                since = len(ann.observations)
                async with self.listen(strategy, moved):
                    await ann.until(
                        lambda said: any(
                            node.address == moved.local.address for node in vouched_in(said)
                        ),
                        f"ann to find bob's next run at {moved.local.address}",
                        since=since,
                    )

        self.run(scenario())


def _life_of(heard: Listener, ctx: FakeDiscovery, deadline_s: float) -> float:
    """Return for how long the last ``Seen`` of a node counts: what comes later than that is no
    goodbye.
    """
    seen = [
        said.ttl_s
        for said in heard.observations
        if isinstance(said, Seen) and vouches(said, ctx.local)
    ]
    return min([deadline_s, *seen[-1:]])
