"""Senders that claim our cluster and group but can't be believed: their secret differs. Pure.

Anybody may have sent such a datagram, so warnings quote it with care and are limited.
"""

from __future__ import annotations

from msgspec import Struct

from cluster_kit.network import Endpoint
from cluster_kit.rate_limit import TokenBucket
from cluster_kit.throttle import REPEAT_S, Throttle

MOST_AT_ONCE = 8  # senders to warn about, and as many per minute: names are easily made up

WE_ALONE = "it has no secret, and this node has one"
THEY_ALONE = "it has a secret, and this node has none"
ANOTHER = "its secret differs from this node's"


class Distrusted(Struct, frozen=True):
    """A datagram for our cluster and group that can't be believed.

    Attributes:
        name: The name that the sender claims.
        source: The address that the datagram came from.
        why: The difference between the two nodes.
    """

    name: str
    source: Endpoint
    why: str

    def __str__(self) -> str:
        cure = "give all nodes of a cluster the same secret"
        return f"gossip: {self.name or 'a node'} at {self.source.host}: {self.why}; {cure}"


class DistrustThrottle:
    """Passes a warning about each sender once a minute, and a limited number in total."""

    def __init__(self) -> None:
        self._throttle = Throttle()
        self._bucket = TokenBucket(MOST_AT_ONCE / REPEAT_S, MOST_AT_ONCE)

    def passes(self, distrusted: Distrusted, now_s: float) -> bool:
        """Return whether to warn now."""
        key = f"{distrusted.name} {distrusted.source.host} {distrusted.why}"
        return self._throttle.passes(key, now_s) and self._bucket.take(now_s) > 0
