"""The view that an application has once it has taken all events: what to send in place of them."""

from __future__ import annotations

from collections.abc import Iterable

from cluster_kit.events import Event, NodeDown, NodeFound, NodeLost, NodeUp, NodeUpdated
from cluster_kit.node import Node
from cluster_kit.worker.messages import View


class EventLog:
    """Adds events up. It holds two nodes for each peer, however many events there are.

    Args:
        known: The nodes that the application knows of from a worker before this one.
    """

    def __init__(self, known: Iterable[Node]) -> None:
        self._known = {node.key: node for node in known}
        self._up: dict[str, Node] = {}

    def add(self, events: Iterable[Event]) -> None:
        """Change the view as the application will when it takes these events."""
        for event in events:
            match event:
                case NodeFound(node=node):
                    self._known[node.key] = node
                case NodeLost(node=node):
                    self._known.pop(node.key, None)
                case NodeUp(node=node):
                    self._up[node.key] = node
                    self._describe(node)
                case NodeDown(node=node):
                    self._up.pop(node.key, None)
                case NodeUpdated(node=node):
                    self._describe(node)

    def view(self) -> View:
        """Return the view after all events, by key."""
        return View(known=_by_key(self._known), up=_by_key(self._up))

    def _describe(self, node: Node) -> None:
        for nodes in (self._known, self._up):
            if node.key in nodes:
                nodes[node.key] = node


def _by_key(nodes: dict[str, Node]) -> tuple[Node, ...]:
    return tuple(node for _, node in sorted(nodes.items()))
