"""The strategies that come with cluster_kit, one file each, named as in a configuration."""

from __future__ import annotations

from collections.abc import Mapping

from cluster_kit.hookspecs import hookimpl


@hookimpl
def cluster_kit_strategies() -> Mapping[str, str]:
    """Offer the built-in strategies."""
    return {
        "static": "cluster_kit.strategies.static:StaticStrategy",
        "gossip": "cluster_kit.strategies.gossip:GossipStrategy",
    }
