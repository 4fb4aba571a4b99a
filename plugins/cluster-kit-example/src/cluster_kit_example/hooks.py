"""What this plugin offers and what it wants to hear; loaded by every application that uses cluster_kit, so imports are few."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from cluster_kit import Event, Node, Reason, TopologyDegraded, hookimpl

log = logging.getLogger("cluster_kit_example")


@hookimpl
def cluster_kit_strategies() -> Mapping[str, str]:
    """Offer ``strategy: directory``; its module is imported when a configuration names it."""
    return {"directory": "cluster_kit_example.directory:DirectoryStrategy"}


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
    """Log what an operator should look at; the other events pass by."""
    if isinstance(event, TopologyDegraded):
        log.warning("%s: degraded: %s", event.topology, event.error)
