"""What strategies report about nodes; ``cluster_kit.abc`` exports it for plugins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cluster_kit.errors import ClusterKitError, DiscoveryError
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Node, canonical_key


@dataclass(frozen=True, slots=True)
class Found:
    """The complete answer of this source: a node that is absent from it is gone."""

    nodes: frozenset[Node]

    def __init__(self, nodes: Iterable[Node]) -> None:
        object.__setattr__(self, "nodes", frozenset(nodes))


@dataclass(frozen=True, slots=True)
class Seen:
    """This node is alive; forget it when ``ttl_s`` seconds pass without another ``Seen``."""

    node: Node
    ttl_s: float


@dataclass(frozen=True, slots=True)
class Leaving:
    """This node is about to leave: don't dial it any more, keep its link until it closes.

    It counts for as long as the ``Seen`` before it, so it is repeated after each ``Seen``.
    """

    name: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", canonical_key(self.name))


@dataclass(frozen=True, slots=True)
class Gone:
    """This node is no longer there, or has left, which counts once its link is down.

    ``boot_id`` limits that to one run of it.
    """

    name: str
    reason: Reason = Reason.GONE
    boot_id: BootId | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", canonical_key(self.name))


@dataclass(frozen=True, slots=True)
class Failed:
    """The source could not answer; nothing changes but its health."""

    error: ClusterKitError


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer of one part of a polled source, such as one of several names, hosts or zones.

    Args:
        nodes: The nodes that are there.
        error: What is wrong with the answer, or why there is none; shown as the source's health.
        complete: Whether there are no other nodes. False keeps those that ``nodes`` lacks.
    """

    nodes: frozenset[Node] = frozenset()
    error: DiscoveryError | None = None
    complete: bool = True


Observation = Found | Seen | Leaving | Gone | Failed
