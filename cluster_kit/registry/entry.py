"""The entry of a node in a store, as a value and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import quote

from cluster_kit.node import BootId, Fence, Node
from cluster_kit.registry import MAX_TTL_S

MAX_ENTRY_CHARS = 16_384  # more than the longest names and escaped metadata need

EntryState = Literal["here", "leaving", "gone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a node writes about itself.

    Args:
        node: The node; it has a name.
        boot_id: The boot of the node.
        fence: Cluster and group.
        ttl_s: Seconds for which the entry is valid.
        state: Whether the node is leaving, or has left.
        renewal: A number that changes with each renewal.
    """

    node: Node
    boot_id: BootId
    fence: Fence
    ttl_s: float
    state: EntryState
    renewal: int

    def encode(self) -> str:
        """Return the entry as JSON."""
        fence = {"cluster": self.fence.cluster, "group": self.fence.group}
        fields = {"ttl_s": self.ttl_s, "state": self.state, "renewal": self.renewal}
        return json.dumps({**fence, "node": self.node.to_plain(), **fields})

    @classmethod
    def decode(cls, value: object) -> Entry | None:
        """Return the entry that ``value`` holds; ``None`` for anything else."""
        if not isinstance(value, str | bytes) or len(value) > MAX_ENTRY_CHARS:
            return None
        try:
            content = json.loads(value)
            node = Node.from_plain(content["node"])
            ttl_s, renewal = float(content["ttl_s"]), int(content["renewal"])
            cluster, group, state = content["cluster"], content["group"], content["state"]
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return None
        if node.name is None or node.boot_id is None or not 0 < ttl_s <= MAX_TTL_S:
            return None
        if not (isinstance(cluster, str) and isinstance(group, str)):
            return None
        if state not in get_args(EntryState):
            return None
        return cls(
            node=node,
            boot_id=node.boot_id,
            fence=Fence(cluster, group),
            ttl_s=ttl_s,
            state=state,
            renewal=renewal,
        )


def prefix_of(fence: Fence) -> str:
    """Return the common prefix of the keys of a cluster and group."""
    return f"{quote(fence.cluster, safe='')}/{quote(fence.group, safe='')}/"


def newest(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Return the entry of the newest boot of each name, sorted by name."""
    return {
        entry.node.key: entry
        for entry in sorted(entries, key=lambda entry: (entry.node.key, entry.boot_id))
    }
