"""The events that say what has become of the nodes.

Whatever is reported, and in whatever order, found and lost, up and down alternate for each key: an
event is the difference between what the application knows and how things stand. That also bounds the
number of events. Where a node changes all the time, or any number of nodes come and go, changes are
held back for a while: states in between are left out, the last one never is. A link that broke in the
meantime is reported even if it is up again.
"""

from __future__ import annotations

from dataclasses import dataclass

from cluster_kit.events import Event, NodeDown, NodeFound, NodeLeaving, NodeLost, NodeUp, NodeUpdated, Reason
from cluster_kit.membership.deadlines import Deadlines
from cluster_kit.membership.merge import is_older
from cluster_kit.membership.pace import Pace
from cluster_kit.node import Node

INTERVAL_S = 0.25  # between two reports about one node, at the steady rate
BURST = 8  # reports about one node without a wait: it may restart at once
UPDATES = 4  # of these for updates, so that a node that floods us with them still goes down at once
TOTAL_INTERVAL_S = 0.0005  # between two reports in all, at the steady rate

_ALL = ""


@dataclass(slots=True)
class _State:
    """How things stand with one node.

    Attributes:
        known: The node as discovery knows it, if it does.
        up: The node as it is linked, if it is.
        lost: Why it is not known, if it isn't.
        broke: Why the link that the application knows of went down, if it did.
        leaving: Whether it is about to leave.
    """

    known: Node | None
    up: Node | None
    lost: Reason
    broke: Reason | None
    leaving: bool

    @property
    def shown(self) -> Node | None:
        """The node as it is to be shown."""
        return self.up or self.known

    def after(self, held: _State) -> _State:
        """Return the same where ``held`` was held back: what happened then still counts."""
        broke = held.broke if self.up or held.up is None else self.broke
        lost = held.lost if self.known is None and held.known is None else self.lost
        return _State(self.known, self.up, lost, broke, self.leaving)


class News:
    """What the application knows of one topology, and the events that are still to come.

    Args:
        topology: Its name.
        burst: How many reports about nodes may come without a wait.

    Attributes:
        known: The known nodes by key, as of the events so far.
        up: The linked nodes by key, as of the events so far.
    """

    def __init__(self, topology: str, burst: int) -> None:
        self.known: dict[str, Node] = {}
        self.up: dict[str, Node] = {}
        self._topology = topology
        self._leaving: set[str] = set()  # by key, of whom the application knows that they are about to leave
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
        """Report what has been held back for long enough."""
        self._now_s = now_s
        for key in self._due.pop_due(now_s, self._total.room(_ALL, now_s, self._burst)):
            self._tell(key, self._held.pop(key))

    def next_s(self) -> float | None:
        """Return when ``tick`` next has something to report."""
        due_s = self._due.next_s()
        return None if due_s is None else max(due_s, self._total.at_s(_ALL, self._now_s, self._burst))

    def assume(self, node: Node) -> None:
        """Assume that the application knows ``node`` from elsewhere."""
        self.known[node.key] = node

    def show(
        self, key: str, *, known: Node | None, up: Node | None, leaving: bool, reason: Reason, lost: Node | None = None
    ) -> None:
        """Report what is new about a node, now or later.

        Args:
            key: Of the node.
            known: The node as discovery knows it, if it does.
            up: The node as it is linked, if it is. It differs from ``known`` only until the
                connector has heard of a change.
            leaving: Whether it is about to leave.
            reason: Why it is no longer known or up, if it isn't.
            lost: The node as discovery knew it, if it has just lost it. That may be a newer run than the
                application knows of, which then was replaced.
        """
        shown = self.known.get(key)
        was_replaced = lost is not None and shown is not None and is_older(shown, lost)
        broke = reason if up is None and key in self.up else None
        state = _State(known, up, Reason.REPLACED if was_replaced else reason, broke, leaving)
        if key in self._held:
            state = state.after(self._held.pop(key))
            self._due.discard(key)
        if not leaving:
            self._leaving.discard(key)
        turned = bool(
            state.broke
            or (leaving and key not in self._leaving)
            or (known is None) == (key in self.known)
            or (up is None) == (key in self.up)
        )
        at_s = self._pace.at_s(key, self._now_s, BURST if turned else UPDATES)
        if turned and at_s <= self._now_s and self._total.room(_ALL, self._now_s, self._burst):
            self._tell(key, state)
        elif turned or self._is_outdated(key, state):
            self._held[key] = state
            self._due.set(key, at_s)

    def down(self, key: str, reason: Reason) -> None:
        """Report that the link is down, if it was up."""
        held = self._held.get(key)
        self.show(key, known=held.known if held else self.known.get(key), up=None, leaving=False, reason=reason)

    def _is_outdated(self, key: str, state: _State) -> bool:
        """Whether the node is shown otherwise than it is, and is the same in both views."""
        now = state.shown
        if now is None or state.known not in (None, now):
            return False
        shown = self.known.get(key, now), self.up.get(key, now)
        return shown != (now, now)  # by pairs, as these compare an object with itself at once

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
        if now is not None and state.leaving and key not in self._leaving:
            self._leaving.add(key)
            self._events.append(NodeLeaving(topology=self._topology, node=now))
        self._pace.took(key, self._now_s)
        self._total.took(_ALL, self._now_s)

    def _describe(self, node: Node) -> None:
        for view in (self.known, self.up):
            if node.key in view:
                view[node.key] = node
