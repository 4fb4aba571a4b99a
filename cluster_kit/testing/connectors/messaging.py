"""The rules of carrying messages, part of ``ConnectorConformance``; a connector that carries none
has one of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import pytest

from cluster_kit.abc import MAX_GREETING_BYTES, MAX_PAYLOAD_BYTES
from cluster_kit.errors import ConnectError
from cluster_kit.node import Node
from cluster_kit.testing.connectors.peers import PeerApart
from cluster_kit.testing.connectors.stage import Party, Stage, stop
from cluster_kit.testing.contract import contract

FULL = bytes(range(250)) * (MAX_PAYLOAD_BYTES // 250)
SIZES = (1, 1000, MAX_PAYLOAD_BYTES)
ROUNDS = 50
MOST = 2000  # payloads: 130 MB, and no system takes in more than that for somebody who doesn't read
STUCK_S = 0.5

GREETED = (
    "the connector sends ``links.greeting`` in its handshakes, passes the peer's on by ``links.up``"
)
HANDSHAKE = "each handshake sends the greeting of its own moment"
WHOLE = "What is sent arrives whole and in order, or not at all where the link goes down."
ONE = "A linked node sent ``payload``: in the order sent, each once, and none after ``down``."
NO_LINK = "There is no such link, or it is lost."
ALONE = "A peer that reads nothing delays only what is sent to itself, and never a sign of life."


class MessageRules(Stage):
    """What applications greet each other with and send each other gets across, and a peer that
    doesn't read harms nobody.
    """

    # Greeting

    @contract("The peer's own greeting; ``None`` where this link can't carry messages.")
    def test_a_link_without_messages_says_so(self) -> None:
        """A link that can't carry messages has no greeting, rather than an empty one; one that can
        has one, if an empty one.
        """
        carries = self.make_connector().carries_messages

        async def scenario(ann: Party, bob: Party) -> None:
            ann.links.greeting = bob.links.greeting = b"" if carries else b"hello"
            await ann.connect(bob)
            ups = [await ann.links.expect("up", bob.name)]
            if ann.connector.holds_links:
                ups.append(await bob.links.expect("up", ann.name))
            for up in ups:
                assert up.greeting == (b"" if carries else None), (
                    f"the greeting of {up.node} is {up.greeting!r}"
                )

        self.play(scenario, "ann", "bob")

    @contract(GREETED)
    def test_both_ends_greet_before_the_link_is_up(self) -> None:
        """Each end gets the greeting of the other with ``up``, and is told again what it has said
        itself.
        """

        async def scenario(ann: Party, bob: Party) -> None:
            ann.links.greeting, bob.links.greeting = b"I am \x00 ann", b"\xff"
            await self.greeted(ann, bob)

        self.play_messages(scenario, "ann", "bob")

    @contract("at most ``MAX_GREETING_BYTES``")
    def test_the_longest_greeting_gets_through(self) -> None:
        """A greeting may be far longer than whatever else is said in a handshake."""

        async def scenario(ann: Party, bob: Party) -> None:
            ann.links.greeting = (FULL * (MAX_GREETING_BYTES // len(FULL) + 1))[:MAX_GREETING_BYTES]
            bob.links.greeting = ann.links.greeting[::-1]
            await self.greeted(ann, bob)

        self.play_messages(scenario, "ann", "bob")

    @contract(HANDSHAKE)
    def test_each_handshake_has_the_greeting_of_its_moment(self) -> None:
        """A greeting that changed is told to whoever links next, and an empty one is told as
        such.
        """

        async def scenario(ann: Party, bob: Party, cat: Party) -> None:
            ann.links.greeting = b"early"
            await self.greeted(ann, bob)
            ann.links.greeting = b"late"
            await self.greeted(cat, ann)
            ann.links.greeting = b""
            await ann.disconnect(bob)
            with suppress(AssertionError):  # another rule tells that it doesn't come
                await ann.links.expect("down", bob.name)
                await bob.links.expect("down", ann.name)
                await self.greeted(ann, bob, count=2)

        self.play_messages(scenario, "ann", "bob", "cat")

    async def greeted(self, one: Party, other: Party, *, count: int = 1) -> None:
        """Have ``one`` connect, and check that each end was told what the other says, and knows
        what it has said.
        """
        said = {party.name: party.links.greeting for party in (one, other)}
        await one.connect(other)
        for party, peer in ((one, other), (other, one)):
            up = await party.links.expect("up", peer.name, count=count)
            assert up.greeting is not None, f"{party.name} reports a link that can't carry messages"
            heard, told = up.greeting, up.told
            assert heard == said[peer.name], (
                f"{peer.name} said {len(said[peer.name])} bytes; {party.name} got {heard[:40]!r}"
            )
            assert told == said[party.name], (
                f"{party.name} said {len(said[party.name])} bytes, and is told {told[:40]!r}"
            )

    # Sending

    @contract(WHOLE)
    def test_messages_arrive_whole_and_in_order(self) -> None:
        """Payloads of any bytes and length arrive in both directions, as they were sent, each
        once.
        """

        async def scenario(ann: Party, bob: Party) -> None:
            await self.both_up(ann, bob)
            said = [bytes([number]) * size for number in range(ROUNDS) for size in SIZES]
            await asyncio.gather(send(ann, bob, said), send(bob, ann, said[::-1]))
            await self.got(bob, ann, said)
            await self.got(ann, bob, said[::-1])
            await self.tell_each_other(ann, bob)
            assert len(bob.links.of("message")) == len(ann.links.of("message")) == len(said), (
                "a payload came twice"
            )

        self.play_messages(scenario, "ann", "bob")

    @contract(ONE)
    def test_messages_come_between_up_and_down(self) -> None:
        """What is sent at once when a link is up is reported after that, and nothing is once the
        link is down.
        """

        async def scenario(ann: Party, bob: Party) -> None:
            for round_ in (1, 2):
                await self.both_up(ann, bob, count=round_)
                sending = [asyncio.create_task(flood(*ends)) for ends in ((ann, bob), (bob, ann))]
                await ann.links.until(lambda: bool(ann.links.of("message")), "a message")
                await ann.disconnect(bob)
                try:
                    await ann.links.expect("down", bob.name, count=round_)
                    await bob.links.expect("down", ann.name, count=round_)
                except AssertionError:  # another rule tells that it doesn't come
                    break
                finally:
                    await give_up(*sending)
            await stop(ann, bob)
            for party, other in ((ann, bob), (bob, ann)):
                assert not stray_message(party, other), (
                    f"{party.name} reports a message of {other.name}, to which it isn't linked"
                )

        self.play_messages(scenario, "ann", "bob")

    @contract(NO_LINK)
    def test_who_is_not_linked_is_sent_nothing(self) -> None:
        """Sending to a stranger, to one who was linked, or to another run of a linked name is a
        ``ConnectError``.
        """

        async def scenario(ann: Party, bob: Party) -> None:
            await self.unsent(ann, bob.node.evolve(name="ghost@127.0.0.1"))
            await self.unsent(ann, bob.node)
            await self.both_up(ann, bob)
            await self.unsent(ann, bob.node.evolve(boot_id=ann.links.boot_id))
            await ann.disconnect(bob)
            with suppress(AssertionError):
                await ann.links.expect("down", bob.name)
                await self.unsent(ann, bob.node)
            assert not bob.links.of("message")

        self.play_messages(scenario, "ann", "bob")

    async def unsent(self, party: Party, node: Node) -> None:
        """Send to ``node``, which must fail."""
        try:
            async with asyncio.timeout(self.deadline_s):
                await party.connector.send(node, b"lost")
        except ConnectError:
            return
        except TimeoutError:
            raise AssertionError(f"send to {node!r}, to which there is no link, waits") from None
        raise AssertionError(f"send to {node!r}, to which there is no link, raised no ConnectError")

    # A peer that doesn't read

    @contract(ALONE)
    def test_who_does_not_read_holds_up_only_what_is_sent_to_it(self) -> None:
        """``send`` to a frozen peer waits, so that nothing piles up, and can be cancelled; others
        get theirs meanwhile.
        """

        async def scenario(ann: Party, bob: PeerApart, cat: Party) -> None:
            await self.both_up(ann, cat)
            bob.freeze()
            stuck = await self.stuck(ann, bob)
            said = [bytes([number]) * size for number in range(3) for size in SIZES]
            sending = asyncio.create_task(send(ann, cat, said))
            await asyncio.wait(
                [sending, stuck], timeout=self.deadline_s, return_when=asyncio.FIRST_COMPLETED
            )
            assert sending.done(), (
                f"nothing is sent to {cat.name} while {bob.node.key} doesn't read"
            )
            assert not stuck.done(), (
                f"what is sent to {cat.name} waits until the link to {bob.node.key} is lost"
            )
            await self.got(cat, ann, said)
            stuck.cancel()
            await asyncio.wait([stuck], timeout=self.deadline_s)
            assert stuck.done(), "send goes on after it was cancelled"

        self.play_beside(scenario)

    @contract(NO_LINK)
    def test_what_waits_fails_when_the_link_is_lost(self) -> None:
        """``send`` that waits for a frozen peer ends with the link."""

        async def scenario(ann: Party, bob: PeerApart, cat: Party) -> None:
            bob.freeze()
            stuck = await self.stuck(ann, bob)
            try:
                await ann.links.expect(
                    "down", bob.node.key, deadline_s=self.silence_s + self.deadline_s
                )
            except AssertionError:
                await give_up(stuck)
                pytest.skip("the link isn't lost, as test_a_frozen_peer_is_down_as_silent tells")
            await asyncio.wait([stuck], timeout=self.deadline_s)
            if not stuck.done():
                await give_up(stuck)
                raise AssertionError("the link is down, and send still waits")
            assert isinstance(stuck.exception(), ConnectError), f"send ended with {stuck!r}"

        self.play_beside(scenario)

    async def stuck(self, ann: Party, bob: PeerApart) -> asyncio.Task[None]:
        """Send to a frozen peer until that doesn't go on, and return the last of it."""
        for _ in range(MOST):
            sending = asyncio.create_task(ann.connector.send(bob.node, FULL))
            await asyncio.wait([sending], timeout=STUCK_S)
            if not sending.done():
                return sending
            sending.result()
        raise AssertionError(
            f"{MOST * len(FULL):,} bytes were sent to who doesn't read, and send never waits"
        )

    # How these are played

    async def both_up(self, one: Party, other: Party, *, count: int = 1) -> None:
        """Link the two."""
        await one.connect(other)
        await other.links.expect("up", one.name, count=count)

    async def got(self, party: Party, sender: Party, said: Sequence[bytes]) -> None:
        """Wait until ``party`` has so many messages of ``sender``, which must be those that were
        said.
        """

        def heard() -> list[bytes]:
            return [report.data for report in party.links.of("message", sender.name)]

        try:
            async with asyncio.timeout(self.deadline_s):
                await party.links.until(
                    lambda: len(heard()) >= len(said), "messages", deadline_s=2 * self.deadline_s
                )
        except TimeoutError:
            raise AssertionError(
                f"{party.name} got {len(heard())} of {len(said)} messages of {sender.name}"
            ) from None
        wrong = next(
            (
                number
                for number, pair in enumerate(zip(heard(), said, strict=False))
                if pair[0] != pair[1]
            ),
            None,
        )
        assert wrong is None, f"message {wrong} of {sender.name} is not what was sent"

    def play_messages(self, scenario: Callable[..., Awaitable[None]], *basenames: str) -> None:
        """Play a scenario of a connector that carries messages."""
        self.needs_messages()
        self.play(scenario, *basenames, holding=True)

    def play_beside(self, scenario: Callable[[Party, PeerApart, Party], Awaitable[None]]) -> None:
        """Play a scenario with ann, linked to bob, who is apart, and with cat."""
        self.needs_messages()
        self.needs_peers_apart()

        async def play(ann: Party, cat: Party) -> None:
            async with self.peer_apart("bob") as bob:
                await ann.connector.connect(bob.node)
                await scenario(ann, bob, cat)

        self.play(play, "ann", "cat")

    def needs_messages(self) -> None:
        """Skip the rule unless the connector carries messages."""
        if not self.make_connector().carries_messages:
            pytest.skip(
                "Connector.carries_messages is false: applications can't send each other anything "
                "over its links"
            )


async def send(ann: Party, bob: Party, said: Sequence[bytes]) -> None:
    """Send each in its turn."""
    for payload in said:
        await ann.connector.send(bob.node, payload)


async def flood(ann: Party, bob: Party) -> None:
    """Send until the link is lost."""
    with suppress(ConnectError):
        while True:
            await ann.connector.send(bob.node, FULL[:1000])
            await asyncio.sleep(0)


async def give_up(*tasks: asyncio.Task[None]) -> None:
    """Cancel what goes on."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def stray_message(party: Party, other: Party) -> bool:
    """Whether ``party`` has reported a message of the other outside a link."""
    is_up = False
    for report in party.links.reports:
        if report.node is None or report.node.key != other.name:
            continue
        if report.kind in ("up", "down"):
            is_up = report.kind == "up"
        elif report.kind == "message" and not is_up:
            return True
    return False
