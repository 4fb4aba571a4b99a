"""Who of several nodes owns a key: rendezvous hashing, by names alone.

Each node has a score for each key, and the highest one owns it. All who see the same nodes agree
without a word; when a node goes, only its own keys move, spread over the others, and one that comes
takes its share from each. There is no ring to build and no state to keep.

Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM
Transactions on Networking 6(1), 1998.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from hashlib import blake2b

from cluster_kit.node import Node

_SCORE_BYTES = 8


def owners(key: str | bytes, nodes: Iterable[Node], count: int = 1) -> tuple[Node, ...]:
    """Return the ``count`` first owners of ``key`` among ``nodes``, the owner first; fewer where there are fewer.

    Each call takes one hash for each node. A node that has no name yet owns nothing.

    Raises:
        TypeError: The key is neither text nor bytes, or the count no number from 1 up.
    """
    if not isinstance(key, str | bytes):
        raise TypeError(f"owner: key {key!r:.80}: expected text or bytes")
    if type(count) is not int or count < 1:
        raise TypeError(f"owners: {count!r:.80}: expected a number of nodes, from 1 up")
    hashed = blake2b(key.encode(errors="surrogatepass") if isinstance(key, str) else key, digest_size=_SCORE_BYTES)
    scored = [(_score(hashed.digest(), node.name), node.name, node) for node in nodes if node.name is not None]
    return tuple(node for _, _, node in heapq.nlargest(count, scored, key=lambda each: each[:2]))


def _score(key: bytes, name: str) -> bytes:
    return blake2b(name.encode(), key=key, digest_size=_SCORE_BYTES).digest()


def among(nodes: Iterable[Node], where: Mapping[str, str] | None) -> tuple[Node, ...]:
    """Return those of ``nodes`` whose metadata has all of ``where``; all of them without it."""
    return tuple(node for node in nodes if where is None or where.items() <= node.metadata.items())
