"""Rules on carrying messages; only the first one applies to a connector that carries none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest

from cluster_kit.abc import MAX_GREETING_BYTES, MAX_PAYLOAD_BYTES
from cluster_kit.errors import ConnectError
from cluster_kit.node import Node
from cluster_kit.testing.connectors.harness import (
    ConnectorHarness,
    StartedNode,
    stop,
    unlinked_reports,
)
from cluster_kit.testing.connectors.peers import PeerApart
from cluster_kit.testing.rules import contract

FULL = bytes(range(250)) * (MAX_PAYLOAD_BYTES // 250)
SIZES = (1, 1000, MAX_PAYLOAD_BYTES)
ROUNDS = 50
MOST = 2000  # payloads: 130 MB, more than any system buffers
STUCK_S = 0.5

GREETED = (
    "the connector sends ``links.greeting`` in its handshakes, passes the peer's on by ``links.up``"
)
HANDSHAKE = "each handshake sends the greeting of its own moment"
WHOLE = "Payloads arrive whole and in order or, if the link goes down, not at all."
ONE = "A linked node sent ``payload``: in the order sent, each once, and none after ``down``."
NO_LINK = "There is no such link, or it is lost."
ALONE = "A peer that doesn't read delays only payloads to itself, and never heartbeats."


class MessageRules(ConnectorHarness):
    """Greetings and payloads arrive, and a peer that doesn't read harms no other."""

    # Greeting

    @contract("The peer's own greeting; ``None`` where this link can't carry messages.")
    async def test_a_link_without_messages_has_no_greeting(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """The greeting is ``None``, not empty, if and only if the link can't carry messages."""
        carries = self.make_connector().carries_messages
        ann.links.greeting = bob.links.greeting = b"" if carries else b"hello"
        await ann.connect(bob)
        ups = [await ann.links.expect("up", bob.name)]
        if ann.connector.holds_links:
            ups.append(await bob.links.expect("up", ann.name))
        for up in ups:
            assert up.greeting == (b"" if carries else None), (
                f"the greeting of {up.node} is {up.greeting!r}"
            )

    @contract(GREETED)
    async def test_both_ends_greet_before_the_link_is_up(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """``up`` brings each end the peer's greeting, and the one that it has sent itself."""
        self.needs_messages()
        ann.links.greeting, bob.links.greeting = b"I am \x00 ann", b"\xff"
        await self.greeted(ann, bob)

    @contract("at most ``MAX_GREETING_BYTES``")
    async def test_the_longest_greeting_gets_through(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """A greeting may be far longer than the rest of a handshake."""
        self.needs_messages()
        ann.links.greeting = (FULL * (MAX_GREETING_BYTES // len(FULL) + 1))[:MAX_GREETING_BYTES]
        bob.links.greeting = ann.links.greeting[::-1]
        await self.greeted(ann, bob)

    @contract(HANDSHAKE)
    async def test_each_handshake_sends_the_current_greeting(
        self, ann: StartedNode, bob: StartedNode, cat: StartedNode
    ) -> None:
        """A changed greeting is sent in the next handshake, even an empty one."""
        self.needs_messages()
        ann.links.greeting = b"early"
        await self.greeted(ann, bob)
        ann.links.greeting = b"late"
        await self.greeted(cat, ann)
        ann.links.greeting = b""
        await ann.disconnect(bob)
        with suppress(AssertionError):  # another rule covers that
            await ann.links.expect("down", bob.name)
            await bob.links.expect("down", ann.name)
            await self.greeted(ann, bob, count=2)

    async def greeted(self, one: StartedNode, other: StartedNode, *, count: int = 1) -> None:
        """Connect two nodes, and check which greetings each end reports."""
        greetings = {node.name: node.links.greeting for node in (one, other)}
        await one.connect(other)
        for near, far in ((one, other), (other, one)):
            sent, expected = greetings[near.name], greetings[far.name]
            up = await near.links.expect("up", far.name, count=count)
            assert up.greeting is not None, f"{near.name} reports a link that can't carry messages"
            assert up.greeting == expected, (
                f"{far.name} greeted with {len(expected)} bytes, and {near.name} reports "
                f"{len(up.greeting)}: {up.greeting[:40]!r}"
            )
            assert up.told == sent, (
                f"{near.name} greeted with {len(sent)} bytes, and reports having sent "
                f"{len(up.told)}: {up.told[:40]!r}"
            )

    # Sending

    @contract(WHOLE)
    async def test_messages_arrive_whole_and_in_order(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """Payloads of any bytes and length arrive in both directions, in order, each once."""
        self.needs_messages()
        await self.both_up(ann, bob)
        payloads = [bytes([number]) * size for number in range(ROUNDS) for size in SIZES]
        await asyncio.gather(send(ann, bob, payloads), send(bob, ann, payloads[::-1]))
        await self.got(bob, ann, payloads)
        await self.got(ann, bob, payloads[::-1])
        await self.exchange_updates(ann, bob)
        assert len(bob.links.of("message")) == len(ann.links.of("message")) == len(payloads), (
            "a payload arrived twice"
        )

    @contract(ONE)
    async def test_messages_come_between_up_and_down(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """No message is reported before ``up`` or after ``down``, whenever it is sent."""
        self.needs_messages()
        for round_ in (1, 2):
            await self.both_up(ann, bob, count=round_)
            sending = [asyncio.create_task(flood(*ends)) for ends in ((ann, bob), (bob, ann))]
            await ann.links.until(lambda: bool(ann.links.of("message")), "a message")
            await ann.disconnect(bob)
            try:
                await ann.links.expect("down", bob.name, count=round_)
                await bob.links.expect("down", ann.name, count=round_)
            except AssertionError:  # another rule covers that
                break
            finally:
                await give_up(*sending)
        await stop(ann, bob)
        for one, other in ((ann, bob), (bob, ann)):
            stray = [each for each in unlinked_reports(one, other) if each.kind == "message"]
            assert not stray, f"{one.name} reported messages while {other.name} was not linked"

    @contract(NO_LINK)
    async def test_send_without_a_link_is_a_connect_error(
        self, ann: StartedNode, bob: StartedNode
    ) -> None:
        """``send`` to a node that is not linked raises ``ConnectError``.

        The node may be unknown, linked no longer, or another run of a linked one.
        """
        self.needs_messages()
        await self.unsent(ann, bob.node.evolve(name="ghost@127.0.0.1"))
        await self.unsent(ann, bob.node)
        await self.both_up(ann, bob)
        await self.unsent(ann, bob.node.evolve(boot_id=ann.links.boot_id))
        await ann.disconnect(bob)
        with suppress(AssertionError):
            await ann.links.expect("down", bob.name)
            await self.unsent(ann, bob.node)
        assert not bob.links.of("message")

    async def unsent(self, sender: StartedNode, node: Node) -> None:
        """Send to ``node``, which must fail."""
        try:
            async with asyncio.timeout(self.deadline_s):
                await sender.connector.send(node, b"lost")
        except ConnectError:
            return
        except TimeoutError:
            raise AssertionError(f"send to {node!r} waits, though there is no link") from None
        raise AssertionError(f"send to {node!r} raised no ConnectError, though there is no link")

    # A peer that doesn't read

    @contract(ALONE)
    async def test_a_peer_that_does_not_read_delays_no_other(
        self, ann: StartedNode, cat: StartedNode
    ) -> None:
        """``send`` to a frozen peer waits, so that nothing piles up, and can be cancelled.

        Meanwhile others receive their messages.
        """
        self.needs_messages()
        async with self.linked_apart(ann) as bob:
            await self.both_up(ann, cat)
            bob.freeze()
            stuck = await self.stuck(ann, bob)
            payloads = [bytes([number]) * size for number in range(3) for size in SIZES]
            sending = asyncio.create_task(send(ann, cat, payloads))
            await asyncio.wait(
                [sending, stuck], timeout=self.deadline_s, return_when=asyncio.FIRST_COMPLETED
            )
            assert sending.done(), f"send to {cat.name} waits while {bob.node.key} doesn't read"
            assert not stuck.done(), (
                f"send to {cat.name} waited until the link to {bob.node.key} was lost"
            )
            await self.got(cat, ann, payloads)
            stuck.cancel()
            await asyncio.wait([stuck], timeout=self.deadline_s)
            assert stuck.done(), "send was cancelled, and still runs"

    @contract(NO_LINK)
    async def test_a_waiting_send_fails_when_the_link_is_lost(self, ann: StartedNode) -> None:
        """``send`` that waits for a frozen peer fails when the link is lost."""
        self.needs_messages()
        async with self.linked_apart(ann) as bob:
            bob.freeze()
            stuck = await self.stuck(ann, bob)
            try:
                await ann.links.expect(
                    "down", bob.node.key, deadline_s=self.silence_s + self.deadline_s
                )
            except AssertionError:
                await give_up(stuck)
                pytest.skip("the link isn't lost; test_a_frozen_peer_is_down_as_silent covers that")
            await asyncio.wait([stuck], timeout=self.deadline_s)
            if not stuck.done():
                await give_up(stuck)
                raise AssertionError("the link is down, and send still waits")
            assert isinstance(stuck.exception(), ConnectError), f"send ended with {stuck!r}"

    async def stuck(self, ann: StartedNode, bob: PeerApart) -> asyncio.Task[None]:
        """Send to a frozen peer until a ``send`` waits, and return that one."""
        for _ in range(MOST):
            sending = asyncio.create_task(ann.connector.send(bob.node, FULL))
            await asyncio.wait([sending], timeout=STUCK_S)
            if not sending.done():
                return sending
            sending.result()
        raise AssertionError(
            f"send never waits: {MOST * len(FULL):,} bytes were sent to a peer that doesn't read"
        )

    # What rules have in common

    async def both_up(self, one: StartedNode, other: StartedNode, *, count: int = 1) -> None:
        """Open a link, and wait until both ends have reported it."""
        await one.connect(other)
        await other.links.expect("up", one.name, count=count)

    async def got(self, receiver: StartedNode, sender: StartedNode, sent: Sequence[bytes]) -> None:
        """Wait until ``receiver`` has as many messages of ``sender`` as were sent; compare them."""

        def received() -> list[bytes]:
            return [report.data for report in receiver.links.of("message", sender.name)]

        try:
            async with asyncio.timeout(self.deadline_s):
                await receiver.links.until(
                    lambda: len(received()) >= len(sent), "messages", deadline_s=2 * self.deadline_s
                )
        except TimeoutError:
            raise AssertionError(
                f"{receiver.name} got {len(received())} of {len(sent)} messages of {sender.name}"
            ) from None
        pairs = enumerate(zip(received(), sent, strict=False))
        wrong = [number for number, (got, expected) in pairs if got != expected]
        assert not wrong, f"message {wrong[0]} of {sender.name} is not what was sent"

    def needs_messages(self) -> None:
        """Skip the rule unless the connector carries messages."""
        self.needs_links()
        if not self.make_connector().carries_messages:
            pytest.skip("Connector.carries_messages is false: links carry no messages")


async def send(sender: StartedNode, receiver: StartedNode, payloads: Sequence[bytes]) -> None:
    """Send payloads, one after the other."""
    for payload in payloads:
        await sender.connector.send(receiver.node, payload)


async def flood(sender: StartedNode, receiver: StartedNode) -> None:
    """Send until the link is lost."""
    with suppress(ConnectError):
        while True:
            await sender.connector.send(receiver.node, FULL[:1000])
            await asyncio.sleep(0)


async def give_up(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks, and wait for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
