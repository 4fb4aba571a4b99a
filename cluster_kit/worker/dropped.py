"""Says in the log which linked nodes still use a secret that this node accepts no longer. Pure, but
for the log.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

log = logging.getLogger("cluster_kit.worker")

GRACE_S = 5.0  # a node that has gone over to another secret may just be telling so
_NAMED = 10


class Dropped:
    """Watches the links of one topology; ``look`` is called regularly.

    Args:
        linked: The ids of the secrets that each linked node holds, by node; it uses the first.
            Others keep that up to date.
    """

    def __init__(self, linked: Mapping[str, tuple[bytes, ...]]) -> None:
        self._linked = linked
        self._dropped: set[bytes] = set()
        self._due_s = math.inf

    def renewed(self, before: tuple[bytes, ...], after: tuple[bytes, ...], now_s: float) -> None:
        """Note that this node holds other secrets than ``before``, by id."""
        self._dropped = (self._dropped | set(before)) - set(after)
        if set(before) - set(after):
            self._due_s = now_s + GRACE_S

    def look(self, now_s: float) -> None:
        """Warn, once for each time that secrets were dropped, when those who use them have had time
        to tell of others.
        """
        if now_s < self._due_s:
            return
        if behind := sorted(
            name for name, ids in self._linked.items() if not self._dropped.isdisjoint(ids[:1])
        ):
            names = ", ".join(behind[:_NAMED])
            more = f" and {len(behind) - _NAMED} more" if len(behind) > _NAMED else ""
            log.warning(
                "dropped a secret that linked nodes still use: %s%s: give them one that this node "
                "accepts, as they stay only "
                "until their link ends; 'cluster-kit rotate --check FILE' tells so beforehand",
                names,
                more,
            )
        self._dropped.clear()
        self._due_s = math.inf
