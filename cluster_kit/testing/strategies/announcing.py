"""Rules on nodes that announce themselves: who finds them, and what is known of them."""

from __future__ import annotations

import pytest

from cluster_kit.abc import Leaving, Observation, Strategy
from cluster_kit.node import Fence, Node
from cluster_kit.testing.observations import descriptions_of
from cluster_kit.testing.rules import contract
from cluster_kit.testing.strategies.harness import (
    ANN,
    BOB,
    CAT,
    StrategyHarness,
    finds,
    needs_announcing,
)

TAGS = {"Zone": 'A = "1", \N{GREEK SMALL LETTER OMEGA}\n'}  # metadata may be any text
NEW_TAGS = {"Zone": "b"}


class AnnouncingRules(StrategyHarness):
    """Nodes of one fence find each other as they are, and no other nodes find them."""

    @contract("True for a strategy that makes this node known")
    async def test_two_nodes_find_each_other(self, strategy: Strategy) -> None:
        """Two nodes that announce themselves find each other."""
        needs_announcing(strategy)
        async with (
            self.listen(strategy, self.discovery(ANN)) as ann,
            self.listen(strategy, self.discovery(BOB)) as bob,
        ):
            await finds(ann, BOB)
            await finds(bob, ANN)

    @contract("calls ``ctx.announced()`` when it has")
    async def test_reports_that_it_has_announced(self, strategy: Strategy) -> None:
        """Without a call of ``ctx.announced()`` the topology would never be ready."""
        needs_announcing(strategy)
        ctx = self.discovery()
        async with self.listen(strategy, ctx) as listener:
            if not await listener.happens(ctx.has_announced):
                raise listener.error or AssertionError("ctx.announced() was not called")

    @contract("If false, find other nodes, but don't announce this one.")
    async def test_observer_is_not_announced(self, strategy: Strategy) -> None:
        """With ``ctx.announce`` false a node finds the others, and they don't find it."""
        needs_announcing(strategy)
        observer = self.discovery(ANN, announce=False)
        async with (
            self.listen(strategy, observer) as ann,
            self.listen(strategy, self.discovery(BOB)) as bob,
        ):
            await finds(ann, BOB)
            async with self.listen(strategy, self.discovery(CAT)):
                await finds(bob, CAT)
                await finds(ann, CAT)
            assert not bob.vouched_for(observer.local), "bob found a node that doesn't announce"

    @pytest.mark.parametrize("differing", ["cluster", "group", "boundary", "case"])
    @contract("a strategy ignores nodes of other fences, a connector refuses them")
    async def test_foreign_nodes_are_ignored(self, strategy: Strategy, differing: str) -> None:
        """A node of another cluster or group, at the same source, neither finds nor is found."""
        needs_announcing(strategy)
        foreign = self.discovery(CAT)
        foreign.fence = _another(foreign.fence, differing)
        async with (
            self.listen(strategy, foreign) as cat,
            self.listen(strategy, self.discovery(ANN)) as ann,
        ):
            await cat.happens(foreign.has_announced)
            async with self.listen(strategy, self.discovery(BOB)):
                await finds(ann, BOB)
                await self.watch(ann)
        fences = f"cat's fence is {foreign.fence}, the other nodes' is {self.discovery().fence}"
        assert not ann.vouched_for(foreign.local), f"ann found cat: {fences}"
        found = [node.key for node in (ANN, BOB) if cat.vouched_for(node)]
        assert not found, f"cat found {found}: {fences}"

    @contract("It describes a node as that node describes itself")
    async def test_a_node_is_described_as_it_is(self, strategy: Strategy) -> None:
        """Other nodes are described correctly: all that the source has room for.

        Name, address and boot may be missing; metadata may not, unless ``tells_changes`` is false.
        """
        needs_announcing(strategy)
        ctx = self.discovery(BOB)
        bob = ctx.local = ctx.local.evolve(metadata=TAGS if self.tells_changes else {})
        async with self.listen(strategy, self.discovery(ANN)) as ann, self.listen(strategy, ctx):
            observed = await finds(ann, bob)
        for described in descriptions_of([observed], bob):
            assert described.name in (None, bob.name)
            assert described.address in (None, bob.address)
            assert described.boot_id in (None, bob.boot_id)
            assert described.metadata == bob.metadata

    @contract(
        "``await ctx.changed()`` returns when that changed, or when this node is about to leave"
    )
    async def test_changes_are_announced(self, strategy: Strategy) -> None:
        """Other nodes observe new metadata."""
        self._needs_room(strategy)
        bob = self.discovery(BOB)
        async with self.in_company(strategy, bob) as ann:
            bob.change(local=bob.local.evolve(metadata=NEW_TAGS))
            await ann.until(
                lambda observed: _is_tagged(observed, bob.local),
                f"ann to observe bob's new metadata {NEW_TAGS}",
            )

    @contract("Whether this node is about to leave and should say so.")
    async def test_leaving_is_announced(self, strategy: Strategy) -> None:
        """Other nodes observe ``Leaving``, and stop dialling the node."""
        self._needs_room(strategy)
        bob = self.discovery(BOB)
        async with self.in_company(strategy, bob) as ann:
            bob.change(leaving=True)
            await ann.until(
                Leaving,
                "ann to observe that bob is leaving",
                where=lambda observed: observed.name in (BOB.name, BOB.address),
            )

    def _needs_room(self, strategy: Strategy) -> None:
        needs_announcing(strategy)
        if not self.tells_changes:
            pytest.skip("tells_changes is false: the source has room for names and addresses only")


def _another(fence: Fence, differing: str) -> Fence:
    """Return a fence that differs from the given one in the named respect."""
    match differing:
        case "cluster":
            return Fence("foreign", fence.group)
        case "group":
            return Fence(fence.cluster, "foreign")
        case "boundary":
            return Fence(fence.cluster + fence.group[:1], fence.group[1:])
        case _:
            return Fence(fence.cluster.swapcase(), fence.group)


def _is_tagged(observation: Observation, node: Node) -> bool:
    return any(each.metadata == node.metadata for each in descriptions_of([observation], node))
