"""The contracts that plugins implement: ``Strategy``, ``Connector`` and ``Topology``.

A strategy finds nodes and reports them in observations; it never connects. A topology picks the
peers to link to. A connector holds the links and reports each as it comes up and goes down.

Plugin classes are built as ``cls(**options)`` in the worker process of their topology, and in the
application, which checks its configuration. A dataclass declares its options by its fields; any
other class takes none. The worker calls all methods in one event loop, which nothing may block.

``ctx`` is valid until the generator is closed, ``links`` until ``stop`` returns. Both reflect the
current state, so read their attributes each time instead of keeping copies. A name that ends in
``_s`` is a number of seconds. A method raises the errors that it names here; anything else is a bug
of the plugin: it is logged, and the worker survives it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from cluster_kit.events import Reason
from cluster_kit.network import Network
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.observations import Answer, Failed, Found, Gone, Leaving, Observation, Seen
from cluster_kit.payloads import MAX_GREETING_BYTES, MAX_PAYLOAD_BYTES

if TYPE_CHECKING:
    from cluster_kit.diagnosis import Finding
    from cluster_kit.security import Security

__all__ = ["Connector", "Discovery", "Environment", "LinkReport", "PollingStrategy", "Strategy"]
__all__ += ["Answer", "Failed", "Found", "Gone", "Leaving", "Observation", "Seen", "Topology"]
__all__ += ["MAX_GREETING_BYTES", "MAX_PAYLOAD_BYTES", "command"]

_Method = TypeVar("_Method", bound=Callable[..., Any])


class Environment(Protocol):
    """What the worker offers to strategies and connectors alike."""

    @property
    def fence(self) -> Fence:
        """Cluster and group; a strategy ignores nodes of other fences, a connector refuses them."""

    @property
    def network(self) -> Network:
        """Streams, datagrams, clock and randomness; in a simulation they are simulated."""

    @property
    def security(self) -> Security:
        """What protects links and datagrams, where the cluster has a secret or certificates."""


class Discovery(Environment, Protocol):
    """The environment of a running strategy, passed to ``discover`` as ``ctx``."""

    @property
    def local(self) -> Node:
        """This node as it is now: metadata can change while the strategy runs."""

    @property
    def leaving(self) -> bool:
        """Whether this node is about to leave and should say so."""

    @property
    def announce(self) -> bool:
        """If false, find other nodes, but don't announce this one."""

    @property
    def found(self) -> frozenset[Node]:
        """Nodes in the latest ``Found``, including a crashed run's; the next one replaces them."""

    @property
    def random(self) -> Random:
        """The source of jitter; seeded in simulations."""

    async def changed(self) -> None:
        """Wait until ``local`` or ``leaving`` has changed since the last call returned."""

    def announced(self) -> None:
        """Report that this node has made itself known, for the first time or again after a failure.

        Required if ``announces`` is true; any other strategy counts as announced once it runs.
        """


class Strategy(ABC):
    """Finds nodes. The worker runs ``discover`` once, and again after it failed.

    ::

        class FeedStrategy(Strategy):
            async def discover(self, ctx):
                async for address in subscribe():
                    yield Seen(Node(address=address), ttl_s=30.0)
    """

    announces: ClassVar[bool] = False
    """True for a strategy that makes this node known and calls ``ctx.announced()`` when it has."""
    partial: ClassVar[bool] = False
    """True for a strategy that may know only a part of the cluster, such as a list of seeds."""
    needs_secret: ClassVar[bool] = False
    """True where a secret seals its datagrams, which certificates can't: they protect links."""

    @abstractmethod
    def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Yield observations until the source has no more, or the generator is closed.

        An async generator. Returning means that there is nothing more to report, and counts as
        healthy. If it raises, it is restarted with back-off, while links and roster stay; yield
        ``Failed`` for errors of the source instead. When the generator is closed, it has one second
        to say goodbye.
        """

    async def diagnose(self, ctx: Discovery) -> AsyncIterator[Finding]:
        """Query the source step by step and yield the findings, for ``cluster-kit doctor``.

        An async generator that ends within a few seconds; ``discover`` may run at the same time. It
        must not announce this node. Report a failing source as a finding, never as an exception. By
        default it yields nothing.
        """
        nothing: tuple[Finding, ...] = ()
        for finding in nothing:
            yield finding

    def serves_on(self, host: str) -> str | None:
        """Return the host or address that this strategy listens or multicasts on, if any.

        Called when the configuration is loaded, with the host part of this node's name. An address
        off loopback needs a secret or ``insecure: true``. For one that can never work, raise a
        ``ValueError`` whose message begins with the address.
        """
        return None


class PollingStrategy(Strategy):
    """Polls a source at intervals; a subclass implements one poll.

    ::

        @dataclass(kw_only=True)
        class InventoryStrategy(PollingStrategy):
            url: str

            async def poll(self, ctx):
                return frozenset(Node(address=each) for each in await fetch(self.url))

    ``poll`` returns a complete answer or raises ``DiscoveryError``, which becomes ``Failed`` and
    makes the next poll wait longer. A node that is missing from an answer is kept until
    ``confirmations`` answers in a row lack it.

    A source whose parts can fail one by one returns a mapping of part to ``Answer`` instead.
    Removals are confirmed for each part separately. A part that fails keeps its nodes and is
    reported as ``Failed``, while the others go on as usual. If an answer is complete and also has
    an error, such as that the name doesn't exist, it removes nodes only once a second answer
    agrees. After a restart, nodes that no part has named yet are kept until all parts answer
    without them.
    """

    interval_s: float = 5.0
    """Seconds from one answer to the next question."""
    jitter: float = 0.1
    """Fraction of the interval by which each wait varies, so that nodes don't ask in step."""
    confirmations: int = 2
    """How many answers in a row must lack a node before it is gone."""
    max_interval_s: ClassVar[float] = 60.0
    """Longest wait after failures in a row, in seconds."""

    @abstractmethod
    async def poll(self, ctx: Discovery) -> frozenset[Node] | Mapping[str, Answer]:
        """Return the nodes that the source lists now, or the answer of each of its parts.

        Raises:
            DiscoveryError: The source could not answer.
        """

    def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Poll, confirm removals, back off after errors."""
        from cluster_kit.polling import Pace, observe

        pace = Pace(self.interval_s, self.max_interval_s, self.jitter, ctx.random)
        return observe(lambda: self.poll(ctx), pace, self.confirmations, earlier=ctx.found)


class LinkReport(Environment, Protocol):
    """What a connector reports to its worker: the ``links`` of ``start``. No method blocks."""

    @property
    def boot_id(self) -> BootId:
        """Which run of this node the links belong to."""

    @property
    def partial(self) -> bool:
        """Whether the strategies may know only part of the cluster, which makes hints useful."""

    @property
    def greeting(self) -> bytes:
        """What a handshake sends the peer, at most ``MAX_GREETING_BYTES``, if it carries messages.

        It may be empty, and it changes: each handshake sends the greeting of its own moment.
        """

    def up(self, node: Node, *, greeting: bytes | None = None, told: bytes = b"") -> None:
        """Report that a link to ``node`` is up, exactly once per link.

        Args:
            node: The peer as it introduced itself, whether dialled or accepted.
            greeting: The peer's own greeting; ``None`` where this link can't carry messages.
            told: The greeting that this node sent to the peer.
        """

    def message(self, node: Node, payload: bytes) -> None:
        """A linked node sent ``payload``: in the order sent, each once, and none after ``down``."""

    def down(self, node: Node, reason: Reason) -> None:
        """A link that was up is down; exactly once per link."""

    def updated(self, node: Node) -> None:
        """A linked node changed its metadata."""

    def leaving(self, node: Node) -> None:
        """A linked node is about to leave."""

    def knows(self, node: Node) -> bool:
        """Whether discovery or memory vouches for ``node``, by name or address; hints don't."""

    def hint(self, node: Node, ttl_s: float) -> None:
        """Report that a peer knows ``node``: a hint for ``ttl_s`` seconds, which proves nothing."""

    def rtt(self, node: Node, seconds: float) -> None:
        """The round-trip time to a linked node was measured."""

    def secrets(self, node: Node, ids: tuple[bytes, ...]) -> None:
        """A linked node holds these secrets now; see ``Security.secret_ids``."""

    def event(self, kind: str, data: Any) -> None:
        """Send the application a ``TopologyEvent`` of the connector's own; plain data only."""


class Connector(ABC):
    """Holds links: one instance serves one topology, from ``start`` to ``stop``.

    ::

        class PipeConnector(Connector):  # with two methods more: disconnect, stop
            async def start(self, local, links):
                self._hub = await Hub.listen(local, links)  # reports the links that it accepts
                return local.evolve(address=self._hub.address)

            async def connect(self, node):
                return await self._hub.dial(node)  # reports the link, then returns the peer

    A link belongs to both ends: it is up once both have introduced themselves and the dialler has
    confirmed, and it closes when neither end wants it. Each end reports it up exactly once, dialled
    or accepted, and down exactly once. Three things are the connector's duty alone, since nobody
    else sees the connection:

    - A peer that died is noticed: its link is down as ``closed``, or as ``silent``. A loss is never
      reported as ``left``, which means a goodbye. Either way the next run of its name is welcome.
    - A peer that says nothing any more, though its connection stays open, is noticed in bounded
      time: its link is down as ``silent``. This takes signs of life in both directions. Before it
      declares a peer silent, a connector reads what is pending and allows for its own delays.
    - When two nodes dial each other at the same time, one link is left, and no end loses it again.
      The other dial fails with the reason ``CROSSED``.

    Treat network input as hostile: check each length before relying on it, and let malformed input
    close its own connection only. A connection whose peer stays silent instead of introducing
    itself is closed in bounded time, and delays no other. Except for ``up``, a connector reports
    about a peer only while its link is up.
    """

    holds_links: ClassVar[bool] = True
    """False if a known node counts as up, so that a node lost by discovery is down at once."""
    introduces: ClassVar[bool] = True
    """False if peers don't describe themselves over their links, so that discovery describes them
    even while they are linked. ``connect`` is called again whenever that description changes: it
    replaces a link to another run, and reports any other change by ``LinkReport.updated``."""
    carries_messages: ClassVar[bool] = False
    """True where ``send`` works: the connector sends ``links.greeting`` in its handshakes, passes
    the peer's on by ``links.up``, and reports what peers send by ``links.message``."""
    max_message_bytes: int = 1024 * 1024
    """The longest message that applications may send or receive over its links."""
    uses_secret: ClassVar[bool] = False
    """True where every stream goes through ``links.security.protect``, so that a secret, or
    certificates, let it serve off loopback."""

    @abstractmethod
    async def start(self, local: Node, links: LinkReport) -> Node:
        """Begin accepting links; return ``local`` with the address under which peers reach it.

        Nothing else of ``local`` may differ.

        Raises:
            ConfigError: It cannot serve as configured: the port is in use, say.
        """

    @abstractmethod
    async def connect(self, node: Node) -> Node:
        """Open or keep a link to ``node``; return the peer as it introduced itself.

        An existing link is kept, a new one is reported up before this returns. A failed attempt
        leaves neither a connection nor a pending request behind: if a link comes up later, the peer
        opened it. Called at most once at a time per node, many at once for different nodes. The
        worker cancels it at its deadline: it ends at once then, closes what it opened and reports
        nothing.

        Raises:
            ConnectError: ``reason`` says why not, ``retryable`` whether to try again soon. The
                reason is ``NAME`` if the peer is not called ``node.name``, ``FOREIGN`` if its fence
                differs, and ``SELF`` if the dial led back to this node. If the peer is linked to
                another live process with this node's name, the error is ``NameConflict``.
        """

    @abstractmethod
    async def disconnect(self, node: Node) -> None:
        """Stop wanting the link; it closes when the peer doesn't want it either. Idempotent."""

    @abstractmethod
    async def stop(self) -> None:
        """Close every link with a goodbye and stop accepting; each link is reported down.

        Idempotent. Peers report it as ``left``, this end as ``shutdown``. The goodbye is sent, not
        awaited: a frozen peer doesn't hold this up. As soon as it is called, no new link is
        accepted; when it returns, no task, thread, process, socket or file is left.
        """

    async def send(self, node: Node, payload: bytes) -> None:
        """Send ``payload``, of at most ``MAX_PAYLOAD_BYTES``; return once there is room for more.

        Called only if ``carries_messages``, only while the link is up, and one at a time for each
        node. Payloads arrive whole and in order or, if the link goes down, not at all. A peer that
        doesn't read delays only payloads to itself, and never heartbeats.

        Raises:
            ConnectError: There is no such link, or it is lost.
        """
        raise NotImplementedError

    async def update(self, local: Node, leaving: bool) -> None:  # noqa: B027 - may stay empty
        """Tell linked peers that this node's metadata changed, or that it is about to leave.

        Later peers learn it from their handshakes. Metadata arrives unchanged, whatever text it is.
        A node that is about to leave keeps its links until ``stop``, and refuses new ones for the
        reason ``LEAVING``.
        """

    async def diagnose(self, node: Node, ctx: Discovery) -> Finding | None:
        """Check whether a link to ``node`` could be opened, without its cluster noticing.

        For ``cluster-kit doctor``, on a connector that was not started. ``ctx.local`` may run as a
        separate process: don't introduce yourself by its name. It is cancelled after the time
        that a connect may take. Return an ``EMPTY`` finding if this node itself answers, and
        ``None`` if the connector can't check.
        """
        return None

    def serves_on(self, host: str) -> str | None:
        """Return the host or interface address on which it listens; see ``Strategy.serves_on``."""
        return None

    def dialled_at(self, host: str) -> str | None:
        """Return the host that others will dial; ``None`` if it is unknown before ``start``."""
        return None


class Topology(ABC):
    """Picks the peers to link to: a pure function, the same answer for the same roster.

    ::

        class StarTopology(Topology):
            def select(self, local, known):
                named = {node for node in known if node.name}
                hub = min(named | {local}, key=lambda node: node.name)
                return known if hub == local else known - named | {hub}

    ``b in select(a)`` if and only if ``a in select(b)`` on equal rosters; all links together
    connect the cluster.
    """

    @abstractmethod
    def select(self, local: Node, known: frozenset[Node]) -> frozenset[Node]:
        """Return the subset of ``known`` to link to; ``known`` never contains ``local``.

        Called whenever the roster has changed. A node without a name is one whose address alone is
        known. A link to it is the only way to learn its name, so a topology that chooses by name
        selects all of these.
        """

    def most_links(self) -> int | None:
        """Return the most named nodes that ``select`` can pick; ``None`` if there is no bound."""
        return None


def command(method: _Method) -> _Method:
    """Let ``Supervisor.call`` call this connector method, sync or async, with plain data."""
    method.__cluster_kit_command__ = True  # type: ignore[attr-defined]
    return method
