"""The events that an application receives: frozen, in order, numbered within their topology.

A subscription begins with one ``Snapshot`` per topology; the events that follow have the next
numbers, without a gap. A subscriber that falls behind gets a fresh ``Snapshot`` instead of what it
missed.
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
    """Nothing was heard from it for too long."""
    REPLACED = "replaced"
    """A newer run of the node took its place, or its address turned out to have another name."""
    GONE = "gone"
    """Its source says explicitly that it is no longer there."""
    UNWANTED = "unwanted"
    """Neither end wants the link any more."""
    WORKER = "worker"
    """Our own worker died; it is being replaced."""
    SHUTDOWN = "shutdown"
    """We are stopping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every event has.

    Attributes:
        topology: Name of the configured topology.
        seq: Number within the topology; the next event has the next number.
        t: When it was noticed, in Unix seconds.
    """

    topology: str
    seq: int = 0
    t: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFound(Event):
    """Discovery vouches for a node: it is known."""

    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLost(Event):
    """Discovery no longer vouches for a node; a healthy link to it is kept.

    Attributes:
        node: The node as it was.
        reason: Why.
    """

    node: Node
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeUp(Event):
    """A link to a node is up."""

    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDown(Event):
    """The link to a node is down.

    Attributes:
        node: The node as it was.
        reason: Why.
    """

    node: Node
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeUpdated(Event):
    """The metadata or the address of a known or linked node changed."""

    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLeaving(Event):
    """A node is about to leave: it keeps its links until it does, and nobody dials it any more."""

    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyReady(Event):
    """The topology serves and has announced itself.

    Attributes:
        address: Where it accepts links; ``None`` if its connector does not listen.
    """

    address: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyDegraded(Event):
    """A strategy or the worker failed too often; it is retried slowly.

    Links and known nodes are kept as far as the worker still runs.

    Attributes:
        error: The last failure.
    """

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyRecovered(Event):
    """What was degraded works again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyRestarted(Event):
    """The worker died, and another one is started in its place.

    Attributes:
        error: What ended it.
        restarts: How often that has happened since the supervisor was started.
    """

    error: str
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyEvent(Event):
    """Something that only one plugin knows of.

    Attributes:
        kind: What happened, in a word of the plugin's.
        data: Plain data, of a shape that depends on ``kind``.
    """

    kind: str
    data: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Event):
    """The whole view of one topology as of ``seq``.

    Attributes:
        known: The nodes that discovery vouches for, without this one, sorted by key.
        up: The nodes that are linked, sorted by key.
    """

    known: tuple[Node, ...]
    up: tuple[Node, ...]
