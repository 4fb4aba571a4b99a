"""Which of several nodes owns a key: rendezvous hashing of names.

Each node has a score for each key; the node with the highest score owns the key. Nodes that see the
same cluster agree without communicating. When a node leaves, only its own keys move, and they are
spread over the others; a new node takes a share from each. There is no ring to build and no state
to keep.

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
    """Return the first ``count`` owners of ``key``, the owner first; fewer if there are fewer.

    Costs one hash per node. A node without a name owns nothing.

    Raises:
        TypeError: The key is neither text nor bytes, or the count is not a positive int.
    """
    if not isinstance(key, str | bytes):
        raise TypeError(f"owner: key {key!r:.80}: expected text or bytes")
    if type(count) is not int or count < 1:
        raise TypeError(f"owners: {count!r:.80}: expected a number of nodes, at least 1")
    data = key.encode(errors="surrogatepass") if isinstance(key, str) else key
    hashed = blake2b(data, digest_size=_SCORE_BYTES).digest()
    scored = [(_score(hashed, each.name), each.name, each) for each in nodes if each.name]
    return tuple(node for _, _, node in heapq.nlargest(count, scored, key=lambda each: each[:2]))


def _score(key: bytes, name: str) -> bytes:
    return blake2b(name.encode(), key=key, digest_size=_SCORE_BYTES).digest()


def among(nodes: Iterable[Node], where: Mapping[str, str] | None) -> tuple[Node, ...]:
    """Return the nodes whose metadata includes ``where``; all of them if it is ``None``."""
    return tuple(node for node in nodes if where is None or where.items() <= node.metadata.items())
