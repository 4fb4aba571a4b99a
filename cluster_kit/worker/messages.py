"""What supervisor and worker say to each other over their channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster_kit.config import TopologyConfig
from cluster_kit.errors import ClusterKitError
from cluster_kit.events import Event
from cluster_kit.node import Fence, Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """To the worker, first: what to run. ``known`` is the roster that its predecessor left."""

    topology: TopologyConfig
    local: Node
    fence: Fence
    announce: bool
    leaving: bool
    known: tuple[Node, ...]
    log_level: int


@dataclass(frozen=True, slots=True)
class SetMetadata:
    """To the worker: the node's metadata is now this."""

    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Drain:
    """To the worker: tell everybody that this node is about to leave, and dial nobody any more."""


@dataclass(frozen=True, slots=True)
class Stop:
    """To the worker: say goodbye and exit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """To the worker: run a command of the connector and answer with ``Reply``."""

    id: int
    command: str
    arguments: Mapping[str, Any]
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Inspect:
    """To the worker: answer with the round-trip times of its links, in seconds by node."""

    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """From the worker: the result of ``Call`` or ``Inspect``, or why there is none."""

    id: int
    value: Any = None
    error: ClusterKitError | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """From the worker, regularly: its event loop is running."""


@dataclass(frozen=True, slots=True)
class Serving:
    """From the worker: links are accepted at ``address``."""

    address: str | None


@dataclass(frozen=True, slots=True)
class Announced:
    """From the worker, once: every strategy has made this node known, as far as it does that."""


@dataclass(frozen=True, slots=True)
class CannotServe:
    """From the worker, last: the connector can't start."""

    error: ClusterKitError


@dataclass(frozen=True, slots=True)
class Happened:
    """From the worker: events in order."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """From the worker: how things stand, in place of events that the supervisor was too slow to take."""

    known: tuple[Node, ...]
    up: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """From the worker: ``source`` now works (``error`` is ``None``) or fails; ``degraded``: it failed too often."""

    source: str
    error: str | None
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class Logged:
    """From the worker: a log record, already formatted."""

    logger: str
    level: int
    text: str
