"""Rules on nodes that leave, fail, stop dead or come back, and on what the others learn of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from math import ceil

import pytest

from cluster_kit.abc import Found, Gone, Leaving, Observation, Seen, Strategy
from cluster_kit.node import BootId, Node
from cluster_kit.testing.fakes import FakeDiscovery
from cluster_kit.testing.listener import Listener, attend, run_of, vouches
from cluster_kit.testing.observations import descriptions_of, removals, vouched_in, withdraws
from cluster_kit.testing.rules import contract
from cluster_kit.testing.strategies.harness import (
    ANN,
    BOB,
    CAT,
    StrategyHarness,
    finds,
    needs_announcing,
    needs_short_ttl,
)
from cluster_kit.testing.strategies.shutdown import GOODBYE_S
from cluster_kit.testing.wellformed import malformed_observation

_MOVED = BOB.evolve(address="127.0.0.1:45009")


class LeavingRules(StrategyHarness):
    """A goodbye is observed and concerns one run of one node; silence is not a goodbye."""

    # Saying goodbye

    @contract("When the generator is closed, it has one second to say goodbye.")
    async def test_goodbye_is_observed(self, strategy: Strategy) -> None:
        """After a run was closed, others soon observe ``Gone``, and newcomers don't find its node.

        Both happen long before the node would have expired.
        """
        needs_announcing(strategy)
        bob = self.discovery(BOB)
        async with self.listen(strategy, self.discovery(ANN)) as ann:
            async with self.listen(strategy, bob):
                await finds(ann, bob.local)
                since = len(ann.observations)
            found = await self._found_by_newcomer(strategy, bob.local)
            assert not found, (
                f"more than {GOODBYE_S:g} s after bob was closed, a newcomer observed {found}"
            )
            within_s = min([self.deadline_s, *_ttl_s_of(ann, bob.local)])
            goodbye = await ann.hear(
                lambda observed: withdraws(observed, bob.local), since=since, within_s=within_s
            )
            if goodbye is None and ann.error is not None:
                raise ann.error
            assert goodbye is not None, (
                f"bob said goodbye, and within {within_s:.1f} s ann observed only "
                f"{ann.observations[since:]}"
            )
            assert not (fault := malformed_observation(goodbye)), fault

    async def _found_by_newcomer(self, strategy: Strategy, node: Node) -> Observation | None:
        """Return how a newcomer finds ``node``, ``None`` once the source has forgotten it.

        The source may take the whole second of the goodbye for that.
        """
        for _ in range(ceil(GOODBYE_S / self.listen_s) + 1):
            async with self.listen(strategy, self.discovery(CAT, announce=False)) as cat:
                found = await cat.hear(
                    lambda observed: vouches(observed, node), within_s=self.listen_s
                )
                if found is None:
                    break
            await attend(self.listen_s)
        return found

    @contract(
        "A run is closed by ``GeneratorExit`` where it yields and by ``CancelledError`` where it "
        "awaits"
    )
    async def test_goodbye_follows_closing_at_a_yield(self, strategy: Strategy) -> None:
        """A worker may close the run between two observations, when nothing is cancelled."""
        needs_announcing(strategy)
        bob = self.discovery(BOB)
        async with self.listen(strategy, self.discovery(ANN)) as ann:
            observations = await self._known_at_a_yield(strategy, bob, ann)
            since = len(ann.observations)
            within_s = min([self.deadline_s, *_ttl_s_of(ann, bob.local)])
            await observations.aclose()
            goodbye = await ann.hear(
                lambda observed: withdraws(observed, bob.local), since=since, within_s=within_s
            )
        assert goodbye is not None, (
            f"bob's run was closed at a yield, and within {within_s:.1f} s ann observed only "
            f"{ann.observations[since:]}"
        )

    @contract("One that fails is started again, so it says no goodbye.")
    async def test_a_run_that_fails_says_no_goodbye(self, strategy: Strategy) -> None:
        """The node of a run that raises is still there, and is soon announced again.

        The suite throws an exception into the run where it yields.
        """
        needs_announcing(strategy)
        bob = self.discovery(BOB)
        async with self.listen(strategy, self.discovery(ANN)) as ann:
            observations = await self._known_at_a_yield(strategy, bob, ann)
            if not any(isinstance(s, Seen) and vouches(s, bob.local) for s in ann.observations):
                await observations.aclose()
                pytest.skip(
                    "the strategy yields Found: a node that is absent from the source is gone, "
                    "whatever the reason"
                )
            since = len(ann.observations)
            with suppress(RuntimeError):
                await observations.athrow(RuntimeError("thrown by the suite"))
            await attend(self.listen_s)
            goodbyes = [
                observed
                for observed in ann.observations[since:]
                if isinstance(observed, Gone | Leaving) and observed.name == BOB.name
            ]
        assert not goodbyes, f"a run of bob raised an exception, and ann observed {goodbyes}"

    async def _known_at_a_yield(
        self, strategy: Strategy, ctx: FakeDiscovery, ann: Listener
    ) -> AsyncGenerator[Observation, None]:
        """Return a run that is suspended at a yield, and whose node ann has found."""
        observations = run_of(strategy, ctx)
        try:
            async with asyncio.timeout(self.deadline_s):
                async for _ in observations:
                    if await ann.hear(
                        lambda observed: vouches(observed, ctx.local), within_s=self.listen_s
                    ):
                        return observations
        except TimeoutError:
            pytest.skip("ann doesn't find bob; test_two_nodes_find_each_other covers that")
        raise AssertionError("the run ended by itself")

    # Whom a goodbye concerns

    @contract(
        "it has left, or is explicitly no longer there; ``boot_id`` limits that to one run of it"
    )
    async def test_goodbye_of_one_spares_the_others(self, strategy: Strategy) -> None:
        """A node that leaves takes no other with it, even one that can't announce itself again."""
        needs_announcing(strategy)
        cat, bob = self.discovery(CAT), self.discovery(BOB)
        async with self.listen(strategy, self.discovery(ANN)) as ann:
            await asyncio.sleep(0)  # ann starts first
            with self.bystander(strategy, cat) as frozen:
                async with self.listen(strategy, bob):
                    await finds(ann, bob.local)
                    await finds(ann, cat.local)
                    since = len(ann.observations)
                    frozen.freeze()
                await attend(self.listen_s)
                lost = removals(ann.observations[since:], [cat.local])
        assert not lost, f"bob left, and ann lost {'; '.join(lost)}"

    @contract("``boot_id`` limits that to one run of it")
    async def test_goodbye_of_an_earlier_run_spares_the_next(self, strategy: Strategy) -> None:
        """The goodbye of an earlier run does not remove the run that replaced it."""
        needs_announcing(strategy)
        bob, next_bob = self.discovery(BOB), self.discovery(BOB)
        assert bob.local.boot_id is not None
        next_bob.local = bob.local.evolve(boot_id=BootId(bob.local.boot_id.started_ms + 1, 0))
        async with (
            self.listen(strategy, self.discovery(ANN)) as ann,
            self.listen(strategy, bob) as former,
        ):
            observed = await finds(ann, bob.local)
            if not any(node.boot_id for node in descriptions_of([observed], bob.local)):
                pytest.skip("the source doesn't distinguish two runs of one node")
            async with self.listen(strategy, next_bob):
                await ann.hear(
                    lambda observed: _is_run(observed, next_bob.local), within_s=self.listen_s
                )
                await former.close()  # some sources accept the next run only then
                observed = await ann.until(
                    lambda observed: _is_run(observed, next_bob.local), "ann to find bob's next run"
                )
                await attend(self.listen_s)
                since = ann.observations.index(observed)
                lost = removals(ann.observations[since:], [next_bob.local])
        assert not lost, f"an earlier run of bob left, and ann lost the next one: {'; '.join(lost)}"

    @contract("If false, find other nodes, but don't announce this one.")
    async def test_leaving_observer_removes_no_node(self, strategy: Strategy) -> None:
        """An observer may use the name of a running node, which stays known when it has closed."""
        needs_announcing(strategy)
        bob = self.discovery(BOB)
        async with self.in_company(strategy, bob) as ann:
            since = len(ann.observations)
            async with self.listen(strategy, self.discovery(BOB, announce=False)) as observer:
                await observer.hear(lambda observed: vouches(observed, ANN), within_s=self.listen_s)
            await attend(self.listen_s)
            lost = removals(ann.observations[since:], [bob.local])
        assert not lost, f"an observer that used bob's name closed, and ann lost {'; '.join(lost)}"

    @contract("It describes a node as that node describes itself")
    async def test_the_next_run_is_described_as_it_is(self, strategy: Strategy) -> None:
        """A node that comes back at another address is found there."""
        needs_announcing(strategy)
        bob, moved = self.discovery(BOB), self.discovery(_MOVED)
        if bob.local.address == moved.local.address:
            pytest.skip("discovery() replaces the address, so the node can't move")
        async with self.listen(strategy, self.discovery(ANN)) as ann:
            async with self.listen(strategy, bob):
                await finds(ann, bob.local)
            since = len(ann.observations)
            async with self.listen(strategy, moved):
                await ann.until(
                    lambda observed: (
                        moved.local.address in {each.address for each in vouched_in(observed)}
                    ),
                    f"ann to find bob's next run at {moved.local.address}",
                    since=since,
                )

    # Stopping dead

    @contract("forget it when ``ttl_s`` seconds pass without another ``Seen``")
    async def test_silent_node_is_not_seen_for_ever(self, strategy: Strategy) -> None:
        """A node that stopped dead is not reported gone, but its ``Seen`` is no longer renewed."""
        needs_announcing(strategy)
        async with self.listen(strategy, self.discovery(ANN)) as ann:
            await asyncio.sleep(0)  # ann starts first
            with self.bystander(strategy, self.discovery(BOB)) as bob:
                observed = await finds(ann, BOB)
                if not isinstance(observed, Seen):
                    pytest.skip("the strategy yields Found, which has no time to live")
                since = len(ann.observations)
                bob.freeze()
                await self._forgets(ann, observed)
                gone = [
                    observed for observed in ann.observations[since:] if isinstance(observed, Gone)
                ]
                assert not gone, f"bob stopped without a goodbye, and ann observed {gone}"

    async def _forgets(self, ann: Listener, observed: Seen) -> None:
        """Wait until a node was not seen for one time to live.

        That may take several: the entry in the source can have a separate time to live.
        """
        needs_short_ttl(observed.ttl_s, self.deadline_s)
        passed_s = 0.0
        while passed_s <= 3 * observed.ttl_s:
            since, ttl_s = len(ann.observations), max(self.listen_s, *_ttl_s_of(ann, observed.node))
            await attend(ttl_s)
            passed_s += ttl_s
            if not any(
                vouches(observation, observed.node) for observation in ann.observations[since:]
            ):
                return
        raise AssertionError(
            f"{observed.node} stopped dead, and {passed_s:.1f} s later it is still seen: "
            f"{ann.observations[-1]}"
        )


def _is_run(observation: Observation, node: Node) -> bool:
    return any(each.boot_id == node.boot_id for each in descriptions_of([observation], node))


def _ttl_s_of(listener: Listener, node: Node) -> list[float]:
    """Return the ``ttl_s`` of the last ``Seen`` of ``node``, nothing if ``Found`` came last."""
    vouching = [
        observed
        for observed in listener.observations
        if isinstance(observed, Seen | Found) and vouches(observed, node)
    ]
    return [observed.ttl_s for observed in vouching[-1:] if isinstance(observed, Seen)]
