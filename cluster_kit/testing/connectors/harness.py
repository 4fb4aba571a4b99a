"""The base of the suite for connectors: what an author overrides, and what rules have in common."""

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
from cluster_kit.testing.connectors.peers import PeerApart, StrangerFactory, peer_process
from cluster_kit.testing.fakes import DEADLINE_S, FENCE, RecordingLinks, Report
from cluster_kit.testing.leaks import close_server
from cluster_kit.testing.rules import run_to_end, without_unhandled

_boots = itertools.count(1)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class StartedNode:
    """A node whose connector serves.

    Attributes:
        connector: The connector under test.
        links: What it reported.
        node: What its ``start`` returned.
    """

    connector: Connector
    links: RecordingLinks
    node: Node

    @property
    def name(self) -> str:
        """The key of the node."""
        return self.node.key

    @property
    def address(self) -> str:
        """The address at which it serves."""
        assert self.node.address is not None, "start returned no address"
        return self.node.address

    async def connect(self, other: StartedNode) -> Node:
        """Connect to the other node."""
        return await self.connector.connect(other.node)

    async def disconnect(self, other: StartedNode) -> None:
        """Disconnect from the other node."""
        await self.connector.disconnect(other.node)


class ConnectorHarness:
    """What ``ConnectorConformance`` lets an author override."""

    deadline_s: float = DEADLINE_S
    """Seconds to wait for what must come: generous, since a busy machine is not a broken connector.
    """
    silence_s: float = 10.0
    """Seconds within which the connector reports a frozen peer as ``down(silent)``.

    For a quick suite, make heartbeats frequent in ``make_connector``, and set this accordingly.
    """
    has_strangers: bool = True
    """False if only connectors can open connections: rules about strangers are skipped."""
    keyring: Keyring | None = None
    """The keys derived from the cluster's secret, for all nodes; by default there is no secret."""
    has_peers_apart: bool = True
    """False if both ends of a link must be in one process: rules about lost peers are skipped."""

    def make_connector(self) -> Connector:
        """Return a fresh instance, configured to serve on this machine only.

        All instances of one test must be able to reach each other, and be independent of earlier
        tests: if they need a directory or a port, take a fresh one in a fixture. An instance that
        was not started must survive pickling, as in a configuration, since peers that crash are
        started in a separate process.
        """
        raise NotImplementedError("override 'make_connector'")

    def make_node(self, basename: str) -> Node:
        """Return a node, before its connector starts; the suite adds the boot.

        The host of its name must lead to this machine, and be one at which the connector can serve.
        The node needs some metadata.
        """
        return Node(name=f"{basename}@127.0.0.1", metadata={"set by": basename})

    def make_links(self, *, fence: Fence = FENCE, boot_id: BootId | None = None) -> RecordingLinks:
        """Return what the connector of a node reports to."""
        return RecordingLinks(fence=fence, boot_id=boot_id, deadline_s=self.deadline_s)

    def run(self, scenario: Coroutine[Any, Any, None]) -> None:
        """Run one scenario to its end in a separate event loop; every rule runs through here.

        An override raises what the scenario raises, and leaves no task behind.
        """
        run_to_end(scenario, self.deadline_s)

    def listen_raw(
        self, handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]
    ) -> AsyncListener:
        """Listen at a fresh address of the connector's transport, below its protocol.

        Used as ``async with self.listen_raw(handle) as address``. Yield the address, in the form of
        ``Node.address``, and call the plain function ``handle(reader, writer)`` for each
        connection, as ``asyncio.start_server`` does. Stop listening at the end of the block, and
        leave nothing behind. The caller closes the connections. They are not encrypted.
        """
        return _listen_tcp(handle)

    async def dial_raw(self, address: str) -> Streams:
        """Open a connection to a connector, send nothing, and return the streams.

        The caller closes them. They are not encrypted.
        """
        parts = host_and_port(address)
        assert parts is not None
        return await asyncio.open_connection(*parts)

    def peer_apart(
        self, basename: str, *, dial: Node | None = None
    ) -> AbstractAsyncContextManager[PeerApart]:
        """Start a peer that can crash and freeze, by default in a separate process.

        Args:
            basename: The name of its node, without the host.
            dial: The node to which it connects once it has started.
        """
        return peer_process(
            self.make_connector(), self._boot(basename), dial=dial, keyring=self.keyring
        )

    async def stall(self, seconds: float) -> None:
        """Block the event loop, as a busy machine does; override it if ``run`` isn't real time."""
        time.sleep(seconds)  # noqa: ASYNC251 - blocking is the point

    # What rules have in common; there is no need to override these

    def _boot(self, basename: str) -> Node:
        return self.make_node(basename).evolve(boot_id=BootId(next(_boots), 0))

    @asynccontextmanager
    async def started(
        self, basename: str, *, fence: Fence = FENCE, metadata: Mapping[str, str] | None = None
    ) -> AsyncIterator[StartedNode]:
        """Start a node of a newer boot than all before it, and stop it at the end of the block."""
        local = self._boot(basename)
        if metadata is not None:
            local = local.evolve(metadata=metadata)
        links = self.make_links(fence=fence, boot_id=local.boot_id)
        links.security = Security(local, self.keyring)
        connector = self.make_connector()
        started = await connector.start(local, links)
        try:
            yield StartedNode(connector, links, started)
        finally:
            await connector.stop()

    def play(self, rule: Callable[..., Awaitable[None]], *basenames: str) -> None:
        """Run a rule with a started node for each name; every exception must be handled."""

        async def play() -> None:
            async with AsyncExitStack() as stack:
                await rule(*[await stack.enter_async_context(self.started(b)) for b in basenames])

        self.run(without_unhandled(play()))

    @asynccontextmanager
    async def linked_apart(
        self, ann: StartedNode, opened: str = "dialled"
    ) -> AsyncIterator[PeerApart]:
        """Yield a peer apart with a link to ann, which ann ``dialled`` or ``accepted``."""
        self.needs_peers_apart()
        is_dialled = opened == "dialled"
        async with self.peer_apart("bob", dial=None if is_dialled else ann.node) as bob:
            if is_dialled:
                await ann.connector.connect(bob.node)
            await ann.links.expect("up", bob.node.key)
            yield bob

    async def closed_address(self) -> str:
        """Return an address at which nothing listens any more."""
        async with self.started("ghost") as ghost:
            return ghost.address

    def strangers(self, like: StartedNode) -> StrangerFactory:
        """Return what opens raw connections like those of ``like``, or skip the rule."""
        if not self.has_strangers:
            pytest.skip("has_strangers is false: only a connector can open a connection")
        default, own = ConnectorHarness, type(self)
        is_tcp = own.dial_raw is default.dial_raw or own.listen_raw is default.listen_raw
        if is_tcp and host_and_port(like.node.address) is None:
            pytest.fail(
                f"{like.node.address!r} is not an address of TCP: override 'listen_raw' and "
                "'dial_raw' to open connections without the connector, or set has_strangers = "
                "False if that is impossible"
            )
        return StrangerFactory(self.listen_raw, self.dial_raw, self.deadline_s)

    async def link_both_ways(self, one: StartedNode, other: StartedNode) -> None:
        """Open a link that both nodes want."""
        await one.connect(other)
        await other.links.expect("up", one.name)
        await other.connect(one)

    async def exchange_updates(self, one: StartedNode, other: StartedNode) -> None:
        """Send an update each way: once both have arrived, all that was sent before has, too."""
        for sender, receiver in ((one, other), (other, one)):
            count = len(receiver.links.of("updated", sender.name)) + 1
            updated = sender.node.evolve(metadata={"update": str(count)})
            await sender.connector.update(updated, leaving=False)
            await receiver.links.expect("updated", sender.name, count=count)

    async def no_link(self, *nodes: StartedNode) -> None:
        """Stop the nodes, and check that none of them ever reported a link."""
        await stop(*nodes)
        for node in nodes:
            assert node.links.of("up") == [], f"{node.name} reported a link"

    async def refusal(self, dialler: StartedNode, node: Node) -> ConnectError:
        """Connect ``dialler`` to ``node``, which must fail, and return the error."""
        try:
            async with asyncio.timeout(self.deadline_s):
                met = await dialler.connector.connect(node)
        except ConnectError as refused:
            return refused
        except TimeoutError:
            raise AssertionError(
                f"connect to {node!r} neither succeeded nor failed within {self.deadline_s:g} s"
            ) from None
        raise AssertionError(f"connect to {node!r} returned {met!r}; expected a ConnectError")

    def needs_links(self) -> None:
        """Skip the rule unless the connector holds links."""
        if not self.make_connector().holds_links:
            pytest.skip("Connector.holds_links is false: a known node counts as up")

    def needs_peers_apart(self) -> None:
        """Skip the rule unless a peer can crash and freeze by itself."""
        self.needs_links()
        if not self.has_peers_apart:
            pytest.skip("has_peers_apart is false: a peer can't crash or freeze by itself")


def unlinked_reports(one: StartedNode, other: StartedNode) -> list[Report]:
    """Return what ``one`` reported about ``other`` while there was no link between them."""
    is_up, unlinked = False, []
    for report in one.links.reports:
        if report.node is None or report.node.key != other.name:
            continue
        if report.kind in ("up", "down"):
            is_up = report.kind == "up"
        elif not is_up:
            unlinked.append(report)
    return unlinked


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


async def stop(*nodes: StartedNode) -> None:
    """Stop the nodes' connectors, one after the other."""
    for node in nodes:
        await node.connector.stop()
