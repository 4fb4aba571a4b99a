"""Link each node to a few others, with short paths, in clusters too large for a full mesh.

``k / 2`` rings go through all nodes, each in an order of its own: that of a hash of the ring's
number and the name. A node is linked to its predecessor and its successor in each ring. So the
graph is connected, and stays connected when any one node fails. With two rings or more, the longest
path grows with the logarithm of the cluster. A node that joins or leaves changes at most three
links in each ring.

Source: Law and Siu, "Distributed construction of random expander networks", INFOCOM 2003 (unions of
Hamiltonian cycles).
Differs: the cycles follow from the names, so a newcomer need not ask where to join.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat

from cluster_kit.abc import Topology
from cluster_kit.errors import raise_all
from cluster_kit.fault import Fault
from cluster_kit.node import Node
from cluster_kit.topologies.circle import by_name, neighbours, unnamed

REMEMBERED = 32_768  # names: three times the usual bound of a roster, and some 15 MiB if reached
_HASH_BYTES = 8  # if two hashes are the same, the names decide
_HASH_CHARS = 2 * _HASH_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class KRegularTopology(Topology):
    """Links each node to ``k`` others, or fewer if two are neighbours in several rings.

    Nodes without a known name are selected as well, until their name is learned.

    Args:
        k: How many links a node has; even, from 2, and the same on all nodes. 2 is one ring, whose
            longest path is half of the cluster.
    """

    k: int = 4

    def __post_init__(self) -> None:
        raise_all(_faults(self.k))

    def select(self, local: Node, known: frozenset[Node]) -> frozenset[Node]:
        """Return the neighbours in all rings; all nodes in a cluster of ``k + 1`` or fewer."""
        named = by_name(known)
        if len(named) <= self.k:
            return known
        rings = self.k // 2
        mine = _places(local.key, rings)
        others = zip(*map(_places, named, repeat(rings)), strict=True)
        picked = {place[_HASH_CHARS:] for ring in map(neighbours, mine, others) for place in ring}
        return frozenset(named[name] for name in picked) | unnamed(known)

    def most_links(self) -> int:
        """Return ``k``."""
        return self.k


def _faults(k: int) -> Iterator[Fault]:
    if k < 2 or k % 2:
        what = f"invalid value {k}: expected an even number, at least 2"
        yield Fault(("k",), what, "a node has two neighbours in each ring")


@lru_cache(maxsize=REMEMBERED)
def _places(name: str, rings: int) -> tuple[str, ...]:
    """Return the sort key of a node in each ring. Nodes of all versions must agree on it."""
    from hashlib import blake2b

    def place(ring: int) -> str:
        salt = ring.to_bytes(blake2b.SALT_SIZE, "big")
        data = name.encode()
        hashed = blake2b(data, digest_size=_HASH_BYTES, salt=salt, usedforsecurity=False)
        return hashed.hexdigest() + name

    return tuple(map(place, range(rings)))
