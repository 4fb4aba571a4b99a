"""Rules on goodbyes and on silence, which is none."""

from __future__ import annotations

import asyncio
from math import ceil

import pytest

from cluster_kit.abc import Found, Gone, Observation, Seen, Strategy
from cluster_kit.node import BootId, Node
from cluster_kit.testing.contract import contract
from cluster_kit.testing.form import fault_of_observation
from cluster_kit.testing.listener import Listener, attend, vouches
from cluster_kit.testing.strategies.ending import GOODBYE_S
from cluster_kit.testing.strategies.overrides import (
    ANN,
    BOB,
    CAT,
    StrategyOverrides,
    needs_announcing,
)
from cluster_kit.testing.strategies.said import descriptions_of, removals, withdraws


class SilenceRules(StrategyOverrides):
    """Rules on goodbyes and on silence, which is none."""

    @contract("Closing the generator is the order to say goodbye, for which it has one second.")
    def test_goodbye_is_heard(self, strategy: Strategy) -> None:
        """Those who know a closed node hear that it has gone, and who comes later doesn't find it,
        long before it expires.
        """

        async def scenario() -> None:
            needs_announcing(strategy)
            bob = self.discovery(BOB)
            async with self.listen(strategy, self.discovery(ANN)) as ann:
                async with self.listen(strategy, bob):
                    await ann.until(
                        lambda observation: vouches(observation, bob.local), "ann to find bob"
                    )
                    since = len(ann.observations)
                found = await self._found_by_newcomer(strategy, bob.local)
                assert not found, (
                    f"more than {GOODBYE_S:g} s after bob was closed, a newcomer is told {found}"
                )
                within_s = min([self.deadline_s, *_lives_of(ann, bob.local)])
                heard = await ann.hear(
                    lambda said: withdraws(said, bob.local), since=since, within_s=within_s
                )
                if heard is None and ann.error is not None:
                    raise ann.error
                said = ann.observations[since:]
                assert heard is not None, (
                    f"ann did not hear bob's goodbye within {within_s:.1f} s, but {said}"
                )
                assert not (fault := fault_of_observation(heard)), fault

        self.run(scenario())

    async def _found_by_newcomer(self, strategy: Strategy, node: Node) -> Observation | None:
        """Return how one that looks is told of ``node``; the source may take some of the second to
        forget it.
        """
        for _ in range(ceil(GOODBYE_S / self.listen_s) + 1):
            async with self.listen(strategy, self.discovery(CAT, announce=False)) as cat:
                found = await cat.hear(
                    lambda observation: vouches(observation, node), within_s=self.listen_s
                )
                if found is None:
                    break
            await attend(self.listen_s)
        return found

    @contract("``boot_id`` limits that to one run of it")
    def test_goodbye_of_an_earlier_run_spares_the_next(self, strategy: Strategy) -> None:
        """Where a node is replaced by another run of it, the goodbye of the former is none of the
        latter.
        """

        async def scenario() -> None:
            needs_announcing(strategy)
            bob, next_bob = self.discovery(BOB), self.discovery(BOB)
            assert bob.local.boot_id is not None
            next_bob.local = bob.local.evolve(boot_id=BootId(bob.local.boot_id.started_ms + 1, 0))
            async with (
                self.listen(strategy, self.discovery(ANN)) as ann,
                self.listen(strategy, bob) as former,
            ):
                said = await ann.until(
                    lambda observation: vouches(observation, bob.local), "ann to find bob"
                )
                if not any(node.boot_id for node in descriptions_of([said], bob.local)):
                    pytest.skip("the source doesn't tell one run of a node from another")
                async with self.listen(strategy, next_bob):
                    await ann.hear(
                        lambda said: _is_run(said, next_bob.local), within_s=self.listen_s
                    )
                    await former.close()  # which some sources need before they take the next run
                    said = await ann.until(
                        lambda said: _is_run(said, next_bob.local), "ann to find bob's next run"
                    )
                    await attend(self.listen_s)
                    lost = removals(
                        ann.observations[ann.observations.index(said) :], [next_bob.local]
                    )
            assert not lost, (
                "a former run of bob was closed, and the next one was taken back: "
                f"{'; '.join(lost)}"
            )

        self.run(scenario())

    @contract("forget it when ``ttl_s`` seconds pass without another ``Seen``")
    def test_silent_node_is_not_seen_for_ever(self, strategy: Strategy) -> None:
        """One that stops dead is not gone, but no longer vouched for once what it left has
        expired.
        """

        async def scenario() -> None:
            needs_announcing(strategy)
            async with self.listen(strategy, self.discovery(ANN)) as ann:
                await asyncio.sleep(0)  # ann comes first
                with self.bystander(strategy, self.discovery(BOB)) as bob:
                    said = await ann.until(
                        lambda observation: vouches(observation, BOB), "ann to find bob"
                    )
                    if not isinstance(said, Seen):
                        pytest.skip("it says Found, which has no time to live")
                    since = len(ann.observations)
                    bob.freeze()
                    await self._forgets(ann, said)
                    gone = [said for said in ann.observations[since:] if isinstance(said, Gone)]
                    assert not gone, f"bob stopped dead and said nothing, and ann was told {gone}"

        self.run(scenario())

    async def _forgets(self, ann: Listener, said: Seen) -> None:
        """Wait until a node isn't seen for its whole time to live, as what is told of it may have
        one of its own before.
        """
        if self.deadline_s < 3 * said.ttl_s:
            pytest.skip(
                f"ttl_s is {said.ttl_s:g}, and deadline_s {self.deadline_s:g}: configure a ttl_s "
                "of a third of that"
            )
        passed_s = 0.0
        while passed_s <= 3 * said.ttl_s:
            since, ttl_s = len(ann.observations), max(self.listen_s, *_lives_of(ann, said.node))
            await attend(ttl_s)
            passed_s += ttl_s
            if not any(vouches(observation, said.node) for observation in ann.observations[since:]):
                return
        raise AssertionError(
            f"{said.node} stopped dead, and {passed_s:.1f} s later it is still seen: "
            f"{ann.observations[-1]}"
        )


def _is_run(observation: Observation, node: Node) -> bool:
    return any(
        described.boot_id == node.boot_id for described in descriptions_of([observation], node)
    )


def _lives_of(heard: Listener, node: Node) -> list[float]:
    """Return how long the last ``Seen`` of a node counts; nothing if it was found in another
    way.
    """
    vouching = [
        said
        for said in heard.observations
        if isinstance(said, Seen | Found) and vouches(said, node)
    ]
    return [said.ttl_s for said in vouching[-1:] if isinstance(said, Seen)]
