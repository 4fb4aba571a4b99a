"""What a supervisor offers to applications that speak to each other, and share their work out among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from cluster_kit.config import TopologyConfig
from cluster_kit.errors import ClusterKitError, ConfigError
from cluster_kit.node import Node

if TYPE_CHECKING:
    from cluster_kit.abc import Connector
    from cluster_kit.supervisor.bus import EventBus
    from cluster_kit.supervisor.topics.duty import Candidate, Duty
    from cluster_kit.supervisor.topics.switchboard import Switchboard
    from cluster_kit.supervisor.topics.switchboards import Switchboards
    from cluster_kit.supervisor.topics.topic import Topic

_CURE = "use connector 'tcp', which does"


class Messaging:
    """The part of a supervisor that its topics, owners and duties make up."""

    if TYPE_CHECKING:  # which the supervisor has
        _bus: EventBus
        _boards: Switchboards
        _observe: bool

        @property
        def local(self) -> Node: ...  # noqa: D102
        def _topologies(self) -> Mapping[str, TopologyConfig]: ...
        def _running(self, *, answering: bool = False) -> object: ...

    def topic(self, name: str, *, topology: str | None = None) -> Topic:
        """Return a named stream of messages between the applications of linked nodes.

        A topology that is replaced keeps its topics; one that is removed ends them.

        Args:
            name: At most 255 bytes as UTF-8.
            topology: Whose links carry it; by default the only one that can.

        Raises:
            ConfigError: No topology carries messages, or several do.
            ValueError: That is no name.
        """
        from cluster_kit.supervisor.topics.topic import Topic  # which takes a while to import

        if isinstance(name, str) and name.startswith("$"):
            raise ValueError(f"topic: {name[:80]!r} begins with '$', as those that cluster_kit itself uses: name it otherwise")
        board = self._board(topology, "topic")
        return Topic(name, boards=self._boards, board=board, running=self._running, current=self._bus.current)

    def owner(self, key: str | bytes, *, where: Mapping[str, str] | None = None, topology: str | None = None) -> Node:
        """Return the one of this node and those linked that owns ``key``; see ``owners``.

        Raises:
            ClusterKitError: No node has the metadata ``where``.
        """
        found = self.owners(key, 1, where=where, topology=topology)
        if not found:
            raise ClusterKitError(f"owner: no node here has all of {dict(where or {})!r} in its metadata")
        return found[0]

    def owners(
        self, key: str | bytes, n: int, *, where: Mapping[str, str] | None = None, topology: str | None = None
    ) -> tuple[Node, ...]:
        """Return the ``n`` first owners of ``key`` among this node and those linked, or as many as there are; the owner first.

        Nodes that see each other agree. When one goes, only its own keys move. Until all have noticed, two may act as owners.

        Args:
            key: Of whatever has to be in one place.
            n: How many.
            where: Only nodes that have this in their metadata.
            topology: Whose links count; by default those of all.

        Raises:
            TypeError: The key is neither text nor bytes, or ``n`` no number from 1 up.
        """
        from cluster_kit.rendezvous import among, owners

        self._running(answering=True)
        self._bus.check(topology)
        with self._bus.guard():
            linked = self._bus.nodes(topology, "up")
        return owners(key, among([*([] if self._observe else [self.local]), *linked], where), n)

    def once(self, name: str, *, min_nodes: int = 1, topology: str | None = None, timeout_s: float | None = None) -> Duty:
        """Return a block that at most one of the nodes that see each other is in: the oldest of those that want to be.

        Entering it waits for that. Whoever is in it must leave when ``Duty.wait`` returns False, as when an older node is
        linked: another one enters only then. Parts of a cluster that don't see each other have one each, unless
        ``min_nodes``, more than half of all nodes, keeps the smaller ones out. A node that is cut off notices that only
        when its links are silent.

        Args:
            name: Of the duty, the same on all nodes.
            min_nodes: How many nodes must be linked for anybody to have it, this one included.
            topology: Whose links count; by default the only one that carries messages.
            timeout_s: How long to wait for it, by default for as long as it takes.

        Raises:
            ConfigError: No topology carries messages, or several do.
            ValueError: That is no name, or no number of nodes.
        """
        from cluster_kit.supervisor.topics.duty import Duty

        return Duty(self._candidate(name, min_nodes, topology), timeout_s)

    def _candidate(self, name: str, min_nodes: int, topology: str | None) -> Callable[[Callable[[], None]], Candidate]:
        from cluster_kit.supervisor.topics.duty import MAX_NAME_BYTES, Candidate

        if not 0 < len(name.encode()) <= MAX_NAME_BYTES:
            raise ValueError(f"once: {name[:80]!r} has {len(name.encode())} bytes: expected 1 to {MAX_NAME_BYTES}")
        if type(min_nodes) is not int or min_nodes < 1:
            raise ValueError(f"once: min_nodes {min_nodes!r:.80}: expected a number of nodes, from 1 up")
        return partial(Candidate, self._board(topology, "once"), name, min_nodes)

    def _board(self, topology: str | None, what: str) -> Switchboard:
        self._bus.check(topology)
        if self._observe:
            raise ClusterKitError(f"{what}: who only observes has no links, and so no messages: run a node")
        carrier, max_message_bytes = carrier_of(self._topologies(), topology)
        board = self._boards.of(carrier)
        board.limit(max_message_bytes)
        return board


def carrier_of(topologies: Mapping[str, TopologyConfig], topology: str | None) -> tuple[str, int]:
    """Return the topology that carries messages, and the size limit of a message there, in bytes.

    Args:
        topologies: Those that run.
        topology: The requested one; by default the only one whose connector carries messages.

    Raises:
        ConfigError: The requested one doesn't carry messages; or none does, or several do.
    """
    if topology is not None:
        connector: Connector = topologies[topology].connector.build()
        if not connector.carries_messages:
            name = topologies[topology].connector.name
            raise ConfigError(f"topic: topology {topology!r} carries no messages, as its connector {name!r} doesn't: {_CURE}")
        return topology, connector.max_message_bytes
    connectors: dict[str, Connector] = {name: each.connector.build() for name, each in topologies.items()}
    able = {name: each for name, each in connectors.items() if each.carries_messages}
    if not able:
        names = ", ".join(repr(each.connector.name) for each in topologies.values())
        raise ConfigError(f"topic: no topology carries messages, as their connectors don't ({names}): {_CURE}")
    if len(able) > 1:
        raise ConfigError(f"topic: several topologies carry messages: name one of them as topology=: {', '.join(able)}")
    name, connector = able.popitem()
    return name, connector.max_message_bytes
