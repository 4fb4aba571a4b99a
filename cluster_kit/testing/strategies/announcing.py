"""Rules on how nodes that announce themselves find each other, and whom they don't find."""

from __future__ import annotations

import pytest

from cluster_kit.abc import Leaving, Observation, Strategy
from cluster_kit.node import Fence, Node
from cluster_kit.testing.contract import contract
from cluster_kit.testing.listener import vouches
from cluster_kit.testing.strategies.overrides import (
    ANN,
    BOB,
    CAT,
    StrategyOverrides,
    needs_announcing,
)
from cluster_kit.testing.strategies.said import descriptions_of

TAGS = {"Zone": 'A = "1", \N{GREEK SMALL LETTER OMEGA}\n'}  # whatever text it is
NEW_TAGS = {"Zone": "b"}


class AnnouncingRules(StrategyOverrides):
    """Rules on how nodes that announce themselves find each other, and whom they don't find."""

    @contract("True for a strategy that makes this node known")
    def test_two_nodes_find_each_other(self, strategy: Strategy) -> None:
        """Of two nodes that announce themselves each hears of the other."""

        async def scenario() -> None:
            needs_announcing(strategy)
            async with (
                self.listen(strategy, self.discovery(ANN)) as ann,
                self.listen(strategy, self.discovery(BOB)) as bob,
            ):
                await ann.until(lambda observation: vouches(observation, BOB), "ann to find bob")
                await bob.until(lambda observation: vouches(observation, ANN), "bob to find ann")

        self.run(scenario())

    @contract("calls ``ctx.announced()`` when it has")
    def test_tells_that_it_has_announced(self, strategy: Strategy) -> None:
        """``ctx.announced()`` is called, or the topology would never be ready."""

        async def scenario() -> None:
            needs_announcing(strategy)
            ctx = self.discovery()
            async with self.listen(strategy, ctx) as heard:
                if not await heard.happens(ctx.has_announced):
                    raise heard.error or AssertionError("ctx.announced() was not called")

        self.run(scenario())

    @contract("False: look, but don't make yourself known.")
    def test_looking_makes_nothing_known(self, strategy: Strategy) -> None:
        """With ``ctx.announce`` false a node sees the others, and they don't see it."""

        async def scenario() -> None:
            needs_announcing(strategy)
            looking = self.discovery(ANN, announce=False)
            async with (
                self.listen(strategy, looking) as ann,
                self.listen(strategy, self.discovery(BOB)) as bob,
            ):
                await ann.until(lambda observation: vouches(observation, BOB), "ann to find bob")
                async with self.listen(strategy, self.discovery(CAT)):
                    await bob.until(
                        lambda observation: vouches(observation, CAT), "bob to find cat"
                    )
                    await ann.until(
                        lambda observation: vouches(observation, CAT), "ann to find cat"
                    )
                assert not bob.vouched_for(looking.local), "bob found a node that only looks"

        self.run(scenario())

    @pytest.mark.parametrize("differing", ["cluster", "group", "boundary", "case"])
    @contract("a strategy ignores nodes of other fences, a connector refuses them")
    def test_foreign_nodes_are_ignored(self, strategy: Strategy, differing: str) -> None:
        """A node of another cluster or group that uses the same source is not found, and finds
        nobody.
        """

        async def scenario() -> None:
            needs_announcing(strategy)
            foreign = self.discovery(CAT)
            foreign.fence = _another(foreign.fence, differing)
            async with (
                self.listen(strategy, foreign) as cat,
                self.listen(strategy, self.discovery(ANN)) as ann,
            ):
                await cat.happens(foreign.has_announced)
                async with self.listen(strategy, self.discovery(BOB)):
                    await ann.until(
                        lambda observation: vouches(observation, BOB), "ann to find bob"
                    )
                    await ann.hear(_never, within_s=self.listen_s)
            fences = f"cat's fence is {foreign.fence}, that of the others {self.discovery().fence}"
            assert not ann.vouched_for(foreign.local), f"ann found cat: {fences}"
            found = [node.key for node in (ANN, BOB) if cat.vouched_for(node)]
            assert not found, f"cat found {found}: {fences}"

        self.run(scenario())

    @contract("What it says of a node is what that node says of itself")
    def test_a_node_is_described_as_it_is(self, strategy: Strategy) -> None:
        """Name, address and run of another node are told as they are, or not at all; metadata,
        where there is room for it.
        """

        async def scenario() -> None:
            needs_announcing(strategy)
            ctx = self.discovery(BOB)
            bob = ctx.local = ctx.local.evolve(metadata=TAGS if self.tells_changes else {})
            async with (
                self.listen(strategy, self.discovery(ANN)) as ann,
                self.listen(strategy, ctx),
            ):
                said = await ann.until(
                    lambda observation: vouches(observation, bob), "ann to find bob"
                )
            for described in descriptions_of([said], bob):
                assert described.name in (None, bob.name)
                assert described.address in (None, bob.address)
                assert described.boot_id in (None, bob.boot_id)
                assert described.metadata == bob.metadata

        self.run(scenario())

    @contract(
        "``await ctx.changed()`` returns when that changed, or when this node is about to leave"
    )
    def test_changes_are_announced(self, strategy: Strategy) -> None:
        """The others hear of new metadata."""

        async def scenario() -> None:
            self._needs_room(strategy)
            ctx = self.discovery(BOB)
            async with (
                self.listen(strategy, self.discovery(ANN)) as ann,
                self.listen(strategy, ctx),
            ):
                await ann.until(lambda observation: vouches(observation, BOB), "ann to find bob")
                ctx.change(local=ctx.local.evolve(metadata=NEW_TAGS))
                await ann.until(
                    lambda said: _is_tagged(said, ctx.local),
                    f"ann to hear of bob's new metadata {NEW_TAGS}",
                )

        self.run(scenario())

    @contract("Whether this node is about to leave and should say so.")
    def test_leaving_is_announced(self, strategy: Strategy) -> None:
        """The others hear that a node is about to leave, so that they don't dial it any more."""

        async def scenario() -> None:
            self._needs_room(strategy)
            ctx = self.discovery(BOB)
            async with (
                self.listen(strategy, self.discovery(ANN)) as ann,
                self.listen(strategy, ctx),
            ):
                await ann.until(lambda observation: vouches(observation, BOB), "ann to find bob")
                ctx.change(leaving=True)
                await ann.until(
                    Leaving,
                    "ann to hear that bob is leaving",
                    where=lambda said: said.name in (BOB.name, BOB.address),
                )

        self.run(scenario())

    def _needs_room(self, strategy: Strategy) -> None:
        needs_announcing(strategy)
        if not self.tells_changes:
            pytest.skip("tells_changes is false: the source has room for name and address only")


def _another(fence: Fence, differing: str) -> Fence:
    """Return one that differs in one part, in where the parts begin and end, or in upper and lower
    case.
    """
    match differing:
        case "cluster":
            return Fence("foreign", fence.group)
        case "group":
            return Fence(fence.cluster, "foreign")
        case "boundary":
            return Fence(fence.cluster + fence.group[:1], fence.group[1:])
        case _:
            return Fence(fence.cluster.swapcase(), fence.group)


def _never(observation: Observation) -> bool:
    return False


def _is_tagged(observation: Observation, node: Node) -> bool:
    return any(
        described.metadata == node.metadata for described in descriptions_of([observation], node)
    )
