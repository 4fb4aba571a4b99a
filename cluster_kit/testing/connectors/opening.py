"""The rules of opening a link, and of failing to, part of ``ConnectorConformance``."""

from __future__ import annotations

import asyncio

import pytest

from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.node import Fence, Node
from cluster_kit.testing.connectors.stage import Party, Stage
from cluster_kit.testing.contract import contract
from cluster_kit.testing.leaks import leaves_nothing
from cluster_kit.testing.stand_ins import FENCE

SIMULTANEOUS_ROUNDS = 5

ONCE = "Each end reports it up exactly once, dialled or accepted, and down exactly once."


class OpeningRules(Stage):
    """Two nodes get one link, whoever dials, or an error that says why not."""

    # Opening

    @contract("return the peer as it introduced itself")
    def test_connect_returns_the_peer_as_it_introduced_itself(self) -> None:
        """An address is enough; name, metadata and boot are what the peer tells."""

        async def scenario(ann: Party, bob: Party) -> None:
            met = await ann.connector.connect(Node(address=bob.node.address))
            assert (met.name, met.metadata, met.boot_id) == (
                bob.node.name,
                bob.node.metadata,
                bob.links.boot_id,
            )

        self.play(scenario, "ann", "bob", holding=True)

    @contract("a new one is reported up before this returns")
    def test_up_is_reported_before_connect_returns(self) -> None:
        """Once ``connect`` has returned, the link counts."""

        async def scenario(ann: Party, bob: Party) -> None:
            met = await ann.connect(bob)
            assert ann.links.ups_and_downs(bob.name) == ["up"]
            assert ann.links.of("up") == ann.links.of("up", met.key), (
                "up was reported under another name than connect returned"
            )

        self.play(scenario, "ann", "bob")

    @contract(ONCE)
    def test_up_is_reported_once_on_both_ends(self) -> None:
        """A link is reported by the end that accepted it, too; not again when that end wants it as
        well.
        """

        async def scenario(ann: Party, bob: Party) -> None:
            await ann.connect(bob)
            await bob.links.expect("up", ann.name)
            await bob.connect(ann)
            assert ann.links.ups_and_downs(bob.name) == ["up"]
            assert bob.links.ups_and_downs(ann.name) == ["up"]

        self.play(scenario, "ann", "bob", holding=True)

    @contract("A link to ``node``, as it introduced itself, is up")
    def test_both_ends_are_told_who_the_peer_is(self) -> None:
        """Name, address, metadata and boot are told to the end that accepted, too: it may have to
        dial the next time.
        """

        async def scenario(ann: Party, bob: Party) -> None:
            await ann.connect(bob)
            assert (await ann.links.expect("up", bob.name)).node == bob.node
            assert (await bob.links.expect("up", ann.name)).node == ann.node

        self.play(scenario, "ann", "bob", holding=True)

    @contract("An existing link is kept")
    def test_connect_again_keeps_the_one_link(self) -> None:
        """Connecting to a linked peer returns it and reports nothing."""

        async def scenario(ann: Party, bob: Party) -> None:
            assert (await ann.connect(bob)).key == (await ann.connect(bob)).key
            assert ann.links.ups_and_downs(bob.name) == ["up"]

        self.play(scenario, "ann", "bob")

    @contract(
        "When two nodes dial each other at the same time, one link is left, and no end loses it "
        "again."
    )
    def test_simultaneous_connects_settle_on_one_link(self) -> None:
        """When both ends dial at once, one link is reported, and neither end loses it again."""

        async def scenario(ann: Party, bob: Party) -> None:
            results = await asyncio.gather(
                ann.connect(bob), bob.connect(ann), return_exceptions=True
            )
            faults = [
                result
                for result in results
                if isinstance(result, BaseException) and not _retryable(result)
            ]
            assert not faults, f"a crossed dial may only fail for now: {faults!r}"
            told = {result.reason for result in results if isinstance(result, ConnectError)}
            assert told <= {ConnectReason.CROSSED}, (
                f"a crossed dial failed for another reason: {results!r}"
            )
            await ann.links.expect("up", bob.name)
            await bob.links.expect("up", ann.name)
            await self.tell_each_other(ann, bob)
            assert ann.links.ups_and_downs(bob.name) == ["up"]
            assert bob.links.ups_and_downs(ann.name) == ["up"]

        for _ in range(SIMULTANEOUS_ROUNDS):
            self.play(scenario, "ann", "bob", holding=True)

    # Failing to open

    @contract("``reason`` says why not, ``retryable`` whether to try again soon")
    def test_nobody_there_is_worth_another_try(self) -> None:
        """A peer that isn't up yet is a ``ConnectError`` that may pass, and names the peer."""

        async def scenario(ann: Party) -> None:
            error = await self.refusal(
                ann, Node(name="ghost@127.0.0.1", address=await self.closed_address())
            )
            assert error.retryable
            assert error.node

        self.play(scenario, "ann", holding=True)

    @contract("``reason`` says why not, ``retryable`` whether to try again soon")
    def test_a_node_without_address_is_a_connect_error(self) -> None:
        """A node that can't be dialled is refused like one that doesn't answer."""

        async def scenario(ann: Party) -> None:
            await self.refusal(ann, Node(name="ghost@127.0.0.1"))

        self.play(scenario, "ann", holding=True)

    @contract("A peer of another name than ``node.name`` is ``NAME``")
    def test_another_name_than_expected_is_refused(self) -> None:
        """Whoever answers under another name is not the node that was asked for; neither end
        reports a link.
        """

        async def scenario(ann: Party, bob: Party) -> None:
            error = await self.refusal(ann, Node(name="eve@127.0.0.1", address=bob.node.address))
            assert error.reason is ConnectReason.NAME
            assert "eve@127.0.0.1" in str(error), f"the message lacks the expected name: {error}"
            assert bob.name in str(error), f"the message lacks the told name: {error}"
            await self.no_link(ann, bob)

        self.play(scenario, "ann", "bob", holding=True)

    @contract("An attempt that failed leaves no wish and no connection behind")
    def test_refused_connect_leaves_nothing_behind(self) -> None:
        """The worker dials again and again whoever is known and refuses: what is left each time
        adds up.
        """

        async def scenario(ann: Party, bob: Party) -> None:
            async with leaves_nothing(self.deadline_s):
                try:
                    await self.refusal(ann, Node(name="eve@127.0.0.1", address=bob.node.address))
                except AssertionError:
                    pytest.skip(
                        "it isn't refused, as test_another_name_than_expected_is_refused tells"
                    )

        self.play(scenario, "ann", "bob", holding=True)

    @contract("this very node ``SELF``")
    def test_own_address_is_known_as_self(self) -> None:
        """A node that turns out to be ourselves is told apart from a wrong one."""

        async def scenario(ann: Party) -> None:
            error = await self.refusal(ann, Node(address=ann.node.address))
            assert error.reason is ConnectReason.SELF
            assert ann.links.of("up") == []

        self.play(scenario, "ann", holding=True)

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
    def test_a_foreigner_is_refused(self, fence: Fence) -> None:
        """Another cluster or group is another world; neither end reports a link."""
        self.needs_links()

        async def scenario() -> None:
            async with self.party("ann") as ann, self.party("bob", fence=fence) as bob:
                assert (await self.refusal(ann, bob.node)).reason is ConnectReason.FOREIGN
                assert ann.links.of("up") == []
                assert bob.links.of("up") == []

        self.play(scenario)

    @pytest.mark.parametrize("linked", [0, 1], ids=["older", "newer"])
    @contract(
        "a node whose name another live one has, which the peer is linked to, gets ``NameConflict``"
    )
    def test_of_two_live_nodes_of_one_name_the_linked_one_keeps_its_link(self, linked: int) -> None:
        """The other is told of the conflict, whichever was started first; the one that is linked
        isn't disturbed.
        """
        self.needs_links()

        async def scenario() -> None:
            async with (
                self.party("bob") as bob,
                self.party("ann") as older,
                self.party("ann") as newer,
            ):
                first, second = (older, newer) if linked == 0 else (newer, older)
                await first.connect(bob)
                await bob.links.expect("up", first.name)
                await first.links.expect("up", bob.name)
                assert (await self.refusal(second, bob.node)).reason is ConnectReason.CONFLICT
                await self.tell_each_other(first, bob)
                assert bob.links.ups_and_downs(first.name) == ["up"]
                assert first.links.ups_and_downs(bob.name) == ["up"]
                assert second.links.of("up") == []

        self.play(scenario)


def _retryable(error: BaseException) -> bool:
    return isinstance(error, ConnectError) and error.retryable
