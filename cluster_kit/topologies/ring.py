"""Link each node to its two neighbours in the order of names, which is closed to a ring."""

from __future__ import annotations

from dataclasses import dataclass

from cluster_kit.abc import Topology
from cluster_kit.node import Node
from cluster_kit.topologies.circle import by_name, neighbours, unnamed


@dataclass(frozen=True, slots=True)
class RingTopology(Topology):
    """The fewest links that survive the loss of one node; the longest path is half the cluster.

    Nodes without a known name are selected as well, until their name is learned.
    """

    def select(self, local: Node, known: frozenset[Node]) -> frozenset[Node]:
        """Return the neighbours; all nodes in a cluster of three or fewer."""
        named = by_name(known)
        if len(named) <= self.most_links():
            return known
        return frozenset(named[name] for name in neighbours(local.key, named)) | unnamed(known)

    def most_links(self) -> int:
        """Return how many neighbours there can be."""
        return 2
