"""Decides which nodes the log names when secrets or certificates get in the way of a link."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

from cluster_kit.throttle import REPEAT_S

log = logging.getLogger("cluster_kit.worker")

MAX_NAMED = 16  # untrusted peers in a minute
GRACE_S = 5.0  # a node that has just switched to another secret may not have advertised it yet

_MAX_COUNTED = 1000
_SHOWN = 10  # nodes in one warning about a dropped secret


class UntrustedPeers:
    """Lets each node be named once a minute, and a few nodes in all; counts the others."""

    def __init__(self) -> None:
        self._named_at_s: dict[str, float] = {}  # of the last minute, in order
        self._unnamed: set[str] = set()
        self._unnamed_since_s = math.inf

    def may_name(self, key: str, now_s: float) -> bool:
        """Return whether to name the node ``key`` now."""
        while self._named_at_s and now_s - next(iter(self._named_at_s.values())) >= REPEAT_S:
            del self._named_at_s[next(iter(self._named_at_s))]
        if key in self._named_at_s:
            return False
        if len(self._named_at_s) < MAX_NAMED:
            self._named_at_s[key] = now_s
            self._unnamed.discard(key)
            return True
        if len(self._unnamed) < _MAX_COUNTED:
            self._unnamed.add(key)
            self._unnamed_since_s = min(self._unnamed_since_s, now_s)
        return False

    def take_unnamed(self, now_s: float) -> int:
        """Return, once a minute, how many nodes could not be named, 1000 at most; else 0."""
        if now_s - self._unnamed_since_s < REPEAT_S:
            return 0
        count = len(self._unnamed)
        self._unnamed.clear()
        self._unnamed_since_s = math.inf
        return count


class DroppedSecrets:
    """Warns about linked nodes that still use a secret which this node no longer accepts.

    Args:
        linked: The ids of the secrets that each linked node holds, by node; it uses the first.
            Others keep that up to date.
    """

    def __init__(self, linked: Mapping[str, tuple[bytes, ...]]) -> None:
        self._linked = linked
        self._dropped: set[bytes] = set()
        self._due_s = math.inf

    def changed(self, before: tuple[bytes, ...], after: tuple[bytes, ...], now_s: float) -> None:
        """Note that this node's secrets have changed; both are ids."""
        self._dropped = (self._dropped | set(before)) - set(after)
        if set(before) - set(after):
            self._due_s = now_s + GRACE_S

    def log_users(self, now_s: float) -> None:
        """Warn, once for each drop, about nodes that had time to switch and did not."""
        if now_s < self._due_s:
            return
        users = sorted(
            name for name, ids in self._linked.items() if not self._dropped.isdisjoint(ids[:1])
        )
        if users:
            names = ", ".join(users[:_SHOWN])
            more = f" and {len(users) - _SHOWN} more" if len(users) > _SHOWN else ""
            log.warning(
                "dropped a secret that linked nodes still use: %s%s: give them one that this node "
                "accepts, as they stay only until their link ends; next time, run 'cluster-kit "
                "rotate --check FILE' beforehand",
                names,
                more,
            )
        self._dropped.clear()
        self._due_s = math.inf
