"""The methods of ``Supervisor`` that exchange messages and divide work."""

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
            name: Name of the topic, at most 255 bytes as UTF-8, without ``$`` at the beginning.
            topology: The topology whose links carry it; by default the only one that can.

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
            raise ClusterKitError(f"owner: neither this node nor a linked one has tags {wanted!r}")
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
            key: Identifies the thing that has an owner, such as ``"user/7"``.
            n: How many owners to return.
            where: Metadata that a node must have to be an owner.
            topology: The topology whose links count; by default all of them.

        Raises:
            TypeError: The key is neither text nor bytes, or ``n`` is not a positive int.
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
        """Return a context manager for a block that one of the linked nodes runs at a time.

        ::

            with cluster.once("clean up") as duty:
                while duty.wait(60):  # False once another node must take over
                    clean_up()

        Entering the block waits until this node is the oldest of those that want to enter, and no
        other is inside. Leave it when ``Duty.wait`` returns False, as it does when an older node is
        linked, which enters only then. In a partition, each side has one node inside, unless
        ``min_nodes``, as more than half of all nodes, keeps the smaller side out. A node that is
        cut off notices so only when its links have been silent for too long.

        Args:
            name: Name of the duty, the same on all nodes.
            min_nodes: How many nodes must be linked for any to enter, including this one.
            topology: The topology whose links count; by default the only one that carries messages.
            timeout_s: How long to wait, in seconds; without limit by default.

        Raises:
            ConfigError: No topology carries messages, or several do.
            ValueError: The name or the number of nodes is invalid.
        """
        from cluster_kit.supervisor.topics.duty import Duty

        return Duty(self._candidate(name, min_nodes, topology), timeout_s)

    def _candidate(
        self, name: str, min_nodes: int, topology: str | None
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
