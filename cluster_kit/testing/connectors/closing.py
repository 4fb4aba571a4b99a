"""The rules of closing a link, and of what linked nodes tell each other, part of
``ConnectorConformance``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.events import Reason
from cluster_kit.node import MAX_METADATA_BYTES, Node
from cluster_kit.testing.connectors.stage import Party, Stage, stop
from cluster_kit.testing.contract import contract
from cluster_kit.testing.stand_ins import Report

STOP_ROUNDS = 10
ENDED: tuple[list[str], ...] = ([], ["up", "down"])

UNWANTED = "it closes when neither end wants it"
ONCE = "Each end reports it up exactly once, dialled or accepted, and down exactly once."


class ClosingRules(Stage):
    """A link serves two: it closes when neither end wants it."""

    # Closing

    @contract(UNWANTED)
    def test_disconnect_by_both_closes_the_link(self) -> None:
        """A link that neither end wants any more is closed, and each end reports that once."""

        async def scenario(ann: Party, bob: Party) -> None:
            await self.link_both_ways(ann, bob)
            await ann.disconnect(bob)
            await bob.disconnect(ann)
            assert (await ann.links.expect("down", bob.name)).reason is Reason.UNWANTED
            assert (await bob.links.expect("down", ann.name)).reason is Reason.UNWANTED
            await stop(ann, bob)
            assert ann.links.ups_and_downs(bob.name) == ["up", "down"]
            assert bob.links.ups_and_downs(ann.name) == ["up", "down"]

        self.play(scenario, "ann", "bob", holding=True)

    @contract(UNWANTED)
    def test_disconnect_by_both_in_turn_closes_the_link(self) -> None:
        """The end that wanted it longer and the one that only hears of it tell the same reason,
        which is no goodbye.
        """

        async def scenario(ann: Party, bob: Party) -> None:
            await self.link_both_ways(ann, bob)
            await ann.disconnect(bob)
            await self.tell_each_other(ann, bob)
            await bob.disconnect(ann)
            assert (await ann.links.expect("down", bob.name)).reason is Reason.UNWANTED
            assert (await bob.links.expect("down", ann.name)).reason is Reason.UNWANTED

        self.play(scenario, "ann", "bob", holding=True)

    @contract(UNWANTED)
    def test_disconnect_by_one_end_keeps_a_link_that_the_other_wants(self) -> None:
        """A link serves two: it stays while either end wants it."""

        async def scenario(ann: Party, bob: Party) -> None:
            await self.link_both_ways(ann, bob)
            await ann.disconnect(bob)
            await self.tell_each_other(ann, bob)
            assert ann.links.ups_and_downs(bob.name) == ["up"]
            assert bob.links.ups_and_downs(ann.name) == ["up"]

        self.play(scenario, "ann", "bob", holding=True)

    @contract(UNWANTED)
    def test_disconnect_ends_a_link_that_only_one_end_wanted(self) -> None:
        """Being dialled is no wish of one's own."""

        async def scenario(ann: Party, bob: Party) -> None:
            await ann.connect(bob)
            await bob.links.expect("up", ann.name)
            await ann.disconnect(bob)
            await ann.links.expect("down", bob.name)
            await bob.links.expect("down", ann.name)

        self.play(scenario, "ann", "bob", holding=True)

    @contract(
        "Want the link no longer; it closes when the peer doesn't want it either. Idempotent."
    )
    def test_disconnect_is_idempotent(self) -> None:
        """Disconnecting again, or from somebody unknown, reports nothing more."""

        async def scenario(ann: Party, bob: Party) -> None:
            await ann.disconnect(bob)
            assert ann.links.of("down") == []
            await ann.connect(bob)
            await ann.disconnect(bob)
            await ann.disconnect(bob)
            await ann.links.expect("down", bob.name)
            await ann.connector.stop()
            assert ann.links.ups_and_downs(bob.name) == ["up", "down"]

        self.play(scenario, "ann", "bob")

    @contract(ONCE)
    def test_a_closed_link_can_be_opened_again(self) -> None:
        """Up and down alternate, however often."""

        async def scenario(ann: Party, bob: Party) -> None:
            for round_ in (1, 2, 3):
                await ann.connect(bob)
                await ann.disconnect(bob)
                await ann.links.expect("down", bob.name, count=round_)
            assert ann.links.ups_and_downs(bob.name) == ["up", "down"] * 3

        self.play(scenario, "ann", "bob")

    @contract(
        "Close every link with a goodbye and stop accepting; each link is reported down. "
        "Idempotent."
    )
    def test_stop_reports_each_link_down_once(self) -> None:
        """What was reported up is reported down before ``stop`` returns, and nothing after that."""

        async def scenario(ann: Party, bob: Party) -> None:
            await ann.connect(bob)
            await ann.connector.stop()
            assert ann.links.ups_and_downs(bob.name) == ["up", "down"]
            assert ann.links.of("down")[0].reason is Reason.SHUTDOWN
            await ann.connector.stop()
            assert ann.links.ups_and_downs(bob.name) == ["up", "down"]

        self.play(scenario, "ann", "bob")

    @contract("What is reported of a peer other than that it is up is reported while it is.")
    def test_nothing_is_reported_of_who_is_not_linked(self) -> None:
        """News, round-trip times and that a node is leaving come between the up of its link and the
        down.
        """

        async def scenario(ann: Party, bob: Party) -> None:
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
                except AssertionError:  # another rule tells that it doesn't come
                    break
            await stop(ann, bob)
            for party, other in ((ann, bob), (bob, ann)):
                assert not (stray := _stray(party.links.reports, other.name)), (
                    f"{party.name} reported {stray}"
                )

        self.play(scenario, "ann", "bob", holding=True)

    @contract("Peers report it as ``left``")
    def test_stop_says_goodbye(self) -> None:
        """The peer hears that the node left, not that its link broke; whichever end dialled."""

        async def scenario(ann: Party, bob: Party, cat: Party) -> None:
            await ann.connect(bob)
            await cat.connect(ann)
            await ann.connector.stop()
            assert (await bob.links.expect("down", ann.name)).reason is Reason.LEFT
            assert (await cat.links.expect("down", ann.name)).reason is Reason.LEFT
            assert bob.links.ups_and_downs(ann.name) == ["up", "down"]
            assert cat.links.ups_and_downs(ann.name) == ["up", "down"]

        self.play(scenario, "ann", "bob", "cat", holding=True)

    @contract("the next run of its name is welcome")
    def test_a_node_that_left_can_come_back(self) -> None:
        """A new boot of a name that said goodbye is welcome at once."""
        self.needs_links()

        async def scenario() -> None:
            async with self.party("bob") as bob:
                async with self.party("ann") as first_boot:
                    await first_boot.connect(bob)
                async with self.party("ann") as second_boot:
                    await second_boot.connect(bob)
                    again = await bob.links.expect("up", second_boot.name, count=2)
                    assert again.node is not None
                    assert again.node.boot_id == second_boot.links.boot_id
                    assert bob.links.ups_and_downs(second_boot.name) == ["up", "down", "up"]

        self.play(scenario)

    # Telling

    @contract("Tell linked peers that this node's metadata changed")
    def test_update_reaches_the_linked_peer(self) -> None:
        """New metadata is told to those who are linked."""

        async def scenario(ann: Party, bob: Party) -> None:
            await ann.connect(bob)
            await ann.connector.update(ann.node.evolve(metadata={"zone": "b"}), leaving=False)
            updated = await bob.links.expect("updated", ann.name)
            assert updated.node is not None
            assert updated.node.metadata == {"zone": "b"}

        self.play(scenario, "ann", "bob", holding=True)

    @contract("Later peers learn it from their handshakes.")
    def test_update_reaches_a_later_peer(self) -> None:
        """Who links later is introduced to the node as it is by then."""

        async def scenario(ann: Party, bob: Party) -> None:
            await ann.connector.update(ann.node.evolve(metadata={"zone": "b"}), leaving=False)
            assert (await bob.connect(ann)).metadata == {"zone": "b"}

        self.play(scenario, "ann", "bob", holding=True)

    @contract("Metadata arrives unchanged, whatever text it is.")
    def test_any_metadata_gets_through(self) -> None:
        """Metadata is any text of up to 1024 bytes: it arrives as it was told."""
        text = "\N{GREEK SMALL LETTER OMEGA}\n\x00\r\"'\\ \u2028"
        most = {
            "k": (text * MAX_METADATA_BYTES)
            .encode()[: MAX_METADATA_BYTES - 1]
            .decode(errors="ignore")
        }
        self.needs_links()

        async def scenario() -> None:
            async with (
                self.party("ann", metadata=most) as ann,
                self.party("bob", metadata=most) as bob,
            ):
                assert (await ann.connect(bob)).metadata == most
                up = await bob.links.expect("up", ann.name)
                assert up.node is not None
                assert up.node.metadata == most

        self.play(scenario)

    # Leaving

    @contract("A node that is about to leave keeps its links until ``stop``")
    def test_leaving_is_told_and_keeps_the_link(self) -> None:
        """A node that is about to leave says so, and its links stay until it stops."""

        async def scenario(ann: Party, bob: Party) -> None:
            await ann.connect(bob)
            await ann.connector.update(ann.node, leaving=True)
            await bob.links.expect("leaving", ann.name)
            assert bob.links.ups_and_downs(ann.name) == ["up"]

        self.play(scenario, "ann", "bob", holding=True)

    @contract("refuses new ones for the reason ``LEAVING``")
    def test_a_leaving_node_takes_no_new_links(self) -> None:
        """A node that is about to leave refuses new links, for the reason ``LEAVING``, which may
        pass: it may come back.
        """

        async def scenario(ann: Party, bob: Party) -> None:
            await bob.connector.update(bob.node, leaving=True)
            error = await self.refusal(ann, bob.node)
            assert error.reason is ConnectReason.LEAVING
            assert error.retryable
            await self.no_link(ann, bob)

        self.play(scenario, "ann", "bob", holding=True)

    @contract("No link is taken any more from the start of this")
    def test_no_link_outlives_stop(self) -> None:
        """Whoever dials a node that is stopping is refused, or linked and then told goodbye;
        afterwards nobody is there.
        """

        async def scenario(ann: Party, bob: Party, turns: int) -> None:
            stopping = asyncio.create_task(bob.connector.stop())
            for _ in range(turns):  # of the event loop: another point of the stop each time
                await asyncio.sleep(0)
            dialling = asyncio.create_task(ann.connect(bob))
            await asyncio.wait([dialling, stopping], timeout=self.deadline_s)
            # as the worker does at its deadline, where a peer accepted and said nothing
            dialling.cancel()
            (outcome,) = await asyncio.gather(dialling, return_exceptions=True)
            await stopping
            assert isinstance(outcome, Node | ConnectError | asyncio.CancelledError), (
                f"the dial ended with {outcome!r}"
            )
            await ann.links.until(
                lambda: ann.links.ups_and_downs(bob.name) in ENDED, "down of what was up"
            )
            await self.refusal(ann, bob.node)
            assert bob.links.ups_and_downs(ann.name) in ENDED

        for turns in range(STOP_ROUNDS):
            self.play(partial(scenario, turns=turns), "ann", "bob", holding=True)


def _stray(reports: Sequence[Report], key: str) -> Report | None:
    """Return the first report of a node that is not linked, or of a round trip that took less than
    no time.
    """
    is_up = False
    for report in reports:
        if report.node is None or report.node.key != key:
            continue
        if report.kind in ("up", "down"):
            is_up = report.kind == "up"
        elif not is_up or (report.kind == "rtt" and report.data < 0):
            return report
    return None
