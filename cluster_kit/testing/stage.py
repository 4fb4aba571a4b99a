"""Where connectors are tested: up to three nodes on loopback, each with a connector and a ``RecordingLinks`` of its own."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from cluster_kit.abc import Connector
from cluster_kit.errors import ConnectError
from cluster_kit.node import BootId, Fence, Node, join_address
from cluster_kit.testing.stand_ins import DEADLINE_S, FENCE, RecordingLinks

_boots = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Party:
    """A node with its connector: ``node`` is what ``start`` returned, ``links`` what was reported."""

    connector: Connector
    links: RecordingLinks
    node: Node

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.key

    async def connect(self, other: Party) -> Node:
        """Connect to the other party."""
        return await self.connector.connect(other.node)

    async def disconnect(self, other: Party) -> None:
        """Disconnect from the other party."""
        await self.connector.disconnect(other.node)


class Stage:
    """What a suite for connectors overrides, and how its scenarios are played."""

    deadline_s: float = DEADLINE_S
    """How long to wait for what must come."""

    def make_connector(self) -> Connector:
        """Return a fresh instance that serves on loopback."""
        raise NotImplementedError("override 'make_connector'")

    def make_node(self, basename: str) -> Node:
        """Return a node of this name, as its worker knows it before the connector starts; its boot is added."""
        return Node(name=f"{basename}@127.0.0.1", metadata={"told by": basename})

    @asynccontextmanager
    async def party(self, basename: str, *, fence: Fence = FENCE) -> AsyncIterator[Party]:
        """Boot and start a node, and stop it at the end of the block; who is booted later is the newer one."""
        local = self.make_node(basename).evolve(boot_id=BootId(next(_boots), 0))
        links = RecordingLinks(fence=fence, boot_id=local.boot_id, deadline_s=self.deadline_s)
        connector = self.make_connector()
        started = await connector.start(local, links)
        try:
            yield Party(connector, links, started)
        finally:
            await connector.stop()

    def play(self, scenario: Callable[..., Awaitable[None]], *basenames: str, holding: bool = False) -> None:
        """Play a scenario with one started party for each name; ``holding``: only for connectors that hold links."""
        if holding:
            self.needs_links()

        async def play() -> None:
            async with AsyncExitStack() as stack:
                await scenario(*[await stack.enter_async_context(self.party(basename)) for basename in basenames])

        asyncio.run(play())

    async def link_both_ways(self, one: Party, other: Party) -> None:
        """Make both want the link between them."""
        await one.connect(other)
        await other.links.expect("up", one.name)
        await other.connect(one)

    async def tell_each_other(self, one: Party, other: Party) -> None:
        """Return once news has crossed the link both ways, so everything sent before has arrived."""
        for teller, hearer in ((one, other), (other, one)):
            count = len(hearer.links.of("updated", teller.name)) + 1
            await teller.connector.update(teller.node.evolve(metadata={"news": str(count)}), leaving=False)
            await hearer.links.expect("updated", teller.name, count=count)

    async def no_link(self, *parties: Party) -> None:
        """Stop the parties and check that none of them ever reported a link."""
        await stop(*parties)
        for party in parties:
            assert party.links.of("up") == [], f"{party.name} reported a link"

    async def refusal(self, party: Party, node: Node) -> ConnectError:
        """Connect to ``node``, which must fail, and return the error."""
        with pytest.raises(ConnectError) as caught:
            async with asyncio.timeout(self.deadline_s):
                await party.connector.connect(node)
        return caught.value

    def needs_links(self) -> None:
        """Skip the rule unless the connector holds links."""
        if not self.make_connector().holds_links:
            pytest.skip("Connector.holds_links is false: a known node counts as up")


def closed_address() -> str:
    """Return an address on loopback at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return join_address("127.0.0.1", server.getsockname()[1])


async def stop(*parties: Party) -> None:
    """Stop the parties, one after the other."""
    for party in parties:
        await party.connector.stop()
