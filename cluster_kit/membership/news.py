"""The events that tell what has become of the nodes.

Whatever is reported, and in whatever order, found and lost, up and down alternate for each key: an event is made of the
difference to what was told before. That also bounds the number of events: of a node that changes all the time some states
are left out, never the last one, and so with any number of nodes that come and go. A link that broke is told of even if it is
up again by then.
"""

from __future__ import annotations

from dataclasses import dataclass

from cluster_kit.events import Event, NodeDown, NodeFound, NodeLeaving, NodeLost, NodeUp, NodeUpdated, Reason
from cluster_kit.membership.deadlines import Deadlines
from cluster_kit.membership.pace import Pace
from cluster_kit.node import Node

INTERVAL_S = 0.25  # between two times that the application is told about one node, if that goes on
BURST = 8  # times in a row without a wait: a node that restarts at once
UPDATES = 4  # of these for mere updates, so that one that floods us with them can still go down at once
TOTAL_INTERVAL_S = 0.0005  # between two times in all, if that goes on

_ALL = ""


@dataclass(slots=True)
class _State:
    """How things stand with one node.

    Attributes:
        known: The node as discovery knows it, if it does.
        up: The node as it is linked, if it is.
        lost: Why it is not known, if it isn't.
        broke: Why the link that the application knows of went down, if it did.
        leaving: The application has still to be told that it is about to leave.
    """

    known: Node | None
    up: Node | None
    lost: Reason
    broke: Reason | None
    leaving: bool = False

    @property
    def shown(self) -> Node | None:
        """The node as it is to be shown."""
        return self.up or self.known


class News:
    """What the application has been told of one topology, and what it is still to be told.

    Args:
        topology: Its name.
        burst: How many times in all it may be told of nodes without a wait.
    """

    def __init__(self, topology: str, burst: int) -> None:
        self.known: dict[str, Node] = {}
        self.up: dict[str, Node] = {}
        self._topology = topology
        self._events: list[Event] = []
        self._now_s = 0.0
        self._burst = burst
        self._pace = Pace(INTERVAL_S)
        self._total = Pace(TOTAL_INTERVAL_S)
        self._held: dict[str, _State] = {}
        self._due: Deadlines[str] = Deadlines()  # exactly those held

    def take(self) -> list[Event]:
        """Return the events since the last call, unnumbered."""
        self.tick(self._now_s)
        events, self._events = self._events, []
        return events

    def tick(self, now_s: float) -> None:
        """Tell what has been held back for long enough."""
        self._now_s = now_s
        for key in self._due.pop_due(now_s, self._total.room(_ALL, now_s, self._burst)):
            self._tell(key, self._held.pop(key))

    def next_s(self) -> float | None:
        """Return when ``tick`` next has something to tell."""
        due_s = self._due.next_s()
        return None if due_s is None else max(due_s, self._total.at_s(_ALL, self._now_s, self._burst))

    def assume(self, node: Node) -> None:
        """Take it that the application has been told of ``node`` by somebody else."""
        self.known[node.key] = node

    def show(self, key: str, *, known: Node | None, up: Node | None, reason: Reason) -> None:
        """Tell what is new about a node, now or later.

        Args:
            key: Of the node.
            known: The node as discovery knows it, if it does.
            up: The node as it is linked, if it is. It differs from ``known`` only until the connector knows of a change.
            reason: Why it is no longer known or up, if it isn't.
        """
        state = self._state(key, known, up, reason)
        turned = bool(
            state.broke or state.leaving or (known is None) == (key in self.known) or (up is None) == (key in self.up)
        )
        at_s = self._pace.at_s(key, self._now_s, BURST if turned else UPDATES)
        if turned and at_s <= self._now_s and self._total.room(_ALL, self._now_s, self._burst):
            self._due.discard(key)
            self._tell(key, state)
        elif turned or self._is_outdated(key, state):
            self._held[key] = state
            self._due.set(key, at_s)
        else:
            self._due.discard(key)

    def down(self, key: str, reason: Reason) -> None:
        """Tell that the link is down, if it was up."""
        held = self._held.get(key)
        self.show(key, known=held.known if held else self.known.get(key), up=None, reason=reason)

    def leaving(self, node: Node) -> None:
        """Tell that ``node`` is about to leave."""
        if node.key in self._held:
            self._held[node.key].leaving = True
        else:
            self._events.append(NodeLeaving(topology=self._topology, node=node))

    def _state(self, key: str, known: Node | None, up: Node | None, reason: Reason) -> _State:
        """Return how things stand now; what happened while this was held back still counts."""
        broke = reason if up is None and key in self.up else None
        held = self._held.pop(key, None)
        if held is None:
            return _State(known, up, reason, broke)
        state = _State(known, up, reason, held.broke if up or held.up is None else broke)
        if known is None and held.known is None:
            state.lost = held.lost
        same_run = held.shown and state.shown and held.shown.boot_id == state.shown.boot_id
        state.leaving = bool(held.leaving and same_run)
        return state

    def _is_outdated(self, key: str, state: _State) -> bool:
        """Whether the node is shown otherwise than it is, and is the same in both views."""
        now = state.shown
        if now is None or state.known not in (None, now):
            return False
        return any(view.get(key, now) != now for view in (self.known, self.up))

    def _tell(self, key: str, state: _State) -> None:
        known, up, now = state.known, state.up, state.shown
        if state.broke is not None and key in self.up:
            self._events.append(NodeDown(topology=self._topology, node=self.up.pop(key), reason=state.broke))
        if known is None and key in self.known:
            self._events.append(NodeLost(topology=self._topology, node=self.known.pop(key), reason=state.lost))
        if known is not None and key not in self.known:
            self.known[key] = known
            self._events.append(NodeFound(topology=self._topology, node=known))
        if up is not None and key not in self.up:
            self.up[key] = up
            self._describe(up)
            self._events.append(NodeUp(topology=self._topology, node=up))
        elif now is not None and self._is_outdated(key, state):
            self._describe(now)
            self._events.append(NodeUpdated(topology=self._topology, node=now))
        if now is not None and state.leaving:
            self._events.append(NodeLeaving(topology=self._topology, node=now))
        self._pace.took(key, self._now_s)
        self._total.took(_ALL, self._now_s)

    def _describe(self, node: Node) -> None:
        for view in (self.known, self.up):
            if node.key in view:
                view[node.key] = node
