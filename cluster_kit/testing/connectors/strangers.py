"""Rules on strangers: others that open or accept connections, or stand between two nodes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from cluster_kit.node import Node
from cluster_kit.testing.connectors.harness import ConnectorHarness, StartedNode
from cluster_kit.testing.leaks import leaves_nothing
from cluster_kit.testing.rules import contract

GARBAGE = {
    "zeros": bytes(64),
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "nested": b"[" * 5_000 + b"\n",
    "deep": b"[" * 12_000 + b"\n",  # Python 3.13 nests deeper than 3.11 before RecursionError
    "json": b'{"node": {"name": 1}}\n{"fence": []}\nnull\n',
    "long": b"x" * 1_000_000,
}

MOMENT_S = 0.05
TRIES = 3  # one must succeed: a stalled machine may outlast a stranger's time limit
CHUNK_BYTES = 1024 * 1024
ENDLESS_BYTES = 64 * 1024 * 1024  # far more than any buffer on the way
STOPPED_S = 1.0

every_garbage = pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)

UNREADABLE = "let malformed input close its own connection only"


class StrangerRules(ConnectorHarness):
    """Everything from the network is hostile."""

    @every_garbage
    @contract(UNREADABLE)
    async def test_garbage_from_a_dialler_costs_only_its_connection(
        self, ann: StartedNode, bob: StartedNode, garbage: bytes
    ) -> None:
        """Only the connection that brought the garbage is closed; all exceptions are handled."""
        self.needs_links()
        await ann.connect(bob)
        strangers = self.strangers(ann)
        async with strangers.dialling(ann.address) as (reader, writer):
            writer.write(garbage)
            writer.write_eof()
            await strangers.until_closed(reader)
        async with strangers.dialling(ann.address):
            pass  # closed without a byte
        await self.exchange_updates(ann, bob)
        assert ann.links.ups_and_downs(bob.name) == ["up"]
        assert [report.node for report in ann.links.of("up")] == [bob.node], (
            "garbage was reported as a node"
        )

    @every_garbage
    @contract(UNREADABLE)
    async def test_garbage_for_an_answer_is_a_connect_error(
        self, ann: StartedNode, garbage: bytes
    ) -> None:
        """If the answer is not of the connector's protocol, ``connect`` raises ``ConnectError``."""
        self.needs_links()
        async with self.strangers(ann).listening(garbage) as stranger:
            await self.refusal(ann, Node(address=stranger.address))
        await self.no_link(ann)

    @every_garbage
    @contract(UNREADABLE)
    async def test_garbage_on_a_link_costs_only_that_link(
        self, ann: StartedNode, bob: StartedNode, cat: StartedNode, garbage: bytes
    ) -> None:
        """A linked peer that sends garbage loses at most its own link."""
        self.needs_links()
        await ann.connect(cat)
        async with self.strangers(ann).relaying(bob.address) as relay:
            await ann.connector.connect(Node(address=relay.address))
            await bob.links.expect("up", ann.name)
            relay.say(garbage)
            await self.exchange_updates(ann, cat)
        await self._until_noticed(ann, bob)
        assert ann.links.ups_and_downs(cat.name) == ["up"]
        assert cat.links.ups_and_downs(ann.name) == ["up"]

    async def _until_noticed(self, one: StartedNode, other: StartedNode) -> None:
        """Give the nodes time to notice a broken connection, which this rule doesn't test."""
        with suppress(AssertionError):
            await one.links.expect("down", other.name, deadline_s=self.silence_s)
            await other.links.expect("down", one.name, deadline_s=self.silence_s)

    @contract("it is up once both have introduced themselves and the dialler has confirmed")
    async def test_a_mute_stranger_is_not_linked(self, ann: StartedNode) -> None:
        """A mute connection is not a link, and ``stop`` closes it."""
        self.needs_links()
        strangers = self.strangers(ann)
        async with strangers.dialling(ann.address) as (reader, _):
            error = await self.refusal(
                ann, Node(name="ghost@127.0.0.1", address=await self.closed_address())
            )
            assert error.node, f"the error names no node: {error!r}"
            await self.no_link(ann)
            await strangers.until_closed(reader)

    @contract(
        "A connection whose peer stays silent instead of introducing itself is closed in bounded "
        "time, and delays no other."
    )
    async def test_a_mute_stranger_is_disconnected(self, ann: StartedNode) -> None:
        """Otherwise strangers could take up all connections that a process may have."""
        self.needs_links()
        strangers = replace(self.strangers(ann), deadline_s=self.silence_s + self.deadline_s)
        async with strangers.dialling(ann.address) as (reader, _):
            await strangers.until_closed(reader)

    @contract(
        "A connection whose peer stays silent instead of introducing itself is closed in bounded "
        "time, and delays no other."
    )
    def test_a_mute_stranger_delays_no_other(self) -> None:
        """Others can link while a stranger has not introduced itself."""
        self.needs_links()
        outcomes: list[bool] = []

        async def scenario(ann: StartedNode, bob: StartedNode) -> None:
            async with self.strangers(ann).dialling(ann.address) as (reader, _):
                await asyncio.sleep(MOMENT_S)  # the stranger comes first
                await bob.connect(ann)
                await ann.links.expect("up", bob.name)
                outcomes.append(not reader.at_eof())

        for _ in range(TRIES):
            if not any(outcomes):
                self.play(scenario, "ann", "bob")
        assert any(outcomes), (
            "a node that dialled after a mute stranger was linked only once it had gone"
        )

    @contract("check each length before relying on it")
    async def test_endless_input_is_not_read(self, ann: StartedNode) -> None:
        """A stranger can send more than fits in memory.

        The connector closes the connection, or stops reading from it.
        """
        self.needs_links()
        async with self.strangers(ann).dialling(ann.address) as (reader, writer):
            taken = 0
            while taken < ENDLESS_BYTES and not (writer.is_closing() or reader.at_eof()):
                if not await _takes(writer, bytes([0x21]) * CHUNK_BYTES):
                    break
                taken += CHUNK_BYTES
            assert taken < ENDLESS_BYTES, (
                f"the connector read {taken:,} bytes of garbage, and reads on"
            )

    @contract("it ends at once then, closes what it opened and reports nothing")
    async def test_cancelled_connect_leaves_nothing_behind(self, ann: StartedNode) -> None:
        """The worker cancels ``connect`` at its deadline.

        The call ends at once, and leaves nothing behind.
        """
        self.needs_links()
        strangers = self.strangers(ann)
        async with strangers.listening() as silent, leaves_nothing(self.deadline_s):
            dialling = asyncio.create_task(
                ann.connector.connect(Node(name="silent@127.0.0.1", address=silent.address))
            )
            waiting = asyncio.create_task(silent.dialled.wait())
            await asyncio.wait(
                [dialling, waiting], return_when=asyncio.FIRST_COMPLETED, timeout=self.deadline_s
            )
            waiting.cancel()
            assert not dialling.done(), (
                f"a peer that accepts and stays silent is not a link: {dialling!r}"
            )
            dialling.cancel()
            await asyncio.wait([dialling], timeout=self.deadline_s)
            assert dialling.done(), "connect was cancelled, and still runs"
            for reader in silent.readers:
                await strangers.until_closed(reader)
            silent.hang_up()
        assert ann.links.of("up") == []


async def _takes(writer: asyncio.StreamWriter, data: bytes) -> bool:
    """Send ``data``, and return whether the other end reads it."""
    writer.write(data)
    try:
        async with asyncio.timeout(STOPPED_S):
            await writer.drain()
    except OSError:  # TimeoutError is one
        return False
    await asyncio.sleep(0.001)  # virtual time must pass for it to arrive
    return True
