"""Proxies between a worker and its connector and topology, which check invariants on every call.

They change nothing: every call, argument and result is passed on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from cluster_kit.abc import Connector, LinkReport, Topology
from cluster_kit.events import Reason
from cluster_kit.network import Network
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.security import Security
from cluster_kit.testing.simulation.invariants.findings import Law

Report = Callable[[Law, str], None]
"""Called with a violation: the invariant, and what was done."""

MAX_DIALS = 40  # to one peer within DIALS_WITHIN_S; a working back-off stays far below
DIALS_WITHIN_S = 10.0
_MAX_REPEATED = 64  # nodes in a roster from which to select twice

Run = tuple[str, BootId | None]


class CheckedLinks:
    """The ``LinkReport`` of a worker."""

    def __init__(self, links: LinkReport, report: Report) -> None:
        self._links = links
        self._report = report
        self.up_now: dict[Run, bool] = {}  # whether the link carries messages
        self.ever_up: set[str] = set()

    @property
    def fence(self) -> Fence:
        """The fence of the node."""
        return self._links.fence

    @property
    def boot_id(self) -> BootId:
        """The boot of the node."""
        return self._links.boot_id

    @property
    def partial(self) -> bool:
        """Whether hints about other nodes are useful."""
        return self._links.partial

    @property
    def network(self) -> Network:
        """The network of the node."""
        return self._links.network

    @property
    def security(self) -> Security:
        """The protection of its streams."""
        return self._links.security

    @property
    def greeting(self) -> bytes:
        """The greeting for new links."""
        return self._links.greeting

    def up(self, node: Node, *, greeting: bytes | None = None, told: bytes = b"") -> None:
        """Pass on that a link is up; it must not be up already."""
        run = node.key, node.boot_id
        if run in self.up_now:
            self._report(Law.LINKS, f"the link to {node} was reported up twice")
        self.up_now[run] = greeting is not None
        self.ever_up.add(node.key)
        self._links.up(node, greeting=greeting, told=told)

    def message(self, node: Node, payload: bytes) -> None:
        """Pass on a message; a link that carries messages must be up."""
        if not self.up_now.get((node.key, node.boot_id)):
            what = f"a message of {node} was reported, but no link that carries messages was up"
            self._report(Law.LINKS, what)
        self._links.message(node, payload)

    def down(self, node: Node, reason: Reason) -> None:
        """Pass on that a link is down; it must have been up."""
        run = node.key, node.boot_id
        if run not in self.up_now:
            what = f"the link to {node} was reported down ({reason}), but it was not up"
            self._report(Law.LINKS, what)
        self.up_now.pop(run, None)
        self._links.down(node, reason)

    def updated(self, node: Node) -> None:
        """Pass on that a linked node has changed."""
        if (node.key, node.boot_id) not in self.up_now:
            self._report(Law.LINKS, f"{node} was reported changed, but no link to it was up")
        self._links.updated(node)

    def leaving(self, node: Node) -> None:
        """Pass on that a linked node is leaving."""
        if (node.key, node.boot_id) not in self.up_now:
            self._report(Law.LINKS, f"{node} was reported to leave, but no link to it was up")
        self._links.leaving(node)

    def knows(self, node: Node) -> bool:
        """Whether discovery or memory vouches for a node."""
        return self._links.knows(node)

    def hint(self, node: Node, ttl_s: float) -> None:
        """Pass on a hint of a peer about another node."""
        self._links.hint(node, ttl_s)

    def rtt(self, node: Node, seconds: float) -> None:
        """Pass on a round-trip time."""
        self._links.rtt(node, seconds)

    def secrets(self, node: Node, ids: tuple[bytes, ...]) -> None:
        """Pass on which secrets a linked node holds."""
        self._links.secrets(node, ids)

    def event(self, kind: str, data: Any) -> None:
        """Pass on an event."""
        self._links.event(kind, data)


class _CheckedConnector(Connector):
    """Adds checks to ``connector``; ``checked_connector`` adds its class attributes."""

    def __init__(self, connector: Connector, report: Report) -> None:
        self._connector = connector
        self._report = report
        self._links: CheckedLinks | None = None
        self._in_flight: dict[str, str] = {}
        self._dials: dict[str, deque[float]] = {}

    async def start(self, local: Node, links: LinkReport) -> Node:
        self._links = CheckedLinks(links, self._report)
        return await self._connector.start(local, self._links)

    async def connect(self, node: Node) -> Node:
        self._count(node.key)
        self._begin(node.key, "connect")
        try:
            peer = await self._connector.connect(node)
        finally:
            self._in_flight.pop(node.key, None)
        links = self._links if self._connector.holds_links else None
        if links is not None and peer.key not in links.ever_up:
            what = f"connect to {node} returned {peer} before a link to it was reported up"
            self._report(Law.LINKS, what)
        return peer

    async def disconnect(self, node: Node) -> None:
        self._begin(node.key, "disconnect")
        try:
            await self._connector.disconnect(node)
        finally:
            self._in_flight.pop(node.key, None)

    async def stop(self) -> None:
        await self._connector.stop()
        if self._connector.holds_links and self._links is not None:
            for key, _ in self._links.up_now:
                self._report(Law.LINKS, f"stopped, but the link to {key} was never reported down")

    async def send(self, node: Node, payload: bytes) -> None:
        await self._connector.send(node, payload)

    async def update(self, local: Node, leaving: bool) -> None:
        await self._connector.update(local, leaving)

    def serves_on(self, host: str) -> str | None:
        return self._connector.serves_on(host)

    def dialled_at(self, host: str) -> str | None:
        return self._connector.dialled_at(host)

    def _begin(self, key: str, command: str) -> None:
        if key in self._in_flight:
            what = f"{command} of {key} while {self._in_flight[key]} was in progress"
            self._report(Law.COMMANDS, what)
        self._in_flight[key] = command

    def _count(self, key: str) -> None:
        if self._links is None:
            return
        now_s = self._links.network.clock.monotonic_s()
        dials = self._dials.setdefault(key, deque(maxlen=MAX_DIALS))
        if len(dials) == MAX_DIALS and now_s - dials[0] < DIALS_WITHIN_S:
            what = f"{key} was dialled {MAX_DIALS} times in {now_s - dials[0]:.2f} s"
            self._report(Law.COMMANDS, what)
            dials.clear()
        dials.append(now_s)


def checked_connector(connector: Connector, report: Report) -> Connector:
    """Return a proxy of ``connector``."""
    declared = {
        "holds_links": connector.holds_links,
        "introduces": connector.introduces,
        "carries_messages": connector.carries_messages,
        "max_message_bytes": connector.max_message_bytes,
    }
    checked: type[_CheckedConnector] = type("CheckedConnector", (_CheckedConnector,), declared)
    return checked(connector, report)


class CheckedTopology(Topology):
    """Adds checks to ``topology``."""

    def __init__(self, topology: Topology, report: Report) -> None:
        self._topology = topology
        self._report = report

    def select(self, local: Node, known: frozenset[Node]) -> frozenset[Node]:
        """Return the selection, which must be a part of the roster, and the same each time."""
        picked = self._topology.select(local, known)
        if picked is known:
            return picked
        if not picked <= known:
            strange = sorted(str(node) for node in picked - known)
            what = f"select of {local} returned {', '.join(strange[:3])}, not in the roster"
            self._report(Law.TOPOLOGY, what)
        if len(known) <= _MAX_REPEATED and self._topology.select(local, known) != picked:
            what = f"select of {local} returned something else when it was called again"
            self._report(Law.TOPOLOGY, what)
        return picked

    def most_links(self) -> int | None:
        """Return the bound of the topology."""
        return self._topology.most_links()
