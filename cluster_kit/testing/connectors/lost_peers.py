"""Rules on losing a peer: noticing that one is dead or silent is the connector's duty."""

from __future__ import annotations

import asyncio

import pytest

from cluster_kit.events import Reason
from cluster_kit.testing.connectors.harness import ConnectorHarness, StartedNode
from cluster_kit.testing.connectors.peers import PeerApart
from cluster_kit.testing.listener import attend
from cluster_kit.testing.rules import contract

LONG = 1.2  # times silence_s, so that a silent peer would have been reported
LATE = 2.0  # times silence_s: the last heartbeat was still in transit, and checks are periodic

each_way = pytest.mark.parametrize("opened", ["dialled", "accepted"])


class LostPeerRules(ConnectorHarness):
    """The peer runs in a separate process, which is killed or stopped."""

    @each_way
    @contract(
        "A peer that died is noticed: its link is down as ``closed``, or as ``silent``. A loss is "
        "never reported as ``left``"
    )
    async def test_a_crashed_peer_is_down(self, ann: StartedNode, opened: str) -> None:
        """The link to a peer that died is down at once, as closed or silent, never as left."""
        async with self.linked_apart(ann, opened) as bob:
            await bob.crash()
            await self.reported_lost(ann, bob, Reason.CLOSED, Reason.SILENT)

    @each_way
    @contract(
        "A peer that says nothing any more, though its connection stays open, is noticed in "
        "bounded time"
    )
    async def test_a_frozen_peer_is_down_as_silent(self, ann: StartedNode, opened: str) -> None:
        """A peer that keeps its connection open and sends nothing is down in bounded time."""
        async with self.linked_apart(ann, opened) as bob:
            bob.freeze()
            late = asyncio.create_task(attend(LATE * self.silence_s))
            await self.reported_lost(ann, bob, Reason.SILENT)
            assert not late.done(), (
                f"it took more than {LATE * self.silence_s:g} s, though silence_s is "
                f"{self.silence_s:g}"
            )
            late.cancel()

    @contract("This takes signs of life in both directions.")
    async def test_an_idle_link_stays_up(self, ann: StartedNode, bob: StartedNode) -> None:
        """Two nodes that have nothing to send still send signs of life."""
        self.needs_links()
        await ann.connect(bob)
        await bob.links.expect("up", ann.name)
        await attend(LONG * self.silence_s)
        downs = ann.links.of("down") + bob.links.of("down")
        assert not downs, (
            f"two linked nodes were idle for {LONG * self.silence_s:g} s, and reported {downs}"
        )

    @contract(
        "Before it declares a peer silent, a connector reads what is pending and allows for its "
        "own delays."
    )
    async def test_its_own_stall_is_not_silence_of_the_peer(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """A node whose own event loop was stalled, or whose machine slept, loses no link."""
        self.needs_links()
        await ann.connect(bob)
        await bob.links.expect("up", ann.name)
        await self.stall(LONG * self.silence_s)
        await self.exchange_updates(ann, bob)
        downs = ann.links.of("down") + bob.links.of("down")
        assert not downs, (
            f"the event loop was stalled for {LONG * self.silence_s:g} s, and then {downs} was "
            "reported"
        )

    @contract("the next run of its name is welcome")
    async def test_a_crashed_peer_can_come_back(self, ann: StartedNode) -> None:
        """A new boot can link as soon as the link to the crashed one is down."""
        async with self.linked_apart(ann) as bob:
            await bob.crash()
            try:
                await ann.links.expect(
                    "down", bob.node.key, deadline_s=self.silence_s + self.deadline_s
                )
            except AssertionError:
                pytest.skip("the crash isn't noticed; test_a_crashed_peer_is_down covers that")
            async with self.started("bob") as second_boot:
                await second_boot.connect(ann)
                again = await ann.links.expect("up", bob.node.key, count=2)
                assert again.node is not None
                assert again.node.boot_id == second_boot.links.boot_id

    @contract("The goodbye is sent, not awaited: a frozen peer doesn't hold this up.")
    async def test_stop_does_not_wait_for_a_frozen_peer(self, ann: StartedNode) -> None:
        """``stop`` sends a goodbye, and doesn't wait until the peer reads it."""
        async with self.linked_apart(ann) as bob:
            bob.freeze()
            try:
                async with asyncio.timeout(self.deadline_s):
                    await ann.connector.stop()
            except TimeoutError:
                raise AssertionError(
                    f"stop takes more than {self.deadline_s:g} s while {bob.node.key} is frozen"
                ) from None
            assert ann.links.ups_and_downs(bob.node.key) == ["up", "down"]

    async def reported_lost(self, ann: StartedNode, bob: PeerApart, *reasons: Reason) -> None:
        """Wait until ann reports that bob is down, once, for one of ``reasons``."""
        down = await ann.links.expect(
            "down", bob.node.key, deadline_s=self.silence_s + self.deadline_s
        )
        assert down.reason in reasons, (
            f"{bob.node.key} was lost without a goodbye, and reported down as {down.reason}"
        )
        await ann.connector.stop()
        assert ann.links.ups_and_downs(bob.node.key) == ["up", "down"]
