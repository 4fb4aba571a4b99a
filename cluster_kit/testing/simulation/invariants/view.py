"""The view of one application: which nodes are known and up, from its worker's events. Pure."""

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
from cluster_kit.testing.simulation.invariants.runs import Runs, ShownRuns


class NodeView:
    """Known and linked nodes by key, kept as an application keeps them that applies every event.

    Args:
        report: Called with each violation of an invariant.
        changed: Called with each change: what happened, to which key, and why.
        max_nodes: How many may be known.
        runs: All runs of all nodes.
        own: The key of this node.
    """

    def __init__(
        self,
        report: Callable[[Law, str], None],
        changed: Callable[[str, str, Reason | None], None],
        *,
        max_nodes: int,
        runs: Runs,
        own: str,
    ) -> None:
        self.known: dict[str, Node] = {}
        self.up: dict[str, Node] = {}
        self._report = report
        self._changed = changed
        self._max_nodes = max_nodes
        self._shown = ShownRuns(runs)
        self._own = own

    def apply(self, event: Event) -> None:
        """Apply an event, and judge it."""
        match event:
            case NodeFound(node=node):
                self._add(self.known, node, "found")
                if len(self.known) > self._max_nodes:
                    what = f"{len(self.known)} nodes are known, and max_nodes is {self._max_nodes}"
                    self._report(Law.ROSTER, what)
            case NodeUp(node=node):
                self._update(node)
                self._add(self.up, node, "up")
            case NodeLost(node=node, reason=reason):
                self._remove(self.known, node, "lost", reason)
            case NodeDown(node=node, reason=reason):
                self._remove(self.up, node, "down", reason)
            case NodeUpdated(node=node):
                self._update(node)
                self._mention(node, "updated")
            case NodeLeaving(node=node):
                self._mention(node, "leaving")
                self._judge_run(self._shown.fault_of_announcing(node))
            case TopologyEvent(kind=kind):
                self._changed("event", kind, None)

    def _add(self, nodes: dict[str, Node], node: Node, what: str) -> None:
        if node.key in nodes:
            self._report(Law.EVENTS, f"{node} was {what} twice")
        if node.key == self._own:
            self._report(Law.ROSTER, f"{node}, which is this node itself, was {what}")
        nodes[node.key] = node
        # while a link is up, its run is the one that counts: discovery may be ahead or behind
        if nodes is self.up or node.key not in self.up:
            self._judge_run(self._shown.fault_of_adding(node))
        self._changed(what, node.key, None)

    def _remove(self, nodes: dict[str, Node], node: Node, what: str, reason: Reason) -> None:
        if nodes.pop(node.key, None) is None:
            self._report(Law.EVENTS, f"{node} was {what} ({reason}), and was not there before")
        if reason is Reason.LEFT:
            self._judge_run(self._shown.fault_of_leaving(node))
        if reason is Reason.REPLACED:
            self._judge_run(self._shown.fault_of_replacing(node))
        self._changed(what, node.key, reason)

    def _judge_run(self, fault: str | None) -> None:
        if fault is not None:
            self._report(Law.RUNS, fault)

    def _mention(self, node: Node, what: str) -> None:
        if node.key not in self.known and node.key not in self.up:
            self._report(Law.EVENTS, f"{node} was {what}, and is neither known nor up")
        self._changed(what, node.key, None)

    def _update(self, node: Node) -> None:
        self._shown.show(node)
        for nodes in (self.known, self.up):
            if node.key in nodes:
                nodes[node.key] = node
