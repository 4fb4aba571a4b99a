"""The events that say what has become of the nodes.

Whatever is reported, and in whatever order, found and lost, up and down alternate for each key: an
event is the difference between what the application knows and how things stand. That also bounds
the number of events. Where a node changes all the time, or any number of nodes come and go, changes
are held back for a while: states in between are left out, the last one never is. A link that broke
in the meantime is reported even if it is up again.
"""

from __future__ import annotations

from math import inf

from cluster_kit.events import (
    Event,
    NodeDown,
    NodeFound,
    NodeLeaving,
    NodeLost,
    NodeUp,
    NodeUpdated,
    Reason,
)
from cluster_kit.membership.deadlines import Deadlines
from cluster_kit.membership.merge import is_older
from cluster_kit.membership.peer import Peer, Peers, PeerStatus
from cluster_kit.membership.rate_limit import RateLimit
from cluster_kit.node import Node

INTERVAL_S = 0.25  # between two reports about one node, at the steady rate
BURST = 8  # reports about one node without a wait: it may restart at once
UPDATES = 4  # of these for updates, so that a node that floods us with them still goes down at once
TOTAL_INTERVAL_S = 0.0005  # between two reports in all, at the steady rate


class Notifier:
    """What the application knows of one topology, and the events that are still to come.

    Args:
        topology: Its name.
        burst: How many reports about nodes may come without a wait.

    """

    def __init__(self, peers: Peers, topology: str, burst: int) -> None:
        self._peers = peers
        self._topology = topology
        self._events: list[Event] = []
        self._now_s = 0.0
        self._burst = burst
        self._rate = RateLimit(INTERVAL_S)
        self._total_rate = RateLimit(TOTAL_INTERVAL_S)
        self._total_paid_s = -inf
        self._due = Deadlines(peers)  # exactly those held

    @property
    def known(self) -> dict[str, Node]:
        """The known nodes by key, as of the events so far."""
        return {key: node for key, peer in self._peers.items() if (node := peer.reported_known)}

    @property
    def up(self) -> dict[str, Node]:
        """The linked nodes by key, as of the events so far."""
        return {key: node for key, peer in self._peers.items() if (node := peer.reported_up)}

    def take(self) -> list[Event]:
        """Return the events since the last call, unnumbered."""
        self.tick(self._now_s)
        events, self._events = self._events, []
        return events

    def tick(self, now_s: float) -> None:
        """Report what has been held back for long enough."""
        self._now_s = now_s
        room = self._total_rate.room(self._total_paid_s, now_s, self._burst)
        for key in self._due.pop_due(now_s, room):
            peer = self._peers[key]
            state, peer.held = peer.held, None
            if state is not None:
                self._tell(peer, state)

    def next_s(self) -> float | None:
        """Return when ``tick`` next has something to report."""
        due_s = self._due.next_s()
        if due_s is None:
            return None
        return max(due_s, self._total_rate.at_s(self._total_paid_s, self._now_s, self._burst))

    def assume(self, node: Node) -> None:
        """Assume that the application knows ``node`` from elsewhere."""
        self._peers[node.key].reported_known = node

    def show(
        self,
        key: str,
        *,
        known: Node | None,
        up: Node | None,
        leaving: bool,
        reason: Reason,
        lost: Node | None = None,
    ) -> None:
        """Report what is new about a node, now or later.

        Args:
            key: Of the node.
            known: The node as discovery knows it, if it does.
            up: The node as it is linked, if it is. It differs from ``known`` only until the
                connector has heard of a change.
            leaving: Whether it is about to leave.
            reason: Why it is no longer known or up, if it isn't.
            lost: The node as discovery knew it, if it has just lost it. That may be a newer run
                than the application knows of, which then was replaced.
        """
        peer = self._peers[key]
        shown = peer.reported_known
        was_replaced = lost is not None and shown is not None and is_older(shown, lost)
        broke = reason if up is None and peer.reported_up else None
        state = PeerStatus(known, up, Reason.REPLACED if was_replaced else reason, broke, leaving)
        if peer.held is not None:
            state = state.after(peer.held)
            peer.held = None
            self._due.discard(key)
        if not leaving:
            peer.reported_leaving = False
        turned = bool(
            state.broke
            or (leaving and not peer.reported_leaving)
            or (known is None) != (peer.reported_known is None)
            or (up is None) != (peer.reported_up is None)
        )
        at_s = self._rate.at_s(peer.report_paid_s, self._now_s, BURST if turned else UPDATES)
        if turned and at_s <= self._now_s and self._has_room():
            self._tell(peer, state)
        elif turned or _is_outdated(peer, state):
            peer.held = state
            self._due.set(key, at_s)

    def down(self, key: str, reason: Reason) -> None:
        """Report that the link is down, if it was up."""
        peer = self._peers[key]
        known = peer.held.known if peer.held else peer.reported_known
        self.show(key, known=known, up=None, leaving=False, reason=reason)

    def _has_room(self) -> bool:
        return self._total_rate.room(self._total_paid_s, self._now_s, self._burst) > 0

    def _tell(self, peer: Peer, state: PeerStatus) -> None:
        known, up, now = state.known, state.up, state.shown
        if state.broke is not None and peer.reported_up is not None:
            self._events.append(
                NodeDown(topology=self._topology, node=peer.reported_up, reason=state.broke)
            )
            peer.reported_up = None
        if known is None and peer.reported_known is not None:
            self._events.append(
                NodeLost(topology=self._topology, node=peer.reported_known, reason=state.lost)
            )
            peer.reported_known = None
        if known is not None and peer.reported_known is None:
            peer.reported_known = known
            self._events.append(NodeFound(topology=self._topology, node=known))
        if up is not None and peer.reported_up is None:
            _describe(peer, up)
            peer.reported_up = up
            self._events.append(NodeUp(topology=self._topology, node=up))
        elif now is not None and _is_outdated(peer, state):
            _describe(peer, now)
            self._events.append(NodeUpdated(topology=self._topology, node=now))
        if now is not None and state.leaving and not peer.reported_leaving:
            peer.reported_leaving = True
            self._events.append(NodeLeaving(topology=self._topology, node=now))
        peer.report_paid_s = self._rate.took(peer.report_paid_s, self._now_s)
        self._total_paid_s = self._total_rate.took(self._total_paid_s, self._now_s)


def _is_outdated(peer: Peer, state: PeerStatus) -> bool:
    """Whether the application sees the node otherwise than it is, and it is the same in both
    views.
    """
    now = state.shown
    if now is None or state.known not in (None, now):
        return False
    reported = peer.reported_known or now, peer.reported_up or now
    return reported != (now, now)  # by pairs, as these compare an object with itself at once


def _describe(peer: Peer, node: Node) -> None:
    """Note that the application sees the node as it is now wherever it sees it."""
    if peer.reported_known is not None:
        peer.reported_known = node
    if peer.reported_up is not None:
        peer.reported_up = node
