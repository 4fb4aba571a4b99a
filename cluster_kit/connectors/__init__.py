"""The connectors that come with cluster_kit, named as in a configuration."""

from __future__ import annotations

from collections.abc import Mapping

from cluster_kit.hookspecs import hookimpl


@hookimpl
def cluster_kit_connectors() -> Mapping[str, str]:
    """Offer the built-in connectors."""
    return {
        "tcp": "cluster_kit.connectors.tcp:TcpConnector",
        "callback": "cluster_kit.connectors.callback:CallbackConnector",
        "none": "cluster_kit.connectors.none:NoneConnector",
    }
