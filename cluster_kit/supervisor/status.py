"""The values that ``Supervisor.status()`` returns, and their forms as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cluster_kit.errors import ConnectReason
from cluster_kit.events import Reason
from cluster_kit.node import Node


class State(StrEnum):
    """The overall state of a topology; a closed list."""

    STARTING = "starting"
    """Its worker is starting, or has not announced itself yet."""
    READY = "ready"
    """It serves and has announced itself."""
    DEGRADED = "degraded"
    """A strategy fails too often; links and known nodes are kept."""
    CRASH_LOOPING = "crash_looping"
    """Its worker ends too often; it is still replaced, slowly."""
    STOPPED = "stopped"
    """It has ended, and is not started again by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatus:
    """One link that is up.

    Attributes:
        node: The peer.
        age_s: How long the link has been up, in seconds.
        rtt_s: The last round-trip time in seconds; ``None`` if the connector does not measure it,
            or the worker did not answer in time.
        secrets: The ids of the secrets that the peer holds: it uses the first, and accepts all.
            Empty if there is no secret, or the worker did not answer in time.
    """

    node: Node
    age_s: float
    rtt_s: float | None
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlinkedStatus:
    """One known node that is not linked.

    Attributes:
        node: The node.
        reason: Why the last dial failed; ``None`` if none has failed since the node was found or
            last linked.
        tries: How many dials have failed since then.
        next_s: Seconds until the next dial, 0 if it is due or in progress; ``None`` if none will
            come, because the topology does not select the node, or one of the two is leaving.
    """

    node: Node
    reason: ConnectReason | None
    tries: int
    next_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoneStatus:
    """One node that went a short time ago.

    Attributes:
        node: The node as it was.
        reason: Why its link went down; for a node that was never linked, why it was lost.
        age_s: How long ago, in seconds.
    """

    node: Node
    reason: Reason
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyStatus:
    """One configured topology.

    Attributes:
        name: Its name in the configuration.
        state: Its overall state.
        pid: Process id of its worker; ``None`` while there is none.
        address: Where it accepts links; ``None`` if it does not.
        restarts: How often its worker was replaced.
        last_error: The last error, in one line; kept after recovery. ``None`` if there never was
            one.
        sources: The present fault of each strategy, ``None`` if it works; in configured order.
            All but the first are called by their number, too, such as ``hosts_file#2``.
        known: The nodes that discovery vouches for, by key.
        links: The links that are up, by key of the peer.
        unlinked: Known nodes that are not linked, and why; by key, the first 500 if there are more.
            Empty if the worker did not answer in time.
        failing: How many known nodes are not linked, by the reason why the last dial failed.
        gone: Nodes that went within the last minute and have not come back, the first one first.
    """

    name: str
    state: State
    pid: int | None
    address: str | None
    restarts: int
    last_error: str | None
    sources: Mapping[str, str | None]
    known: tuple[Node, ...]
    links: tuple[LinkStatus, ...]
    unlinked: tuple[UnlinkedStatus, ...] = ()
    failing: Mapping[ConnectReason, int] = field(default_factory=dict)
    gone: tuple[GoneStatus, ...] = ()


def as_plain(status: TopologyStatus) -> dict[str, Any]:
    """Return ``status`` as plain data, for JSON."""
    return {
        "state": status.state.value,
        "pid": status.pid,
        "address": status.address,
        "restarts": status.restarts,
        "last_error": status.last_error,
        "sources": dict(status.sources),
        "known": [_node(node) for node in status.known],
        "links": [_link(each) for each in status.links],
        "unlinked": [_unlinked(each) for each in status.unlinked],
        "failing": {reason.value: number for reason, number in status.failing.items()},
        "gone": [_gone(each) for each in status.gone],
    }


def _node(node: Node) -> dict[str, Any]:
    return {"node": node.key, "address": node.address, "metadata": dict(node.metadata)}


def _link(link: LinkStatus) -> dict[str, Any]:
    measured = {"age_s": round(link.age_s, 3), "rtt_s": link.rtt_s}
    return _node(link.node) | measured | {"secrets": list(link.secrets)}


def _unlinked(each: UnlinkedStatus) -> dict[str, Any]:
    return {
        "node": each.node.key,
        "reason": each.reason and each.reason.value,
        "tries": each.tries,
        "next_s": None if each.next_s is None else round(each.next_s, 3),
    }


def _gone(each: GoneStatus) -> dict[str, Any]:
    return _node(each.node) | {"age_s": round(each.age_s, 3), "reason": each.reason.value}
