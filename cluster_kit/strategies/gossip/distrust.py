"""Those who say that they are of our cluster and group, and can't be believed: the secrets of the two differ. Pure.

What they say of themselves anybody may have written, so that it is shown with care and not too often.
"""

from __future__ import annotations

from msgspec import Struct

from cluster_kit.network import Endpoint
from cluster_kit.throttle import REPEAT_S, Throttle, TokenBucket

MOST_AT_ONCE = (
    8  # different senders that are warned about, and as many a minute: names are made up easily
)

WE_ALONE = "it has no secret, and this node has one"
THEY_ALONE = "it has a secret, and this node has none"
ANOTHER = "it has another secret than this node"


class Distrusted(Struct, frozen=True):
    """A datagram that was meant for us can't be believed.

    Attributes:
        name: What the sender calls itself.
        source: Where the datagram came from.
        why: What differs.
    """

    name: str
    source: Endpoint
    why: str

    def __str__(self) -> str:
        return f"gossip: {self.name or 'a node'} at {self.source.host}: {self.why}; give all nodes of a cluster the same secret"


class Warnings:
    """Lets a warning about each sender pass once a minute, and no more than some about all of them."""

    def __init__(self) -> None:
        self._throttle = Throttle()
        self._bucket = TokenBucket(MOST_AT_ONCE / REPEAT_S, MOST_AT_ONCE)

    def passes(self, distrusted: Distrusted, now_s: float) -> bool:
        """Return whether to warn now."""
        key = f"{distrusted.name} {distrusted.source.host} {distrusted.why}"
        return self._throttle.passes(key, now_s) and self._bucket.take(now_s)
