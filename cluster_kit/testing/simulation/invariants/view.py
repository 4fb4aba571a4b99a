"""What the application of one simulated node has been told: its view, built from the events of its
worker. Pure.
"""

from __future__ import annotations

from collections.abc import Callable

from cluster_kit.events import (
    Event,
    NodeDown,
    NodeFound,
    NodeLeaving,
    NodeLost,
    NodeUp,
    NodeUpdated,
    Reason,
    TopologyEvent,
)
from cluster_kit.node import Node
from cluster_kit.testing.simulation.invariants.findings import Law
from cluster_kit.testing.simulation.invariants.runs import Runs, Seen

Told = Callable[[str, str, Reason | None], None]
"""Called with each change: what, of which key, and why."""


class NodeView:
    """Known and linked nodes by key, as an application holds them that applies each event in order.

    Args:
        tell: Called with what breaks a law.
        told: Called with each event.
        max_nodes: How many may be known.
        runs: Which run is which.
        own: The key of this node.
    """

    def __init__(
        self, tell: Callable[[Law, str], None], told: Told, *, max_nodes: int, runs: Runs, own: str
    ) -> None:
        self.known: dict[str, Node] = {}
        self.up: dict[str, Node] = {}
        self._tell = tell
        self._told = told
        self._max_nodes = max_nodes
        self._seen = Seen(runs)
        self._own = own

    def apply(self, event: Event) -> None:
        """Take in an event."""
        match event:
            case NodeFound(node=node):
                self._add(self.known, node, "found")
                if len(self.known) > self._max_nodes:
                    self._tell(
                        Law.ROSTER,
                        f"{len(self.known)} nodes are known, and max_nodes is {self._max_nodes}",
                    )
            case NodeUp(node=node):
                self._describe(node)
                self._add(self.up, node, "up")
            case NodeLost(node=node, reason=reason):
                self._remove(self.known, node, "lost", reason)
            case NodeDown(node=node, reason=reason):
                self._remove(self.up, node, "down", reason)
            case NodeUpdated(node=node):
                self._describe(node)
                self._mention(node, "updated")
            case NodeLeaving(node=node):
                self._mention(node, "leaving")
                self._note(self._seen.fault_of_announcing(node))
            case TopologyEvent(kind=kind):
                self._told("event", kind, None)

    def _add(self, nodes: dict[str, Node], node: Node, what: str) -> None:
        if node.key in nodes:
            self._tell(Law.EVENTS, f"{node} was {what} twice")
        if node.key == self._own:
            self._tell(Law.ROSTER, f"{node}, which is this node itself, was {what}")
        nodes[node.key] = node
        # who is linked is shown as the run that the link leads to
        if nodes is self.up or node.key not in self.up:
            self._note(self._seen.fault_of_adding(node))
        self._told(what, node.key, None)

    def _remove(self, nodes: dict[str, Node], node: Node, what: str, reason: Reason) -> None:
        if nodes.pop(node.key, None) is None:
            self._tell(Law.EVENTS, f"{node} was {what} ({reason}), and was not there before")
        if reason is Reason.LEFT:
            self._note(self._seen.fault_of_leaving(node))
        self._told(what, node.key, reason)

    def _note(self, fault: str | None) -> None:
        if fault is not None:
            self._tell(Law.RUNS, fault)

    def _mention(self, node: Node, what: str) -> None:
        if node.key not in self.known and node.key not in self.up:
            self._tell(Law.EVENTS, f"{node} was {what}, and is neither known nor up")
        self._told(what, node.key, None)

    def _describe(self, node: Node) -> None:
        self._seen.show(node)
        for nodes in (self.known, self.up):
            if node.key in nodes:
                nodes[node.key] = node
