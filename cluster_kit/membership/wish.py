"""Whom to be linked to: what the topology picks from those known, and from those missed."""

from __future__ import annotations

from cluster_kit.abc import Topology
from cluster_kit.node import Node


class Wish:
    """What the topology is offered, and what it picks from that.

    Attributes:
        stale: Whether the offer has changed since the wish was last worked out, which takes as long as the roster is large.
    """

    def __init__(self, topology: Topology) -> None:
        self.stale = True
        self._topology = topology
        self._known: dict[str, Node] = {}
        self._missed: dict[str, Node] = {}

    def offer(self, key: str, *, known: Node | None, missed: Node | None) -> bool:
        """Offer a node as one that is known, as one that is only missed, or not at all; return whether that is a change."""
        changed = False
        for offers, node in ((self._known, known), (self._missed, missed)):
            if offers.get(key) == node:
                continue
            self.stale = changed = True
            if node is None:
                del offers[key]
            else:
                offers[key] = node
        return changed

    def work_out(self, local: Node) -> dict[str, Node]:
        """Return those of the known who are picked, and those of the missed who would be, were they known."""
        self.stale = False
        wanted = self._pick(local, self._known)
        if self._missed:
            picked = self._pick(local, self._known | self._missed)
            wanted |= {key: node for key, node in picked.items() if key in self._missed}
        return wanted

    def _pick(self, local: Node, offers: dict[str, Node]) -> dict[str, Node]:
        offered = frozenset(offers.values())
        picked = self._topology.select(local, offered)
        if picked is offered:  # saves a large full mesh most of the time spent here
            return offers.copy()
        return {node.key: offers[node.key] for node in picked if node.key in offers}
