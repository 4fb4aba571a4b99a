"""The rules of losing a peer, part of ``ConnectorConformance``: noticing a dead and a silent peer
is the connector's duty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cluster_kit.events import Reason
from cluster_kit.testing.connectors.peers import PeerApart
from cluster_kit.testing.connectors.stage import Party, Stage
from cluster_kit.testing.contract import contract
from cluster_kit.testing.listener import attend

LONG = 1.2  # times silence_s, and so beyond what a connector may let pass
LATE = 2.0  # times silence_s: the beat that is under way, and the looks in between

both_ways = pytest.mark.parametrize("opened", ["dialled", "accepted"])


class LossRules(Stage):
    """The peer is in a process of its own, which is killed or stopped; its end of the link was
    accepted or dialled.
    """

    @both_ways
    @contract(
        "A peer that died is noticed: its link is down as ``closed``, or as ``silent``. A loss is "
        "never reported as ``left``"
    )
    def test_a_crashed_peer_is_down(self, opened: str) -> None:
        """A link whose peer died without a goodbye is down at once, as closed or silent: a loss is
        never told as left.
        """

        async def scenario(ann: Party, bob: PeerApart) -> None:
            await bob.crash()
            await self.reported_lost(ann, bob, Reason.CLOSED, Reason.SILENT)

        self.play_apart(scenario, opened)

    @both_ways
    @contract(
        "A peer that says nothing any more, though its connection stays open, is noticed in "
        "bounded time"
    )
    def test_a_frozen_peer_is_down_as_silent(self, opened: str) -> None:
        """A link whose peer says nothing any more, though its connection stays open, is down as
        silent in bounded time.
        """

        async def scenario(ann: Party, bob: PeerApart) -> None:
            bob.freeze()
            late = asyncio.create_task(attend(LATE * self.silence_s))
            await self.reported_lost(ann, bob, Reason.SILENT)
            assert not late.done(), (
                f"it took more than {LATE * self.silence_s:g} s, and silence_s is "
                f"{self.silence_s:g}"
            )
            late.cancel()

        self.play_apart(scenario, opened)

    @contract("This takes signs of life in both directions.")
    def test_an_idle_link_stays_up(self) -> None:
        """Two nodes that have nothing to tell each other still say that they are there."""

        async def scenario(ann: Party, bob: Party) -> None:
            await ann.connect(bob)
            await bob.links.expect("up", ann.name)
            await attend(LONG * self.silence_s)
            downs = ann.links.of("down") + bob.links.of("down")
            assert not downs, (
                f"nobody said anything for {LONG * self.silence_s:g} s, and of two that are there "
                f"{downs} is told"
            )

        self.play(scenario, "ann", "bob", holding=True)

    @contract(
        "Late is not dead: before it judges, a connector reads what is pending, and allows for its "
        "own delay."
    )
    def test_a_stall_of_its_own_is_no_silence(self) -> None:
        """An event loop that was held up, or a machine that slept, has heard nothing meanwhile, and
        nobody is dead for that.
        """

        async def scenario(ann: Party, bob: Party) -> None:
            await ann.connect(bob)
            await bob.links.expect("up", ann.name)
            await self.stall(LONG * self.silence_s)
            await self.tell_each_other(ann, bob)
            downs = ann.links.of("down") + bob.links.of("down")
            assert not downs, (
                f"after its event loop stood still for {LONG * self.silence_s:g} s, {downs} is told"
            )

        self.play(scenario, "ann", "bob", holding=True)

    @contract("the next run of its name is welcome")
    def test_a_crashed_peer_can_come_back(self) -> None:
        """A new boot of a name is welcome as soon as the link to the boot that crashed is down."""

        async def scenario(ann: Party, bob: PeerApart) -> None:
            await bob.crash()
            try:
                await ann.links.expect(
                    "down", bob.node.key, deadline_s=self.silence_s + self.deadline_s
                )
            except AssertionError:
                pytest.skip("the crash isn't noticed, as test_a_crashed_peer_is_down tells")
            async with self.party("bob") as second_boot:
                await second_boot.connect(ann)
                again = await ann.links.expect("up", bob.node.key, count=2)
                assert again.node is not None
                assert again.node.boot_id == second_boot.links.boot_id

        self.play_apart(scenario, "dialled")

    @contract("The goodbye is sent, not awaited: a frozen peer doesn't hold this up.")
    def test_stop_does_not_wait_for_a_frozen_peer(self) -> None:
        """A goodbye is sent, not awaited: ``stop`` returns soon, also where a peer reads nothing
        any more.
        """

        async def scenario(ann: Party, bob: PeerApart) -> None:
            bob.freeze()
            try:
                async with asyncio.timeout(self.deadline_s):
                    await ann.connector.stop()
            except TimeoutError:
                raise AssertionError(
                    f"stop takes longer than {self.deadline_s:g} s while {bob.node.key} is frozen"
                ) from None
            assert ann.links.ups_and_downs(bob.node.key) == ["up", "down"]

        self.play_apart(scenario, "dialled")

    async def reported_lost(self, ann: Party, bob: PeerApart, *reasons: Reason) -> None:
        """Wait until ann reports that bob is down, which must be once, for one of ``reasons``."""
        down = await ann.links.expect(
            "down", bob.node.key, deadline_s=self.silence_s + self.deadline_s
        )
        assert down.reason in reasons, (
            f"{bob.node.key} said no goodbye, and is told as {down.reason}"
        )
        await ann.connector.stop()
        assert ann.links.ups_and_downs(bob.node.key) == ["up", "down"]

    def play_apart(
        self, scenario: Callable[[Party, PeerApart], Awaitable[None]], opened: str
    ) -> None:
        """Play a scenario with ann, linked to bob who is apart; ``opened`` tells whether ann
        dialled or accepted the link.
        """
        self.needs_peers_apart()

        async def play(ann: Party) -> None:
            async with self.peer_apart(
                "bob", dial=ann.node if opened == "accepted" else None
            ) as bob:
                if opened == "dialled":
                    await ann.connector.connect(bob.node)
                await ann.links.expect("up", bob.node.key)
                await scenario(ann, bob)

        self.play(play, "ann")
