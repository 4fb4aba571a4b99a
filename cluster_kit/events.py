"""The events that an application receives: frozen, in order, numbered within their topology.

A subscription begins with one ``Snapshot`` per topology; the events that follow have the next
numbers, without a gap. A subscriber that falls behind gets a fresh ``Snapshot`` instead of what it
missed. Tell the events apart by ``match``::

    for event in cluster.subscribe():
        match event:
            case Snapshot(up=nodes):
                members = {node.key for node in nodes}
            case NodeUp(node=node):
                members.add(node.key)
            case NodeDown(node=node):
                members.discard(node.key)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cluster_kit.node import Node


class Reason(StrEnum):
    """Why a node went down or was lost; a closed list."""

    LEFT = "left"
    """It said goodbye."""
    CLOSED = "closed"
    """Its end of the link closed without a goodbye: it crashed, or the connection was reset."""
    SILENT = "silent"
    """Nothing arrived from it for too long."""
    REPLACED = "replaced"
    """A newer run of the node took its place, or another node answered at its address."""
    GONE = "gone"
    """Its source reported that it is no longer there."""
    UNWANTED = "unwanted"
    """Neither end wants the link any more."""
    WORKER = "worker"
    """Our own worker died; it is being replaced."""
    SHUTDOWN = "shutdown"
    """We are stopping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The base of all events.

    Attributes:
        topology: Name of the configured topology.
        seq: Number within the topology; the next event has the next number.
        t: When it happened, in Unix seconds by this node's clock.
    """

    topology: str
    seq: int = 0
    t: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFound(Event):
    """Discovery found a node, which is now *known*; a link to it may follow.

    Attributes:
        node: The node as discovery describes it.
    """

    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLost(Event):
    """A node is no longer known to discovery; a healthy link to it is kept.

    Attributes:
        node: The node as it was.
        reason: Why it was lost.
    """

    node: Node
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeUp(Event):
    """A link to a node is up, whichever end has opened it.

    Attributes:
        node: The node that is linked.
    """

    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDown(Event):
    """The link to a node is down.

    Attributes:
        node: The node as it was.
        reason: Why it went down.
    """

    node: Node
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeUpdated(Event):
    """A known or linked node has new metadata or a new address, or has begun a new run.

    Attributes:
        node: The node as it is now.
    """

    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLeaving(Event):
    """A node is about to leave: it keeps its links until then, and gets no new ones.

    Attributes:
        node: The node that leaves.
    """

    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyReady(Event):
    """The topology accepts links and has announced itself.

    Attributes:
        address: Where it accepts links; ``None`` if its connector does not listen.
    """

    address: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyDegraded(Event):
    """A strategy or the worker failed too often; from now on it is restarted less often.

    Links and known nodes are kept as long as the worker runs.

    Attributes:
        error: The last failure.
    """

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyRecovered(Event):
    """A degraded topology works again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyRestarted(Event):
    """The worker died, and another one is started in its place.

    Attributes:
        error: Why the worker died.
        restarts: How many workers have been replaced since the supervisor was started.
    """

    error: str
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyEvent(Event):
    """An event that a plugin defines.

    Attributes:
        kind: The plugin's name for what happened.
        data: Plain data, whose shape depends on ``kind``.
    """

    kind: str
    data: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Event):
    """The whole view of one topology as of ``seq``.

    Attributes:
        known: The nodes that discovery has found, without this one, sorted by key.
        up: The nodes that are linked, sorted by key.
    """

    known: tuple[Node, ...]
    up: tuple[Node, ...]
