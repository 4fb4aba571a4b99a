"""``ConnectorConformance``: the contract of ``cluster_kit.abc.Connector``, one test for each rule."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.events import Reason
from cluster_kit.host import is_unspecified
from cluster_kit.node import Fence, Node, join_address, split_address
from cluster_kit.testing.connector_diagnosis import ConnectorDiagnosis
from cluster_kit.testing.leaks import leaves_nothing
from cluster_kit.testing.stage import Party, closed_address, stop
from cluster_kit.testing.stand_ins import FENCE

SIMULTANEOUS_ROUNDS = 5


class ConnectorConformance(ConnectorDiagnosis):
    """Subclass it as ``Test...`` and override ``make_connector``; every other override is optional.

    A connector with ``holds_links = False`` gets the rules that apply to it, the others are skipped.
    """

    # Serving

    def test_start_returns_this_node(self) -> None:
        """``start`` returns the node that it was given, with its address if it listens."""

        async def scenario(ann: Party) -> None:
            local = self.make_node("ann")
            assert ann.node.name == local.name
            assert ann.node.metadata == local.metadata

        self.play(scenario, "ann")

    def test_start_returns_an_address_to_dial(self) -> None:
        """The address can be handed to others: a real host, a real port."""

        async def scenario(ann: Party) -> None:
            assert ann.node.address is not None, "start returned no address"
            host, port = split_address(ann.node.address)
            assert not is_unspecified(host)
            assert port != 0

        self.play(scenario, "ann", holding=True)

    def test_stop_is_idempotent(self) -> None:
        """A second ``stop`` does nothing."""

        async def scenario(ann: Party) -> None:
            await ann.connector.stop()
            await ann.connector.stop()

        self.play(scenario, "ann")

    def test_stop_leaves_nothing_behind(self) -> None:
        """After ``stop`` no task, thread, process or socket is left, on either side of a link."""

        async def scenario() -> None:
            async with leaves_nothing(self.deadline_s), self.party("ann") as ann, self.party("bob") as bob:
                await ann.connect(bob)

        asyncio.run(scenario())

    # Opening

    def test_connect_returns_the_peer_as_it_introduced_itself(self) -> None:
        """An address is enough; name, metadata and boot are what the peer tells."""

        async def scenario(ann: Party, bob: Party) -> None:
            met = await ann.connector.connect(Node(address=bob.node.address))
            assert (met.name, met.metadata, met.boot_id) == (bob.node.name, bob.node.metadata, bob.links.boot_id)

        self.play(scenario, "ann", "bob", holding=True)

    def test_up_is_reported_before_connect_returns(self) -> None:
        """Once ``connect`` has returned, the link counts."""

        async def scenario(ann: Party, bob: Party) -> None:
            met = await ann.connect(bob)
            assert ann.links.ups_and_downs(bob.name) == ["up"]
            assert ann.links.of("up") == ann.links.of("up", met.key), "up was reported under another name than connect returned"

        self.play(scenario, "ann", "bob")

    def test_up_is_reported_once_on_both_ends(self) -> None:
        """A link is reported by the end that accepted it, too; not again when that end wants it as well."""

        async def scenario(ann: Party, bob: Party) -> None:
            await ann.connect(bob)
            await bob.links.expect("up", ann.name)
            await bob.connect(ann)
            assert ann.links.ups_and_downs(bob.name) == ["up"]
            assert bob.links.ups_and_downs(ann.name) == ["up"]

        self.play(scenario, "ann", "bob", holding=True)

    def test_connect_again_keeps_the_one_link(self) -> None:
        """Connecting to a linked peer returns it and reports nothing."""

        async def scenario(ann: Party, bob: Party) -> None:
            assert (await ann.connect(bob)).key == (await ann.connect(bob)).key
            assert ann.links.ups_and_downs(bob.name) == ["up"]

        self.play(scenario, "ann", "bob")

    def test_simultaneous_connects_settle_on_one_link(self) -> None:
        """When both ends dial at once, one link is reported, and neither end loses it again."""

        async def scenario(ann: Party, bob: Party) -> None:
            results = await asyncio.gather(ann.connect(bob), bob.connect(ann), return_exceptions=True)
            faults = [result for result in results if isinstance(result, BaseException) and not _retryable(result)]
            assert not faults, f"a crossed dial may only fail for now: {faults!r}"
            await ann.links.expect("up", bob.name)
            await bob.links.expect("up", ann.name)
            await self.tell_each_other(ann, bob)
            assert ann.links.ups_and_downs(bob.name) == ["up"]
            assert bob.links.ups_and_downs(ann.name) == ["up"]

        for _ in range(SIMULTANEOUS_ROUNDS):
            self.play(scenario, "ann", "bob", holding=True)

    # Failing to open

    def test_nobody_there_is_worth_another_try(self) -> None:
        """A peer that isn't up yet is a ``ConnectError`` that may pass, and names the peer."""

        async def scenario(ann: Party) -> None:
            error = await self.refusal(ann, Node(name="ghost@127.0.0.1", address=closed_address()))
            assert error.retryable
            assert error.node

        self.play(scenario, "ann", holding=True)

    def test_a_node_without_address_is_a_connect_error(self) -> None:
        """A node that can't be dialled is refused like one that doesn't answer."""

        async def scenario(ann: Party) -> None:
            await self.refusal(ann, Node(name="ghost@127.0.0.1"))

        self.play(scenario, "ann", holding=True)

    def test_another_name_than_expected_is_refused(self) -> None:
        """Whoever answers under another name is not the node that was asked for; neither end reports a link."""

        async def scenario(ann: Party, bob: Party) -> None:
            error = await self.refusal(ann, Node(name="eve@127.0.0.1", address=bob.node.address))
            assert error.reason is ConnectReason.NAME
            assert "eve@127.0.0.1" in str(error), f"the message lacks the expected name: {error}"
            assert bob.name in str(error), f"the message lacks the told name: {error}"
            await self.no_link(ann, bob)

        self.play(scenario, "ann", "bob", holding=True)

    def test_own_address_is_known_as_self(self) -> None:
        """A node that turns out to be ourselves is told apart from a wrong one."""

        async def scenario(ann: Party) -> None:
            error = await self.refusal(ann, Node(address=ann.node.address))
            assert error.reason is ConnectReason.SELF
            assert ann.links.of("up") == []

        self.play(scenario, "ann", holding=True)

    @pytest.mark.parametrize(
        "fence", [Fence("elsewhere", FENCE.group), Fence(FENCE.cluster, "elsewhere")], ids=["cluster", "group"]
    )
    def test_a_foreigner_is_refused(self, fence: Fence) -> None:
        """Another cluster or group is another world; neither end reports a link."""
        self.needs_links()

        async def scenario() -> None:
            async with self.party("ann") as ann, self.party("bob", fence=fence) as bob:
                assert (await self.refusal(ann, bob.node)).reason is ConnectReason.FOREIGN
                assert ann.links.of("up") == []
                assert bob.links.of("up") == []

        asyncio.run(scenario())

    @pytest.mark.parametrize("linked", [0, 1], ids=["older", "newer"])
    def test_of_two_live_nodes_of_one_name_the_linked_one_keeps_its_link(self, linked: int) -> None:
        """The other is told of the conflict, whichever was started first; the one that is linked isn't disturbed."""
        self.needs_links()

        async def scenario() -> None:
            async with self.party("bob") as bob, self.party("ann") as older, self.party("ann") as newer:
                first, second = (older, newer) if linked == 0 else (newer, older)
                await first.connect(bob)
                await bob.links.expect("up", first.name)
                await first.links.expect("up", bob.name)
                assert (await self.refusal(second, bob.node)).reason is ConnectReason.CONFLICT
                await self.tell_each_other(first, bob)
                assert bob.links.ups_and_downs(first.name) == ["up"]
                assert first.links.ups_and_downs(bob.name) == ["up"]
                assert second.links.of("up") == []

        asyncio.run(scenario())

    def test_cancelled_connect_leaves_nothing_behind(self) -> None:
        """The worker cancels a ``connect`` at its deadline; a peer that accepts and is silent must cost nothing."""
        self.needs_links()

        async def scenario() -> None:
            async with self.party("ann") as ann:
                with _silent_server() as (address, dialled):
                    async with leaves_nothing(self.deadline_s):
                        dialling = asyncio.create_task(ann.connector.connect(Node(name="mum@127.0.0.1", address=address)))
                        waiting = asyncio.create_task(dialled.wait())
                        await asyncio.wait([dialling, waiting], return_when=asyncio.FIRST_COMPLETED)
                        dialling.cancel()
                        waiting.cancel()
                        await asyncio.wait([dialling, waiting])
                assert ann.links.of("up") == []

        asyncio.run(scenario())

    # Closing

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

    def test_disconnect_by_one_end_keeps_a_link_that_the_other_wants(self) -> None:
        """A link serves two: it stays while either end wants it."""

        async def scenario(ann: Party, bob: Party) -> None:
            await self.link_both_ways(ann, bob)
            await ann.disconnect(bob)
            await self.tell_each_other(ann, bob)
            assert ann.links.ups_and_downs(bob.name) == ["up"]
            assert bob.links.ups_and_downs(ann.name) == ["up"]

        self.play(scenario, "ann", "bob", holding=True)

    def test_disconnect_ends_a_link_that_only_one_end_wanted(self) -> None:
        """Being dialled is no wish of one's own."""

        async def scenario(ann: Party, bob: Party) -> None:
            await ann.connect(bob)
            await bob.links.expect("up", ann.name)
            await ann.disconnect(bob)
            await ann.links.expect("down", bob.name)
            await bob.links.expect("down", ann.name)

        self.play(scenario, "ann", "bob", holding=True)

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

    def test_a_closed_link_can_be_opened_again(self) -> None:
        """Up and down alternate, however often."""

        async def scenario(ann: Party, bob: Party) -> None:
            for round_ in (1, 2, 3):
                await ann.connect(bob)
                await ann.disconnect(bob)
                await ann.links.expect("down", bob.name, count=round_)
            assert ann.links.ups_and_downs(bob.name) == ["up", "down"] * 3

        self.play(scenario, "ann", "bob")

    def test_stop_reports_each_link_down_once(self) -> None:
        """What was reported up is reported down before ``stop`` returns, and nothing after that."""

        async def scenario(ann: Party, bob: Party) -> None:
            await ann.connect(bob)
            await ann.connector.stop()
            assert ann.links.ups_and_downs(bob.name) == ["up", "down"]
            await ann.connector.stop()
            assert ann.links.ups_and_downs(bob.name) == ["up", "down"]

        self.play(scenario, "ann", "bob")

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

        asyncio.run(scenario())

    # Telling

    def test_update_reaches_the_linked_peer(self) -> None:
        """New metadata is told to those who are linked."""

        async def scenario(ann: Party, bob: Party) -> None:
            await ann.connect(bob)
            await ann.connector.update(ann.node.evolve(metadata={"zone": "b"}), leaving=False)
            updated = await bob.links.expect("updated", ann.name)
            assert updated.node is not None
            assert updated.node.metadata == {"zone": "b"}

        self.play(scenario, "ann", "bob", holding=True)

    def test_update_reaches_a_later_peer(self) -> None:
        """Who links later is introduced to the node as it is by then."""

        async def scenario(ann: Party, bob: Party) -> None:
            await ann.connector.update(ann.node.evolve(metadata={"zone": "b"}), leaving=False)
            assert (await bob.connect(ann)).metadata == {"zone": "b"}

        self.play(scenario, "ann", "bob", holding=True)

    def test_leaving_is_told_and_keeps_the_link(self) -> None:
        """A node that is about to leave says so, and its links stay until it stops."""

        async def scenario(ann: Party, bob: Party) -> None:
            await ann.connect(bob)
            await ann.connector.update(ann.node, leaving=True)
            await bob.links.expect("leaving", ann.name)
            assert bob.links.ups_and_downs(ann.name) == ["up"]

        self.play(scenario, "ann", "bob", holding=True)


def _retryable(error: BaseException) -> bool:
    return isinstance(error, ConnectError) and error.retryable


@contextmanager
def _silent_server() -> Iterator[tuple[str, asyncio.Event]]:
    """Let peers dial, and answer nothing; yield the address, and the event that somebody dialled."""
    loop = asyncio.get_running_loop()
    dialled = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        loop.add_reader(server, dialled.set)
        try:
            yield join_address("127.0.0.1", server.getsockname()[1]), dialled
        finally:
            loop.remove_reader(server)
