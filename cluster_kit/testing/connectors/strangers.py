"""The rules about whoever is no node, part of ``ConnectorConformance``: everything from the network
is hostile.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest

from cluster_kit.node import Node
from cluster_kit.testing.connectors.stage import Party, Stage
from cluster_kit.testing.contract import contract
from cluster_kit.testing.leaks import leaves_nothing

GARBAGE = {
    "zeros": bytes(64),
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "nested": b"[" * 5_000 + b"\n",
    # as 3.13 takes more levels than 3.11 before it raises RecursionError
    "deep": b"[" * 12_000 + b"\n",
    "json": b'{"node": {"name": 1}}\n{"fence": []}\nnull\n',
    "long": b"x" * 1_000_000,
}

MOMENT_S = 0.05
# of which one must do: a machine that stands still may outlast what a stranger is granted
TRIES = 3
CHUNK_BYTES = 1024 * 1024
ENDLESS_BYTES = 64 * 1024 * 1024  # far more than any buffer on the way
STOPPED_S = 1.0

every_garbage = pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)

UNREADABLE = "what can't be read costs its own connection, nothing else"


class StrangerRules(Stage):
    """Strangers dial, are dialled, and stand between two nodes."""

    @every_garbage
    @contract(UNREADABLE)
    def test_garbage_from_a_dialler_costs_only_its_connection(self, garbage: bytes) -> None:
        """What isn't of the connector's protocol costs its own connection, and nothing else; no
        exception goes unhandled.
        """

        async def scenario(ann: Party, bob: Party) -> None:
            assert ann.node.address is not None
            await ann.connect(bob)
            strangers = self.strangers(ann)
            async with strangers.dialling(ann.node.address) as (reader, writer):
                writer.write(garbage)
                writer.write_eof()
                await strangers.until_closed(reader)
            async with strangers.dialling(ann.node.address):
                pass  # and one that goes without a word
            await self.tell_each_other(ann, bob)
            assert ann.links.ups_and_downs(bob.name) == ["up"]
            assert [report.node for report in ann.links.of("up")] == [bob.node], (
                "garbage counts as a node"
            )

        self.play(scenario, "ann", "bob", holding=True)

    @every_garbage
    @contract(UNREADABLE)
    def test_garbage_for_an_answer_is_a_connect_error(self, garbage: bytes) -> None:
        """A peer that doesn't speak the connector's protocol is refused by ``ConnectError``, like
        one that hangs up.
        """

        async def scenario(ann: Party) -> None:
            async with self.strangers(ann).listening(garbage) as stranger:
                await self.refusal(ann, Node(address=stranger.address))
            await self.no_link(ann)

        self.play(scenario, "ann", holding=True)

    @every_garbage
    @contract(UNREADABLE)
    def test_garbage_on_a_link_costs_only_that_link(self, garbage: bytes) -> None:
        """A linked peer that sends garbage loses its own link at most; the others aren't
        disturbed.
        """

        async def scenario(ann: Party, bob: Party, cat: Party) -> None:
            assert bob.node.address is not None
            await ann.connect(cat)
            async with self.strangers(ann).relaying(bob.node.address) as relay:
                await ann.connector.connect(Node(address=relay.address))
                await bob.links.expect("up", ann.name)
                relay.say(garbage)
                await self.tell_each_other(ann, cat)
            await self.no_link_for_long(ann, bob)
            assert ann.links.ups_and_downs(cat.name) == ["up"]
            assert cat.links.ups_and_downs(ann.name) == ["up"]

        self.play(scenario, "ann", "bob", "cat", holding=True)

    async def no_link_for_long(self, *parties: Party) -> None:
        """Give the parties the time to notice a connection that broke; that they do is not what is
        tried here.
        """
        one, other = parties
        with suppress(AssertionError):
            await one.links.expect("down", other.name, deadline_s=self.silence_s)
            await other.links.expect("down", one.name, deadline_s=self.silence_s)

    @contract("it is up once both ends have introduced themselves and the dialler has confirmed")
    def test_a_stranger_that_says_nothing_is_no_link(self) -> None:
        """A link is up once both ends have introduced themselves; ``stop`` closes what hasn't come
        so far.
        """

        async def scenario(ann: Party) -> None:
            assert ann.node.address is not None
            strangers = self.strangers(ann)
            async with strangers.dialling(ann.node.address) as (reader, _):
                error = await self.refusal(
                    ann, Node(name="ghost@127.0.0.1", address=await self.closed_address())
                )
                assert error.node, "the connector still works"
                await self.no_link(ann)
                await strangers.until_closed(reader)

        self.play(scenario, "ann", holding=True)

    @contract(
        "A stranger that opens a connection and says nothing is hung up on in bounded time, and "
        "holds up nobody."
    )
    def test_a_mute_stranger_is_hung_up_on(self) -> None:
        """Otherwise anybody could take up all the connections that a process may have."""

        async def scenario(ann: Party) -> None:
            assert ann.node.address is not None
            strangers = replace(self.strangers(ann), deadline_s=self.silence_s + self.deadline_s)
            async with strangers.dialling(ann.node.address) as (reader, _):
                await strangers.until_closed(reader)

        self.play(scenario, "ann", holding=True)

    @contract(
        "A stranger that opens a connection and says nothing is hung up on in bounded time, and "
        "holds up nobody."
    )
    def test_a_mute_stranger_holds_up_nobody(self) -> None:
        """Others are linked while a stranger still has the time to introduce himself."""

        async def scenario(ann: Party, bob: Party, told: list[bool]) -> None:
            assert ann.node.address is not None
            async with self.strangers(ann).dialling(ann.node.address) as (reader, _):
                await asyncio.sleep(MOMENT_S)  # so that he comes first
                await bob.connect(ann)
                await ann.links.expect("up", bob.name)
                told.append(not reader.at_eof())

        told: list[bool] = []
        for _ in range(TRIES):
            if not any(told):
                self.play(partial(scenario, told=told), "ann", "bob", holding=True)
        assert any(told), (
            "whoever dials after a stranger that says nothing is linked only once he is gone"
        )

    @contract("every length is bounded before it is believed")
    def test_who_never_comes_to_an_end_is_not_listened_to(self) -> None:
        """A stranger can say more than there is memory: the connector closes, or reads no
        further.
        """

        async def scenario(ann: Party) -> None:
            assert ann.node.address is not None
            async with self.strangers(ann).dialling(ann.node.address) as (reader, writer):
                taken = 0
                while taken < ENDLESS_BYTES and not (writer.is_closing() or reader.at_eof()):
                    if not await _takes(writer, bytes([0x21]) * CHUNK_BYTES):
                        break
                    taken += CHUNK_BYTES
                assert taken < ENDLESS_BYTES, (
                    f"it has taken {taken:,} bytes of what is no introduction, and goes on"
                )

        self.play(scenario, "ann", holding=True)

    @contract("it ends at once then, closes what it opened and reports nothing")
    def test_cancelled_connect_leaves_nothing_behind(self) -> None:
        """The worker cancels a ``connect`` at its deadline: it ends at once, and leaves nothing
        behind.
        """

        async def scenario(ann: Party) -> None:
            strangers = self.strangers(ann)
            async with strangers.listening() as mum, leaves_nothing(self.deadline_s):
                dialling = asyncio.create_task(
                    ann.connector.connect(Node(name="mum@127.0.0.1", address=mum.address))
                )
                waiting = asyncio.create_task(mum.dialled.wait())
                await asyncio.wait(
                    [dialling, waiting],
                    return_when=asyncio.FIRST_COMPLETED,
                    timeout=self.deadline_s,
                )
                waiting.cancel()
                assert not dialling.done(), (
                    f"a peer that accepts and is silent is no link yet: {dialling!r}"
                )
                dialling.cancel()
                await asyncio.wait([dialling], timeout=self.deadline_s)
                assert dialling.done(), "connect goes on after it was cancelled"
                for heard in mum.heard:
                    await strangers.until_closed(heard)
                mum.hang_up()
            assert ann.links.of("up") == []

        self.play(scenario, "ann", holding=True)


async def _takes(writer: asyncio.StreamWriter, data: bytes) -> bool:
    """Say ``data``; return whether the other end reads on."""
    writer.write(data)
    try:
        async with asyncio.timeout(STOPPED_S):
            await writer.drain()
    except OSError:  # TimeoutError is one
        return False
    await asyncio.sleep(0.001)  # in memory it takes time to arrive
    return True
