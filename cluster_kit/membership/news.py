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

    def show(self, key: str, *, known: Node | None, up: Node | None, reason: Reason) -> None:
        """Tell what is new about a node.

        Args:
            key: Of the node.
            known: The node as discovery knows it, if it does.
            up: The node as it is linked, if it is. It differs from ``known`` only until the connector knows of a change.
            reason: Why it is no longer known or up, if it isn't.
        """
        told = self.known.get(key) or self.up.get(key)
        if up is None:
            self.down(key, reason)
        if known is None:
            self._lost(key, reason)
        elif key not in self.known:
            self.known[key] = known
            self._events.append(NodeFound(topology=self._topology, node=known))
        if up is not None and key not in self.up:
            self.up[key] = up
            self._describe(up)
            self._events.append(NodeUp(topology=self._topology, node=up))
        elif (now := up or known) is not None and told not in (None, now) and known in (None, now):
            self._describe(now)
            self._events.append(NodeUpdated(topology=self._topology, node=now))

    def down(self, key: str, reason: Reason) -> None:
        """Tell that the link is down, if it was up."""
        node = self.up.pop(key, None)
        if node is not None:
            self._events.append(NodeDown(topology=self._topology, node=node, reason=reason))

    def leaving(self, node: Node) -> None:
        """Tell that ``node`` is about to leave."""
        self._events.append(NodeLeaving(topology=self._topology, node=node))

    def _describe(self, node: Node) -> None:
        for view in (self.known, self.up):
            if node.key in view:
                view[node.key] = node

    def _lost(self, key: str, reason: Reason) -> None:
        node = self.known.pop(key, None)
        if node is not None:
            self._events.append(NodeLost(topology=self._topology, node=node, reason=reason))
