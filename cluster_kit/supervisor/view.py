"""What the supervisor knows of one topology: the view that its events add up to, and the numbering of those events.

Pure. Events come in unnumbered and go out numbered, without a gap; ``known`` and ``up`` are always what a subscriber has who
applied them in order. Not thread-safe: the event bus guards it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, NamedTuple

from cluster_kit.events import Event, NodeDown, NodeFound, NodeLost, NodeUp, NodeUpdated, Reason, Snapshot
from cluster_kit.node import Node, is_other_run

NodeState = Literal["up", "known"]

GONE_S = 60.0  # for so long the view tells who went: time enough to see it
_MOST_GONE = 256


class Departure(NamedTuple):
    """That a node went: its link went down, or nobody vouches any more for one that was never linked."""

    node: Node
    reason: Reason
    t: float


class TopologyView:
    """The known and the linked nodes of one topology, by key."""

    def __init__(self, topology: str) -> None:
        self.topology = topology
        self.known: dict[str, Node] = {}
        self.up: dict[str, Node] = {}
        self.up_since: dict[str, float] = {}
        self.gone: dict[str, Departure] = {}
        self.seq = 0

    def apply(self, event: Event) -> Event:
        """Take in ``event`` and return it with its number."""
        match event:
            case NodeFound(node=node):
                self.known[node.key] = node
                self.gone.pop(node.key, None)
            case NodeLost(node=node, reason=reason):
                self.known.pop(node.key, None)
                if node.key not in self.up and node.key not in self.gone:
                    self._went(Departure(node, reason, event.t))
            case NodeUp(node=node):
                self.gone.pop(node.key, None)
                self.up[node.key] = node
                self.up_since[node.key] = event.t
                if node.key in self.known:
                    self.known[node.key] = node
            case NodeDown(node=node, reason=reason):
                self.up.pop(node.key, None)
                self.up_since.pop(node.key, None)
                self.gone.pop(node.key, None)
                self._went(Departure(node, reason, event.t))
            case NodeUpdated(node=node):
                for nodes in (self.known, self.up):
                    if node.key in nodes:
                        nodes[node.key] = node
        self.seq += 1
        return replace(event, seq=self.seq)

    def _went(self, departure: Departure) -> None:
        """Keep the latest, and none for long."""
        recent = [each for each in self.gone.values() if departure.t - each.t < GONE_S][-_MOST_GONE + 1 :]
        self.gone = {each.node.key: each for each in [*recent, departure]}

    def all_down(self, reason: Reason, t: float) -> list[Event]:
        """Return the events, still to be applied, of losing every link at once."""
        return [NodeDown(topology=self.topology, node=node, reason=reason, t=t) for node in _sorted(self.up)]

    def all_lost(self, reason: Reason, t: float) -> list[Event]:
        """Return the events, still to be applied, of forgetting every node at once."""
        return [NodeLost(topology=self.topology, node=node, reason=reason, t=t) for node in _sorted(self.known)]

    def catch_up(self, known: Iterable[Node], up: Iterable[Node], t: float) -> list[Event]:
        """Return the events, still to be applied, that lead from this view to the one given."""
        new_known = {node.key: node for node in known}
        new_up = {node.key: node for node in up}
        name = self.topology
        events: list[Event] = []
        for node in _sorted(self.up):
            if node.key not in new_up:
                events.append(NodeDown(topology=name, t=t, node=node, reason=Reason.CLOSED))
            elif is_other_run(new_up[node.key], node):
                events.append(NodeDown(topology=name, t=t, node=node, reason=Reason.REPLACED))
        lost = [node for node in _sorted(self.known) if node.key not in new_known]
        events += [NodeLost(topology=name, t=t, node=node, reason=Reason.GONE) for node in lost]
        found = [node for node in _sorted(new_known) if node.key not in self.known]
        events += [NodeFound(topology=name, t=t, node=node) for node in found]
        linked = [node for node in _sorted(new_up) if not self._has_link(node)]
        events += [NodeUp(topology=name, t=t, node=node) for node in linked]
        told = {node.key for node in linked}
        changed = [node for node in _sorted(new_known | new_up) if node.key not in told and self._shows_otherwise(node)]
        events += [NodeUpdated(topology=name, t=t, node=node) for node in changed]
        return events

    def _has_link(self, node: Node) -> bool:
        return node.key in self.up and not is_other_run(self.up[node.key], node)

    def _shows_otherwise(self, node: Node) -> bool:
        shown = self.up.get(node.key) or self.known.get(node.key)
        return shown is not None and shown != node

    def snapshot(self, t: float) -> Snapshot:
        """Return how things stand as of the last number given out."""
        return Snapshot(topology=self.topology, seq=self.seq, t=t, known=_sorted(self.known), up=_sorted(self.up))


def _sorted(nodes: dict[str, Node]) -> tuple[Node, ...]:
    return tuple(nodes[key] for key in sorted(nodes))
