"""Stand between a worker and its connector and topology, and watch that both keep the laws."""

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

Tell = Callable[[Law, str], None]

DIALS = 40  # to one peer within DIALS_WITHIN_S: a back-off that works never comes near
DIALS_WITHIN_S = 10.0
_FEW = 64  # nodes: a roster of as many is selected from twice

Run = tuple[str, BootId | None]


class WatchedLinks:
    """The ``LinkReport`` of a worker, whose reports are counted on their way."""

    def __init__(self, links: LinkReport, tell: Tell) -> None:
        self._links = links
        self._tell = tell
        self.up_now: dict[Run, bool] = {}  # whether it carries messages
        self.ever_up: set[str] = set()

    @property
    def fence(self) -> Fence:
        """Cluster and group."""
        return self._links.fence

    @property
    def boot_id(self) -> BootId:
        """Which run of this node the links belong to."""
        return self._links.boot_id

    @property
    def partial(self) -> bool:
        """Whether hints of peers are of use."""
        return self._links.partial

    @property
    def network(self) -> Network:
        """The network of the node."""
        return self._links.network

    @property
    def security(self) -> Security:
        """What protects its streams."""
        return self._links.security

    @property
    def greeting(self) -> bytes:
        """What peers are told."""
        return self._links.greeting

    def up(self, node: Node, *, greeting: bytes | None = None, told: bytes = b"") -> None:
        """Pass on that a link is up, which it may not be already."""
        run = node.key, node.boot_id
        if run in self.up_now:
            self._tell(Law.LINKS, f"the link to {node} was reported up twice")
        self.up_now[run] = greeting is not None
        self.ever_up.add(node.key)
        self._links.up(node, greeting=greeting, told=told)

    def message(self, node: Node, payload: bytes) -> None:
        """Pass on what a linked node has sent, over a link that carries messages."""
        if not self.up_now.get((node.key, node.boot_id)):
            self._tell(
                Law.LINKS,
                f"a message of {node} was reported, but no link to it was up that carries any",
            )
        self._links.message(node, payload)

    def down(self, node: Node, reason: Reason) -> None:
        """Pass on that a link is down, which was up."""
        run = node.key, node.boot_id
        if run not in self.up_now:
            self._tell(
                Law.LINKS, f"the link to {node} was reported down ({reason}), but it was not up"
            )
        self.up_now.pop(run, None)
        self._links.down(node, reason)

    def updated(self, node: Node) -> None:
        """Pass on that a linked node changed."""
        if (node.key, node.boot_id) not in self.up_now:
            self._tell(Law.LINKS, f"{node} was reported changed, but no link to it was up")
        self._links.updated(node)

    def leaving(self, node: Node) -> None:
        """Pass on that a linked node is about to leave."""
        if (node.key, node.boot_id) not in self.up_now:
            self._tell(Law.LINKS, f"{node} was reported to leave, but no link to it was up")
        self._links.leaving(node)

    def knows(self, node: Node) -> bool:
        """Whether discovery or memory vouches for a node."""
        return self._links.knows(node)

    def hint(self, node: Node, ttl_s: float) -> None:
        """Pass on what a peer tells of another node."""
        self._links.hint(node, ttl_s)

    def rtt(self, node: Node, seconds: float) -> None:
        """Pass on a round-trip time."""
        self._links.rtt(node, seconds)

    def secrets(self, node: Node, ids: tuple[bytes, ...]) -> None:
        """Pass on which secrets a linked node holds."""
        self._links.secrets(node, ids)

    def event(self, kind: str, data: Any) -> None:
        """Pass on something particular."""
        self._links.event(kind, data)


class _WatchedConnector(Connector):
    """Passes on everything to ``connector``."""

    def __init__(self, connector: Connector, tell: Tell) -> None:
        self._connector = connector
        self._tell = tell
        self._links: WatchedLinks | None = None
        self._busy: dict[str, str] = {}
        self._dials: dict[str, deque[float]] = {}

    async def start(self, local: Node, links: LinkReport) -> Node:
        self._links = WatchedLinks(links, self._tell)
        return await self._connector.start(local, self._links)

    async def connect(self, node: Node) -> Node:
        self._count(node.key)
        self._begin(node.key, "connect")
        try:
            peer = await self._connector.connect(node)
        finally:
            self._busy.pop(node.key, None)
        if (
            self._connector.holds_links
            and self._links is not None
            and peer.key not in self._links.ever_up
        ):
            self._tell(
                Law.LINKS, f"connect to {node} returned {peer} before a link to it was reported up"
            )
        return peer

    async def disconnect(self, node: Node) -> None:
        self._begin(node.key, "disconnect")
        try:
            await self._connector.disconnect(node)
        finally:
            self._busy.pop(node.key, None)

    async def stop(self) -> None:
        await self._connector.stop()
        if self._connector.holds_links and self._links is not None:
            for key, _ in self._links.up_now:
                self._tell(Law.LINKS, f"stopped, but the link to {key} was never reported down")

    async def send(self, node: Node, payload: bytes) -> None:
        await self._connector.send(node, payload)

    async def update(self, local: Node, leaving: bool) -> None:
        await self._connector.update(local, leaving)

    def serves_on(self, host: str) -> str | None:
        return self._connector.serves_on(host)

    def dialled_at(self, host: str) -> str | None:
        return self._connector.dialled_at(host)

    def _begin(self, key: str, command: str) -> None:
        if key in self._busy:
            self._tell(Law.COMMANDS, f"{command} of {key} while {self._busy[key]} was under way")
        self._busy[key] = command

    def _count(self, key: str) -> None:
        if self._links is None:
            return
        now_s = self._links.network.clock.monotonic_s()
        dials = self._dials.setdefault(key, deque(maxlen=DIALS))
        if len(dials) == DIALS and now_s - dials[0] < DIALS_WITHIN_S:
            self._tell(Law.COMMANDS, f"{key} was dialled {DIALS} times in {now_s - dials[0]:.2f} s")
            dials.clear()
        dials.append(now_s)


def watched_connector(connector: Connector, tell: Tell) -> Connector:
    """Return ``connector`` under watch."""
    declared = {
        "holds_links": connector.holds_links,
        "introduces": connector.introduces,
        "carries_messages": connector.carries_messages,
        "max_message_bytes": connector.max_message_bytes,
    }
    watched: type[_WatchedConnector] = type("WatchedConnector", (_WatchedConnector,), declared)
    return watched(connector, tell)


class WatchedTopology(Topology):
    """Passes on everything to ``topology``."""

    def __init__(self, topology: Topology, tell: Tell) -> None:
        self._topology = topology
        self._tell = tell

    def select(self, local: Node, known: frozenset[Node]) -> frozenset[Node]:
        """Return what it selects, which it must again, of the roster alone."""
        picked = self._topology.select(local, known)
        if picked is known:
            return picked
        if not picked <= known:
            strange = sorted(str(node) for node in picked - known)
            self._tell(
                Law.TOPOLOGY,
                f"select of {local} returned {', '.join(strange[:3])}, not of the roster",
            )
        if len(known) <= _FEW and self._topology.select(local, known) != picked:
            self._tell(
                Law.TOPOLOGY, f"select of {local} returned something else when it was called again"
            )
        return picked

    def most_links(self) -> int | None:
        """Return the bound of ``topology``."""
        return self._topology.most_links()
