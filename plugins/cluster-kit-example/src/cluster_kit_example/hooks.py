"""The hooks of this plugin.

Every application that uses cluster_kit loads this module, so it imports little.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from cluster_kit import Event, Node, Reason, TopologyDegraded, hookimpl

log = logging.getLogger("cluster_kit_example")


@hookimpl
def cluster_kit_strategies() -> Mapping[str, str]:
    """Offer ``strategy: directory``; its module is imported when a configuration names it."""
    return {"directory": "cluster_kit_example.directory:DirectoryStrategy"}


@hookimpl
def cluster_kit_topology_specs() -> Mapping[str, Mapping[str, Any]]:
    """Offer ``use: directory``: a ready-made topology with this strategy."""
    return {"directory": {"strategy": "directory", "connect_timeout_s": 2}}


@hookimpl
def cluster_kit_commands() -> Mapping[str, str]:
    """Offer ``cluster-kit directory``; its module is imported when the command is run."""
    return {"directory": "cluster_kit_example.command:directory"}


@hookimpl
def cluster_kit_node_up(topology: str, node: Node) -> None:
    """Log a join."""
    log.info("%s: %s joined", topology, node)


@hookimpl
def cluster_kit_node_down(topology: str, node: Node, reason: Reason) -> None:
    """Log a leave."""
    log.info("%s: %s is gone (%s)", topology, node, reason)


@hookimpl
def cluster_kit_event(event: Event) -> None:
    """Log the events that an operator should know of."""
    if isinstance(event, TopologyDegraded):
        log.warning("%s: degraded: %s", event.topology, event.error)
