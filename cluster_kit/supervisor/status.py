"""How a topology is doing, as ``Supervisor.status()`` tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cluster_kit.errors import ConnectReason
from cluster_kit.events import Reason
from cluster_kit.node import Node


class State(StrEnum):
    """What a topology as a whole is doing; a closed list."""

    STARTING = "starting"
    """Its worker is on the way, for the first time or again."""
    READY = "ready"
    """It serves and has announced itself."""
    DEGRADED = "degraded"
    """It serves, but a strategy fails too often; links and roster are kept."""
    CRASH_LOOPING = "crash_looping"
    """Its worker dies too often; it is still replaced, slowly."""
    STOPPED = "stopped"
    """It has ended and will not be started again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatus:
    """One link.

    Attributes:
        node: The peer.
        age_s: For how long the link has been up.
        rtt_s: Round-trip time last measured, ``None`` where the connector does not measure it.
        secrets: The ids of the secrets that the peer holds: it uses the first, and accepts all.
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
        reason: Why the last dial failed, ``None`` if none has since the node was found or last
            linked.
        tries: How many have failed since then.
        next_s: Seconds until the next one, 0 while one is due or under way; ``None`` where none is meant
            to come, because the topology does not pick the node, or one of the two is about to leave.
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
        reason: Why its link went down, or why nobody vouches any more for one that was never linked.
        age_s: How long ago.
    """

    node: Node
    reason: Reason
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyStatus:
    """One configured topology.

    Attributes:
        state: What it is doing.
        pid: Process id of its worker, ``None`` while there is none.
        address: Where it accepts links, ``None`` where it does not.
        restarts: How often its worker was replaced.
        last_error: What went wrong last, in one line; kept after it was mended.
        sources: Each strategy's present fault, ``None`` where it works; in written order, named as ``TopologyConfig.sources``.
        known: The nodes that discovery vouches for.
        links: The links that are up.
        unlinked: Known nodes that are not linked and why, by key; of a large number the first 500.
            Empty while the worker does not answer.
        failing: How many known nodes are not linked in all, by the reason why the last dial failed.
        gone: Those that went within the last minute and have not come back, the first one first.
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
    """Return the same as JSON can have it."""
    return {
        "state": status.state.value,
        "pid": status.pid,
        "address": status.address,
        "restarts": status.restarts,
        "last_error": status.last_error,
        "sources": dict(status.sources),
        "known": [_node(node) for node in status.known],
        "links": [_link(link) for link in status.links],
        "unlinked": [_unlinked(each) for each in status.unlinked],
        "failing": {reason.value: number for reason, number in status.failing.items()},
        "gone": [_node(each.node) | {"age_s": round(each.age_s, 3), "reason": each.reason.value} for each in status.gone],
    }


def _link(link: LinkStatus) -> dict[str, Any]:
    told = {"age_s": round(link.age_s, 3), "rtt_s": link.rtt_s, "secrets": list(link.secrets)}
    return _node(link.node) | told


def _unlinked(each: UnlinkedStatus) -> dict[str, Any]:
    next_s = None if each.next_s is None else round(each.next_s, 3)
    return {"node": each.node.key, "reason": each.reason and each.reason.value, "tries": each.tries, "next_s": next_s}


def _node(node: Node) -> dict[str, Any]:
    return {"node": node.key, "address": node.address, "metadata": dict(node.metadata)}
