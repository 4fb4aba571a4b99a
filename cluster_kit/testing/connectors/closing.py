"""Rules on closing links, and on updates and departures of linked nodes."""

from __future__ import annotations

import asyncio
from functools import partial

from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.events import Reason
from cluster_kit.node import MAX_METADATA_BYTES, Node
from cluster_kit.testing.connectors.harness import (
    ConnectorHarness,
    StartedNode,
    stop,
    unlinked_reports,
)
from cluster_kit.testing.rules import contract

STOP_ROUNDS = 10
ENDED: tuple[list[str], ...] = ([], ["up", "down"])

UNWANTED = "it closes when neither end wants it"
ONCE = "Each end reports it up exactly once, dialled or accepted, and down exactly once."


class ClosingRules(ConnectorHarness):
    """A link belongs to both ends: it closes when neither end wants it."""

    # Closing

    @contract(UNWANTED)
    async def test_disconnect_by_both_closes_the_link(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """A link that neither end wants is closed, and each end reports that once."""
        self.needs_links()
        await self.link_both_ways(ann, bob)
        await ann.disconnect(bob)
        await bob.disconnect(ann)
        assert (await ann.links.expect("down", bob.name)).reason is Reason.UNWANTED
        assert (await bob.links.expect("down", ann.name)).reason is Reason.UNWANTED
        await stop(ann, bob)
        assert ann.links.ups_and_downs(bob.name) == ["up", "down"]
        assert bob.links.ups_and_downs(ann.name) == ["up", "down"]

    @contract(UNWANTED)
    async def test_disconnect_by_both_in_turn_closes_the_link(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """Both ends report ``UNWANTED``, whichever gave up the link last."""
        self.needs_links()
        await self.link_both_ways(ann, bob)
        await ann.disconnect(bob)
        await self.exchange_updates(ann, bob)
        await bob.disconnect(ann)
        assert (await ann.links.expect("down", bob.name)).reason is Reason.UNWANTED
        assert (await bob.links.expect("down", ann.name)).reason is Reason.UNWANTED

    @contract(UNWANTED)
    async def test_disconnect_by_one_end_keeps_a_link_that_the_other_wants(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """A link stays up while either end wants it."""
        self.needs_links()
        await self.link_both_ways(ann, bob)
        await ann.disconnect(bob)
        await self.exchange_updates(ann, bob)
        assert ann.links.ups_and_downs(bob.name) == ["up"]
        assert bob.links.ups_and_downs(ann.name) == ["up"]

    @contract(UNWANTED)
    async def test_disconnect_ends_a_link_that_only_one_end_wanted(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """An end that was only dialled doesn't want the link."""
        self.needs_links()
        await ann.connect(bob)
        await bob.links.expect("up", ann.name)
        await ann.disconnect(bob)
        await ann.links.expect("down", bob.name)
        await bob.links.expect("down", ann.name)

    @contract("Stop wanting the link; it closes when the peer doesn't want it either. Idempotent.")
    async def test_disconnect_is_idempotent(self, ann: StartedNode, bob: StartedNode) -> None:
        """Disconnecting twice, or from an unknown node, reports nothing more."""
        await ann.disconnect(bob)
        assert ann.links.of("down") == []
        await ann.connect(bob)
        await ann.disconnect(bob)
        await ann.disconnect(bob)
        await ann.links.expect("down", bob.name)
        await ann.connector.stop()
        assert ann.links.ups_and_downs(bob.name) == ["up", "down"]

    @contract(ONCE)
    async def test_a_closed_link_can_be_opened_again(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """Up and down alternate, however often."""
        for round_ in (1, 2, 3):
            await ann.connect(bob)
            await ann.disconnect(bob)
            await ann.links.expect("down", bob.name, count=round_)
        assert ann.links.ups_and_downs(bob.name) == ["up", "down"] * 3

    @contract(
        "Close every link with a goodbye and stop accepting; each link is reported down. "
        "Idempotent."
    )
    async def test_stop_reports_each_link_down_once(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """Each link is reported down before ``stop`` returns, and nothing is reported later."""
        await ann.connect(bob)
        await ann.connector.stop()
        assert ann.links.ups_and_downs(bob.name) == ["up", "down"]
        assert ann.links.of("down")[0].reason is Reason.SHUTDOWN
        await ann.connector.stop()
        assert ann.links.ups_and_downs(bob.name) == ["up", "down"]

    @contract("Except for ``up``, a connector reports about a peer only while its link is up.")
    async def test_nothing_is_reported_of_an_unlinked_peer(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """Updates, round-trip times and ``leaving`` are reported between up and down only."""
        self.needs_links()
        for round_ in (1, 2):
            await ann.connect(bob)
            await bob.links.expect("up", ann.name, count=round_)
            await ann.connector.update(
                ann.node.evolve(metadata={"zone": str(round_)}), leaving=False
            )
            await ann.connector.update(ann.node, leaving=True)
            await ann.connector.update(ann.node, leaving=False)
            await ann.disconnect(bob)
            try:
                await bob.links.expect("down", ann.name, count=round_)
                await ann.links.expect("down", bob.name, count=round_)
            except AssertionError:  # another rule covers that
                break
        await stop(ann, bob)
        for one, other in ((ann, bob), (bob, ann)):
            stray = unlinked_reports(one, other)
            assert not stray, f"{one.name} reported {stray} while {other.name} was not linked"
            negative = [report for report in one.links.of("rtt", other.name) if report.data < 0]
            assert not negative, f"{one.name} reported a negative round-trip time: {negative}"

    @contract("Peers report it as ``left``")
    async def test_stop_says_goodbye(
        self, ann: StartedNode, bob: StartedNode, cat: StartedNode
    ) -> None:
        """Peers learn that the node left, not that its link broke, whichever end dialled."""
        self.needs_links()
        await ann.connect(bob)
        await cat.connect(ann)
        await ann.connector.stop()
        assert (await bob.links.expect("down", ann.name)).reason is Reason.LEFT
        assert (await cat.links.expect("down", ann.name)).reason is Reason.LEFT
        assert bob.links.ups_and_downs(ann.name) == ["up", "down"]
        assert cat.links.ups_and_downs(ann.name) == ["up", "down"]

    @contract("the next run of its name is welcome")
    async def test_a_node_that_left_can_come_back(self) -> None:
        """A new boot of a name that said goodbye can link at once."""
        self.needs_links()
        async with self.started("bob") as bob:
            async with self.started("ann") as first_boot:
                await first_boot.connect(bob)
            async with self.started("ann") as second_boot:
                await second_boot.connect(bob)
                again = await bob.links.expect("up", second_boot.name, count=2)
                assert again.node is not None
                assert again.node.boot_id == second_boot.links.boot_id
                assert bob.links.ups_and_downs(second_boot.name) == ["up", "down", "up"]

    # Updates

    @contract("Tell linked peers that this node's metadata changed")
    async def test_update_reaches_the_linked_peer(self, ann: StartedNode, bob: StartedNode) -> None:
        """A linked peer learns new metadata."""
        self.needs_links()
        await ann.connect(bob)
        await ann.connector.update(ann.node.evolve(metadata={"zone": "b"}), leaving=False)
        updated = await bob.links.expect("updated", ann.name)
        assert updated.node is not None
        assert updated.node.metadata == {"zone": "b"}

    @contract("Later peers learn it from their handshakes.")
    async def test_update_reaches_a_later_peer(self, ann: StartedNode, bob: StartedNode) -> None:
        """A node introduces itself to later peers with its new metadata."""
        self.needs_links()
        await ann.connector.update(ann.node.evolve(metadata={"zone": "b"}), leaving=False)
        assert (await bob.connect(ann)).metadata == {"zone": "b"}

    @contract("Metadata arrives unchanged, whatever text it is.")
    async def test_any_metadata_gets_through(self) -> None:
        """Metadata may be any text of up to ``MAX_METADATA_BYTES``."""
        self.needs_links()
        text = "\N{GREEK SMALL LETTER OMEGA}\n\x00\r\"'\\ \u2028" * MAX_METADATA_BYTES
        most = {"k": text.encode()[: MAX_METADATA_BYTES - 1].decode(errors="ignore")}
        async with (
            self.started("ann", metadata=most) as ann,
            self.started("bob", metadata=most) as bob,
        ):
            assert (await ann.connect(bob)).metadata == most
            up = await bob.links.expect("up", ann.name)
            assert up.node is not None
            assert up.node.metadata == most

    # Leaving

    @contract("A node that is about to leave keeps its links until ``stop``")
    async def test_leaving_is_announced_and_keeps_the_link(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """A node that is about to leave announces that, and its links stay until it stops."""
        self.needs_links()
        await ann.connect(bob)
        await ann.connector.update(ann.node, leaving=True)
        await bob.links.expect("leaving", ann.name)
        assert bob.links.ups_and_downs(ann.name) == ["up"]

    @contract("refuses new ones for the reason ``LEAVING``")
    async def test_a_leaving_node_takes_no_new_links(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """The refusal is retryable, since the node may change its mind."""
        self.needs_links()
        await bob.connector.update(bob.node, leaving=True)
        error = await self.refusal(ann, bob.node)
        assert error.reason is ConnectReason.LEAVING
        assert error.retryable
        await self.no_link(ann, bob)

    @contract("As soon as it is called, no new link is accepted")
    def test_no_link_outlives_stop(self) -> None:
        """A node that is stopping refuses a link, or accepts it and closes it with a goodbye.

        Once it has stopped, it no longer answers.
        """
        self.needs_links()

        async def scenario(ann: StartedNode, bob: StartedNode, turns: int) -> None:
            stopping = asyncio.create_task(bob.connector.stop())
            for _ in range(turns):  # dial at a later point of the stop each time
                await asyncio.sleep(0)
            dialling = asyncio.create_task(ann.connect(bob))
            await asyncio.wait([dialling, stopping], timeout=self.deadline_s)
            # as the worker does at its deadline, if the peer accepted and then stayed silent
            dialling.cancel()
            (outcome,) = await asyncio.gather(dialling, return_exceptions=True)
            await stopping
            assert isinstance(outcome, Node | ConnectError | asyncio.CancelledError), (
                f"the dial ended with {outcome!r}"
            )
            await ann.links.until(
                lambda: ann.links.ups_and_downs(bob.name) in ENDED, "down of each link that was up"
            )
            await self.refusal(ann, bob.node)
            assert bob.links.ups_and_downs(ann.name) in ENDED

        for turns in range(STOP_ROUNDS):
            self.play(partial(scenario, turns=turns), "ann", "bob")
