"""The nodes of one topology, as the sum of all events so far. Pure.

Events come in without a number and go out numbered, without a gap. A subscriber that applies them
in order always has the same ``known`` and ``up``. Not thread-safe: the event bus guards it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, NamedTuple

from cluster_kit.events import (
    Event,
    NodeDown,
    NodeFound,
    NodeLost,
    NodeUp,
    NodeUpdated,
    Reason,
    Snapshot,
)
from cluster_kit.node import Node, is_other_run

NodeState = Literal["up", "known"]

GONE_S = 60.0  # how long a view remembers departures: long enough for a person to see them
_MAX_GONE = 256


class Departure(NamedTuple):
    """A node that went: its link went down, or it was lost without ever being linked."""

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
        """Change the view as ``event`` says, and return the event with its number."""
        match event:
            case NodeFound(node=node):
                self.known[node.key] = node
                self.gone.pop(node.key, None)
            case NodeLost(node=node, reason=reason):
                self.known.pop(node.key, None)
                if node.key not in self.up and node.key not in self.gone:
                    self._remember(Departure(node, reason, event.t))
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
                self._remember(Departure(node, reason, event.t))
            case NodeUpdated(node=node):
                for nodes in (self.known, self.up):
                    if node.key in nodes:
                        nodes[node.key] = node
        self.seq += 1
        return replace(event, seq=self.seq)

    def _remember(self, departure: Departure) -> None:
        """Keep a departure, and forget those that are old or too many."""
        recent = [each for each in self.gone.values() if departure.t - each.t < GONE_S]
        kept = [*recent[-_MAX_GONE + 1 :], departure]
        self.gone = {each.node.key: each for each in kept}

    def all_down(self, reason: Reason, t: float) -> list[Event]:
        """Return the events, not applied yet, of losing every link at once."""
        name = self.topology
        return [NodeDown(topology=name, node=each, reason=reason, t=t) for each in _sorted(self.up)]

    def all_lost(self, reason: Reason, t: float) -> list[Event]:
        """Return the events, not applied yet, of forgetting every node at once."""
        nodes = _sorted(self.known)
        return [NodeLost(topology=self.topology, node=each, reason=reason, t=t) for each in nodes]

    def catch_up(self, known: Iterable[Node], up: Iterable[Node], t: float) -> list[Event]:
        """Return the events, not applied yet, that lead from this view to the one given."""
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
        reported = {node.key for node in linked}
        others = [each for each in _sorted(new_known | new_up) if each.key not in reported]
        changed = [node for node in others if self._shows_otherwise(node)]
        events += [NodeUpdated(topology=name, t=t, node=node) for node in changed]
        return events

    def _has_link(self, node: Node) -> bool:
        return node.key in self.up and not is_other_run(self.up[node.key], node)

    def _shows_otherwise(self, node: Node) -> bool:
        """Whether the view has the node with another address or other metadata."""
        shown = self.up.get(node.key) or self.known.get(node.key)
        return shown is not None and shown != node

    def snapshot(self, t: float) -> Snapshot:
        """Return the view as of the last number given out."""
        known, up = _sorted(self.known), _sorted(self.up)
        return Snapshot(topology=self.topology, seq=self.seq, t=t, known=known, up=up)


def _sorted(nodes: dict[str, Node]) -> tuple[Node, ...]:
    return tuple(nodes[key] for key in sorted(nodes))
