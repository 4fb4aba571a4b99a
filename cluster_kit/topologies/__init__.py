"""The built-in topologies: pure functions, one file each, named as in a configuration."""

from __future__ import annotations

from collections.abc import Mapping

from cluster_kit.hookspecs import hookimpl


@hookimpl
def cluster_kit_topologies() -> Mapping[str, str]:
    """Offer the built-in topologies."""
    return {
        "full_mesh": "cluster_kit.topologies.full_mesh:FullMeshTopology",
        "k_regular": "cluster_kit.topologies.k_regular:KRegularTopology",
        "ring": "cluster_kit.topologies.ring:RingTopology",
        "star": "cluster_kit.topologies.star:StarTopology",
    }
