"""Link every node to every other."""

from __future__ import annotations

from dataclasses import dataclass

from cluster_kit.abc import Topology
from cluster_kit.node import Node


@dataclass(frozen=True, slots=True)
class FullMeshTopology(Topology):
    """The simplest and most robust topology; links grow with the square of the cluster."""

    def select(self, local: Node, known: frozenset[Node]) -> frozenset[Node]:
        """Return all of ``known``."""
        return known
