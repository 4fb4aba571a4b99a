"""The part of a supervisor that applications exchange messages with, and divide work by."""

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
    """The methods of a supervisor for topics, owners and duties."""

    if TYPE_CHECKING:  # provided by the supervisor
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
            ValueError: The name is invalid.
        """
        from cluster_kit.supervisor.topics.topic import Topic  # slow to import

        if isinstance(name, str) and name.startswith("$"):
            reserved = "names with '$' are reserved for cluster_kit: choose another one"
            raise ValueError(f"topic: {name[:80]!r}: {reserved}")
        return Topic(
            name,
            boards=self._boards,
            board=self._board(topology, "topic"),
            running=self._running,
            current=self._bus.current,
        )

    def owner(
        self,
        key: str | bytes,
        *,
        where: Mapping[str, str] | None = None,
        topology: str | None = None,
    ) -> Node:
        """Return the owner of ``key`` among this node and the linked ones; see ``owners``.

        Raises:
            ClusterKitError: No node has the metadata ``where``.
        """
        found = self.owners(key, 1, where=where, topology=topology)
        if not found:
            wanted = dict(where or {})
            raise ClusterKitError(f"owner: no node here has all of {wanted!r} in its metadata")
        return found[0]

    def owners(
        self,
        key: str | bytes,
        n: int,
        *,
        where: Mapping[str, str] | None = None,
        topology: str | None = None,
    ) -> tuple[Node, ...]:
        """Return the first ``n`` owners of ``key`` among this node and the linked ones.

        Nodes that see each other agree. When a node goes, only its own keys move. Until all have
        noticed, two nodes may both act as owner. The owner comes first; if there are fewer than
        ``n`` nodes, all are returned.

        Args:
            key: Whatever identifies the thing that has one owner.
            n: How many.
            where: Only nodes that have this in their metadata.
            topology: Whose links count; by default those of all.

        Raises:
            TypeError: The key is neither text nor bytes, or ``n`` is no positive int.
        """
        from cluster_kit.rendezvous import among, owners

        self._running(answering=True)
        self._bus.check(topology)
        with self._bus.guard():
            linked = self._bus.nodes(topology, "up")
        nodes = linked if self._observe else (self.local, *linked)
        return owners(key, among(nodes, where), n)

    def once(
        self,
        name: str,
        *,
        min_nodes: int = 1,
        topology: str | None = None,
        timeout_s: float | None = None,
    ) -> Duty:
        """Return a block that at most one of the nodes that see each other is in.

        Entering it waits until this node is the oldest of those that want to enter, and no other
        is in it. A node that is in it must leave when ``Duty.wait`` returns False, as when an older
        node is linked: only then does that one enter. In a partition, each part has one node in it,
        unless ``min_nodes``, more than half of all nodes, keeps the smaller parts out. A node that
        is cut off notices that only when its links are silent.

        Args:
            name: Of the duty, the same on all nodes.
            min_nodes: How many nodes must be linked for anybody to enter, this one included.
            topology: Whose links count; by default the only one that carries messages.
            timeout_s: How long to wait; by default there is no limit.

        Raises:
            ConfigError: No topology carries messages, or several do.
            ValueError: The name or the number of nodes is invalid.
        """
        from cluster_kit.supervisor.topics.duty import Duty

        return Duty(self._candidate(name, min_nodes, topology), timeout_s)

    def _candidate(
        self,
        name: str,
        min_nodes: int,
        topology: str | None,
    ) -> Callable[[Callable[[], None]], Candidate]:
        from cluster_kit.supervisor.topics.duty import MAX_NAME_BYTES, Candidate

        size = len(name.encode())
        if not 0 < size <= MAX_NAME_BYTES:
            expected = f"expected 1 to {MAX_NAME_BYTES}"
            raise ValueError(f"once: {name[:80]!r} has {size} bytes: {expected}")
        if type(min_nodes) is not int or min_nodes < 1:
            text = f"once: min_nodes {min_nodes!r:.80}"
            raise ValueError(f"{text}: expected a number of nodes, at least 1")
        return partial(Candidate, self._board(topology, "once"), name, min_nodes)

    def _board(self, topology: str | None, what: str) -> Switchboard:
        self._bus.check(topology)
        if self._observe:
            text = f"{what}: an observer has no links, and so no messages"
            raise ClusterKitError(f"{text}: run a node")
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
            text = f"topic: topology {topology!r} carries no messages"
            raise ConfigError(f"{text}, as its connector {name!r} doesn't: {_CURE}")
        return topology, connector.max_message_bytes
    able: dict[str, Connector] = {}
    for name, each in topologies.items():
        connector = each.connector.build()
        if connector.carries_messages:
            able[name] = connector
    if not able:
        names = ", ".join(repr(each.connector.name) for each in topologies.values())
        text = "topic: no topology carries messages, as their connectors don't"
        raise ConfigError(f"{text} ({names}): {_CURE}")
    if len(able) > 1:
        text = "topic: several topologies carry messages"
        raise ConfigError(f"{text}: name one of them as topology=: {', '.join(able)}")
    name, connector = able.popitem()
    return name, connector.max_message_bytes
