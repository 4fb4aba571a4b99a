"""Where connectors are tested: nodes with a connector and a ``RecordingLinks`` of their own, and
strangers.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from cluster_kit.abc import Connector
from cluster_kit.errors import ConnectError
from cluster_kit.node import BootId, Fence, Node, host_and_port, join_address
from cluster_kit.security import Security
from cluster_kit.security.keys import Keyring
from cluster_kit.testing.connectors.peers import PeerApart, Strangers, peer_process
from cluster_kit.testing.leaks import close_server
from cluster_kit.testing.scenarios import run_to_end, without_unhandled
from cluster_kit.testing.stand_ins import DEADLINE_S, FENCE, RecordingLinks

_boots = itertools.count(1)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Party:
    """A node with its connector: ``node`` is what ``start`` returned, ``links`` what was
    reported.
    """

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
    """Seconds to wait for what must come: generous, as a busy machine is no fault of the connector.
    """
    silence_s: float = 10.0
    """Seconds within which a peer that says nothing any more must be reported ``down(silent)``; the
    worker's view of a frozen peer is wrong for so long. Make heartbeats frequent in
    ``make_connector`` and set this low for a quick suite.
    """
    has_strangers: bool = True
    """False where nobody but a connector can open a connection of the transport: rules about
    strangers are skipped.
    """
    keyring: Keyring | None = None
    """What the secret of all parties came to; by default there is none."""
    has_peers_apart: bool = True
    """False where both ends of a link must be in one process: rules about crashes and frozen peers
    are skipped.
    """

    def make_connector(self) -> Connector:
        """Return a fresh instance, configured to serve on this machine only.

        Every instance of one test must be able to reach every other one, and nothing that an
        earlier test left may disturb it: where it needs a directory or a port, take a fresh one in
        a fixture. It must survive pickling as long as it was not started, as instances in
        configurations must, since peers that crash are started in a process of their own.
        """
        raise NotImplementedError("override 'make_connector'")

    def make_node(self, basename: str) -> Node:
        """Return a node of this name, as its worker knows it before the connector starts; its boot
        is added.

        Its host must be one where the connector can serve and that leads to this machine. It needs
        some metadata.
        """
        return Node(name=f"{basename}@127.0.0.1", metadata={"told by": basename})

    def make_links(self, *, fence: Fence = FENCE, boot_id: BootId | None = None) -> RecordingLinks:
        """Return what the connector of a party reports to, for a node of this boot in this cluster
        and group.
        """
        return RecordingLinks(fence=fence, boot_id=boot_id, deadline_s=self.deadline_s)

    def run(self, scenario: Coroutine[Any, Any, None]) -> None:
        """Run one scenario to its end, in an event loop of its own; every rule comes through here.

        An override raises what the scenario raises, and leaves no task behind.
        """
        run_to_end(scenario, self.deadline_s)

    def listen_raw(
        self, handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]
    ) -> AsyncListener:
        """Listen at a fresh address of the connector's transport, as a peer that is no connector
        would.

        Used as ``async with self.listen_raw(handle) as address``: yield the address, in the form of
        ``Node.address``; call the plain function ``handle(reader, writer)`` for each connection, as
        ``asyncio.start_server`` does; listen no more after the block, and leave nothing behind. The
        connections are closed by the caller. Below what the transport encrypts.
        """
        return _listen_tcp(handle)

    async def dial_raw(self, address: str) -> Streams:
        """Open a connection to the connector that serves at ``address``, say nothing, and return
        the streams.

        They are closed by the caller. Below what the transport encrypts.
        """
        parts = host_and_port(address)
        assert parts is not None
        return await asyncio.open_connection(*parts)

    def peer_apart(
        self, basename: str, *, dial: Node | None = None
    ) -> AbstractAsyncContextManager[PeerApart]:
        """Start a peer that can crash and freeze without any word: by default in a process of its
        own, killed at the end.

        Args:
            basename: Of its node.
            dial: Whom it connects to, once it has started.
        """
        return peer_process(
            self.make_connector(), self._boot(basename), dial=dial, keyring=self.keyring
        )

    async def stall(self, seconds: float) -> None:
        """Hold up the event loop, as a busy machine does. Override it where ``run`` isn't on the
        system's clock.
        """
        time.sleep(seconds)  # noqa: ASYNC251 - that is what it is for

    # How scenarios are played

    def _boot(self, basename: str) -> Node:
        return self.make_node(basename).evolve(boot_id=BootId(next(_boots), 0))

    @asynccontextmanager
    async def party(
        self, basename: str, *, fence: Fence = FENCE, metadata: Mapping[str, str] | None = None
    ) -> AsyncIterator[Party]:
        """Boot and start a node, and stop it at the end of the block; who is booted later is the
        newer one.
        """
        local = self._boot(basename)
        if metadata is not None:
            local = local.evolve(metadata=metadata)
        links = self.make_links(fence=fence, boot_id=local.boot_id)
        links.security = Security(local, self.keyring)
        connector = self.make_connector()
        started = await connector.start(local, links)
        try:
            yield Party(connector, links, started)
        finally:
            await connector.stop()

    def play(
        self, scenario: Callable[..., Awaitable[None]], *basenames: str, holding: bool = False
    ) -> None:
        """Play a scenario with one started party for each name; ``holding``: only for connectors
        that hold links.
        """
        if holding:
            self.needs_links()

        async def play() -> None:
            async with AsyncExitStack() as stack:
                await scenario(
                    *[
                        await stack.enter_async_context(self.party(basename))
                        for basename in basenames
                    ]
                )

        self.run(without_unhandled(play()))

    async def closed_address(self) -> str:
        """Return an address at which nobody listens any more."""
        async with self.party("ghost") as ghost:
            assert ghost.node.address is not None, "start returned no address"
        return ghost.node.address

    def strangers(self, like: Party) -> Strangers:
        """Return what makes strangers of the transport that ``like`` uses; skip the rule where
        there are none.
        """
        if not self.has_strangers:
            pytest.skip("has_strangers is false: nobody but a connector can open a connection")
        overridden = (
            type(self).dial_raw is not Stage.dial_raw
            and type(self).listen_raw is not Stage.listen_raw
        )
        if not overridden and host_and_port(like.node.address) is None:
            pytest.fail(
                f"{like.node.address!r} is not of TCP: override 'listen_raw' and 'dial_raw' to "
                "open connections without the "
                "connector, or set has_strangers = False where there are none"
            )
        return Strangers(self.listen_raw, self.dial_raw, self.deadline_s)

    async def link_both_ways(self, one: Party, other: Party) -> None:
        """Make both want the link between them."""
        await one.connect(other)
        await other.links.expect("up", one.name)
        await other.connect(one)

    async def tell_each_other(self, one: Party, other: Party) -> None:
        """Return once news has crossed the link both ways, so everything sent before has
        arrived.
        """
        for teller, hearer in ((one, other), (other, one)):
            count = len(hearer.links.of("updated", teller.name)) + 1
            await teller.connector.update(
                teller.node.evolve(metadata={"news": str(count)}), leaving=False
            )
            await hearer.links.expect("updated", teller.name, count=count)

    async def no_link(self, *parties: Party) -> None:
        """Stop the parties and check that none of them ever reported a link."""
        await stop(*parties)
        for party in parties:
            assert party.links.of("up") == [], f"{party.name} reported a link"

    async def refusal(self, party: Party, node: Node) -> ConnectError:
        """Connect to ``node``, which must fail, and return the error."""
        try:
            async with asyncio.timeout(self.deadline_s):
                met = await party.connector.connect(node)
        except ConnectError as refused:
            return refused
        except TimeoutError:
            raise AssertionError(
                f"connect to {node!r} neither succeeds nor fails within {self.deadline_s:g} s"
            ) from None
        raise AssertionError(f"connect to {node!r} returned {met!r}, expected a ConnectError")

    def needs_links(self) -> None:
        """Skip the rule unless the connector holds links."""
        if not self.make_connector().holds_links:
            pytest.skip("Connector.holds_links is false: a known node counts as up")

    def needs_peers_apart(self) -> None:
        """Skip the rule unless a peer can crash and freeze by itself."""
        self.needs_links()
        if not self.has_peers_apart:
            pytest.skip("has_peers_apart is false: a peer can't crash or freeze by itself")


AsyncListener = AbstractAsyncContextManager[str]


@asynccontextmanager
async def _listen_tcp(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], None],
) -> AsyncIterator[str]:
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield join_address("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        await close_server(server)


async def stop(*parties: Party) -> None:
    """Stop the parties, one after the other."""
    for party in parties:
        await party.connector.stop()
