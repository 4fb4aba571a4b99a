"""The events that tell what has become of the nodes.

Whatever is reported, and in whatever order, found and lost, up and down alternate for each key: an event is made of the
difference to what was told before.
"""

from __future__ import annotations

from cluster_kit.events import Event, NodeDown, NodeFound, NodeLeaving, NodeLost, NodeUp, NodeUpdated, Reason
from cluster_kit.node import Node


class News:
    """What the application has been told of one topology, and what it is still to be told."""

    def __init__(self, topology: str) -> None:
        self.known: dict[str, Node] = {}
        self.up: dict[str, Node] = {}
        self._topology = topology
        self._events: list[Event] = []

    def take(self) -> list[Event]:
        """Return the events since the last call, unnumbered."""
        events, self._events = self._events, []
        return events

    def assume(self, node: Node) -> None:
        """Take it that the application has been told of ``node`` by somebody else."""
        self.known[node.key] = node

    def show(self, node: Node, *, known: bool, up: bool, reason: Reason) -> None:
        """Tell what is new about ``node``; ``reason`` is why it is no longer known or up, if it isn't."""
        told = self.known.get(node.key) or self.up.get(node.key)
        if not up:
            self.down(node.key, reason)
        if not known:
            self._lost(node.key, reason)
        found, came_up = known and node.key not in self.known, up and node.key not in self.up
        if known:
            self.known[node.key] = node
        if up:
            self.up[node.key] = node
        if found:
            self._events.append(NodeFound(topology=self._topology, node=node))
        if came_up:
            self._events.append(NodeUp(topology=self._topology, node=node))
        elif told is not None and told != node and (known or up):
            self._events.append(NodeUpdated(topology=self._topology, node=node))

    def down(self, key: str, reason: Reason) -> None:
        """Tell that the link is down, if it was up."""
        node = self.up.pop(key, None)
        if node is not None:
            self._events.append(NodeDown(topology=self._topology, node=node, reason=reason))

    def leaving(self, node: Node) -> None:
        """Tell that ``node`` is about to leave."""
        self._events.append(NodeLeaving(topology=self._topology, node=node))

    def _lost(self, key: str, reason: Reason) -> None:
        node = self.known.pop(key, None)
        if node is not None:
            self._events.append(NodeLost(topology=self._topology, node=node, reason=reason))
