"""Rules on opening links, and on why a link is refused."""

from __future__ import annotations

import asyncio

import pytest

from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.node import Fence, Node
from cluster_kit.testing.connectors.harness import ConnectorHarness, StartedNode
from cluster_kit.testing.fakes import FENCE
from cluster_kit.testing.leaks import leaves_nothing
from cluster_kit.testing.rules import contract

SIMULTANEOUS_ROUNDS = 5

ONCE = "Each end reports it up exactly once, dialled or accepted, and down exactly once."


class OpeningRules(ConnectorHarness):
    """Two nodes get one link, whichever dials, or an error with the reason."""

    # Opening

    @contract("return the peer as it introduced itself")
    async def test_connect_returns_the_peer_as_it_introduced_itself(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """An address is enough: the peer introduces itself with name, metadata and boot."""
        self.needs_links()
        met = await ann.connector.connect(Node(address=bob.node.address))
        assert (met.name, met.metadata, met.boot_id) == (
            bob.node.name,
            bob.node.metadata,
            bob.links.boot_id,
        )

    @contract("a new one is reported up before this returns")
    async def test_up_is_reported_before_connect_returns(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """Once ``connect`` has returned, the link counts."""
        met = await ann.connect(bob)
        assert ann.links.ups_and_downs(bob.name) == ["up"]
        assert ann.links.of("up") == ann.links.of("up", met.key), (
            "connect returned another name than was reported up"
        )

    @contract(ONCE)
    async def test_up_is_reported_once_on_both_ends(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """Both ends report a link, and not again when the accepting end wants it, too."""
        self.needs_links()
        await ann.connect(bob)
        await bob.links.expect("up", ann.name)
        await bob.connect(ann)
        assert ann.links.ups_and_downs(bob.name) == ["up"]
        assert bob.links.ups_and_downs(ann.name) == ["up"]

    @contract("The peer as it introduced itself, whether dialled or accepted.")
    async def test_both_ends_report_the_peer_as_it_introduced_itself(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """The accepting end learns name, address, metadata and boot, too.

        It may have to dial the next time.
        """
        self.needs_links()
        await ann.connect(bob)
        assert (await ann.links.expect("up", bob.name)).node == bob.node
        assert (await bob.links.expect("up", ann.name)).node == ann.node

    @contract("An existing link is kept")
    async def test_connect_again_keeps_the_one_link(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """Connecting to a linked peer returns it and reports nothing."""
        assert (await ann.connect(bob)).key == (await ann.connect(bob)).key
        assert ann.links.ups_and_downs(bob.name) == ["up"]

    @contract(
        "When two nodes dial each other at the same time, one link is left, and no end loses it "
        "again."
    )
    def test_simultaneous_connects_settle_on_one_link(self) -> None:
        """If both ends dial at once, one link comes up and stays."""
        self.needs_links()

        async def scenario(ann: StartedNode, bob: StartedNode) -> None:
            dials = ann.connect(bob), bob.connect(ann)
            results = await asyncio.gather(*dials, return_exceptions=True)
            faults = [result for result in results if not isinstance(result, Node)]
            assert all(map(_is_crossed, faults)), (
                f"crossed dials may only fail as CROSSED, which is retryable: {faults!r}"
            )
            await ann.links.expect("up", bob.name)
            await bob.links.expect("up", ann.name)
            await self.exchange_updates(ann, bob)
            assert ann.links.ups_and_downs(bob.name) == ["up"]
            assert bob.links.ups_and_downs(ann.name) == ["up"]

        for _ in range(SIMULTANEOUS_ROUNDS):
            self.play(scenario, "ann", "bob")

    # Failing to open

    @contract("``reason`` says why not, ``retryable`` whether to try again soon")
    async def test_connect_to_a_closed_port_is_retryable(self, ann: StartedNode) -> None:
        """If nothing listens, the ``ConnectError`` is retryable and names the peer."""
        self.needs_links()
        error = await self.refusal(
            ann, Node(name="ghost@127.0.0.1", address=await self.closed_address())
        )
        assert error.retryable
        assert error.node

    @contract("``reason`` says why not, ``retryable`` whether to try again soon")
    async def test_a_node_without_address_is_a_connect_error(self, ann: StartedNode) -> None:
        """A node that can't be dialled is refused like one that doesn't answer."""
        self.needs_links()
        await self.refusal(ann, Node(name="ghost@127.0.0.1"))

    @contract("The reason is ``NAME`` if the peer is not called ``node.name``")
    async def test_another_name_than_expected_is_refused(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """A peer of another name is not the expected node; neither end reports a link."""
        self.needs_links()
        error = await self.refusal(ann, Node(name="eve@127.0.0.1", address=bob.node.address))
        assert error.reason is ConnectReason.NAME
        assert "eve@127.0.0.1" in str(error), f"the message lacks the expected name: {error}"
        assert bob.name in str(error), f"the message lacks the peer's name: {error}"
        await self.no_link(ann, bob)

    @contract("A failed attempt leaves neither a connection nor a pending request behind")
    async def test_refused_connect_leaves_nothing_behind(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """The worker redials a peer that refuses, so any remains would add up."""
        self.needs_links()
        async with leaves_nothing(self.deadline_s):
            try:
                await self.refusal(ann, Node(name="eve@127.0.0.1", address=bob.node.address))
            except AssertionError:
                pytest.skip(
                    "the peer isn't refused; test_another_name_than_expected_is_refused covers that"
                )

    @contract("``SELF`` if the dial led back to this node")
    async def test_own_address_is_known_as_self(self, ann: StartedNode) -> None:
        """A node that dials itself recognises itself."""
        self.needs_links()
        error = await self.refusal(ann, Node(address=ann.node.address))
        assert error.reason is ConnectReason.SELF
        assert ann.links.of("up") == []

    @pytest.mark.parametrize(
        "fence",
        [
            Fence("elsewhere", FENCE.group),
            Fence(FENCE.cluster, "elsewhere"),
            Fence(FENCE.cluster + FENCE.group[:1], FENCE.group[1:]),
            Fence(FENCE.cluster.upper(), FENCE.group),
        ],
        ids=["cluster", "group", "boundary", "case"],
    )
    @contract("a strategy ignores nodes of other fences, a connector refuses them")
    async def test_a_foreigner_is_refused(self, fence: Fence) -> None:
        """Nodes of another cluster or group are refused; neither end reports a link."""
        self.needs_links()
        async with self.started("ann") as ann, self.started("bob", fence=fence) as bob:
            assert (await self.refusal(ann, bob.node)).reason is ConnectReason.FOREIGN
            assert ann.links.of("up") == []
            assert bob.links.of("up") == []

    @pytest.mark.parametrize("linked", [0, 1], ids=["older", "newer"])
    @contract(
        "If the peer is linked to another live process with this node's name, the error is "
        "``NameConflict``"
    )
    async def test_of_two_live_nodes_of_one_name_the_linked_one_keeps_its_link(
        self, linked: int
    ) -> None:
        """The other one gets a conflict, whichever booted first."""
        self.needs_links()
        async with (
            self.started("bob") as bob,
            self.started("ann") as older,
            self.started("ann") as newer,
        ):
            first, second = (older, newer) if linked == 0 else (newer, older)
            await first.connect(bob)
            await bob.links.expect("up", first.name)
            await first.links.expect("up", bob.name)
            assert (await self.refusal(second, bob.node)).reason is ConnectReason.CONFLICT
            await self.exchange_updates(first, bob)
            assert bob.links.ups_and_downs(first.name) == ["up"]
            assert first.links.ups_and_downs(bob.name) == ["up"]
            assert second.links.of("up") == []


def _is_crossed(error: object) -> bool:
    if not isinstance(error, ConnectError):
        return False
    return error.retryable and error.reason is ConnectReason.CROSSED
