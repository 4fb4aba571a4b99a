"""The events that tell the application what has become of the nodes.

An event is the difference between what the application knows and the state of a peer. So found and
lost, and up and down, alternate for each key, whatever the order in which changes arrive; a state
that does not last produces no event.

Events are limited per peer and in total. Where a node changes all the time, or any number of nodes
come and go, changes are held back for a while. States in between are left out, but the last one
never is, and a link that broke meanwhile is reported even if it is up again.
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
from cluster_kit.membership.peer import Peer, Peers, PeerStatus
from cluster_kit.node import Node, is_earlier_run
from cluster_kit.rate_limit import RateLimit

INTERVAL_S = 0.25  # between two reports about one node, at the steady rate
BURST = 8  # reports about one node without a wait: it may restart at once
UPDATES = 4  # of these for updates, so that a node that floods us with them still goes down at once
TOTAL_INTERVAL_S = 0.0005  # between two reports in all, at the steady rate


class Notifier:
    """Keeps what the application knows about the peers, and the events that are still to come.

    Args:
        peers: The records of the peers.
        topology: The topology's name, for the events.
        burst: How many reports about nodes may come without a wait.
    """

    def __init__(self, peers: Peers, topology: str, burst: int) -> None:
        self._peers = peers
        self._topology = topology
        self._events: list[Event] = []
        self._burst = burst
        self._rate = RateLimit(INTERVAL_S)
        self._total_rate = RateLimit(TOTAL_INTERVAL_S)
        self._total_paid_s = -inf
        self._due = Deadlines(peers)  # exactly those with a status that is ``held``

    def take(self, now_s: float) -> list[Event]:
        """Return the events since the last call, with those that were held back until now."""
        for key in self._due.pop_due(now_s, self._room(now_s)):
            peer = self._peers[key]
            status, peer.held = peer.held, None
            if status is not None:
                self._report(peer, status, now_s)
        events, self._events = self._events, []
        return events

    def next_s(self) -> float | None:
        """Return when ``take`` next returns something that is held back now."""
        due_s = self._due.next_s()
        if due_s is None:
            return None
        return self._total_rate.at_s(self._total_paid_s, due_s, self._burst)

    def assume(self, node: Node) -> None:
        """Assume that the application knows ``node`` from the previous worker."""
        self._peers[node.key].reported_known = node

    def show(
        self,
        peer: Peer,
        now_s: float,
        *,
        known: Node | None,
        up: Node | None,
        leaving: bool,
        reason: Reason,
        lost: Node | None = None,
    ) -> None:
        """Report what is new about a node, now or later.

        Args:
            peer: The record of the node.
            now_s: The time.
            known: The node as discovery knows it, if it does.
            up: The node as it is linked, if it is. It differs from ``known`` only until the
                connector has learned of a change.
            leaving: Whether it is about to leave.
            reason: Why it is no longer known or up, if it isn't.
            lost: The node as discovery knew it, if it has just lost it. That may be another run
                than the one that the application knows, which was replaced, then.
        """
        broke = reason if up is None and peer.reported_up else None
        if lost is not None and _was_replaced(peer.reported_known, lost, reason):
            reason = Reason.REPLACED
        status = PeerStatus(known, up, reason, broke, leaving)
        if peer.held is not None:
            status = status.after(peer.held)
            peer.held = None
            self._due.discard(peer.key)
        if not leaving:
            peer.reported_leaving = False
        turned = _has_turned(peer, status)
        at_s = self._rate.at_s(peer.report_paid_s, now_s, BURST if turned else UPDATES)
        if turned and at_s <= now_s and self._room(now_s) > 0:
            self._report(peer, status, now_s)
        elif turned or _is_outdated(peer, status):  # updates wait for ``take``, to be merged
            peer.held = status
            self._due.set(peer.key, at_s)

    def down(self, peer: Peer, reason: Reason, now_s: float) -> None:
        """Report that the link is down, if it was up."""
        known = peer.held.known if peer.held else peer.reported_known
        self.show(peer, now_s, known=known, up=None, leaving=False, reason=reason)

    def _room(self, now_s: float) -> int:
        return self._total_rate.room(self._total_paid_s, now_s, self._burst)

    def _report(self, peer: Peer, status: PeerStatus, now_s: float) -> None:
        """Add the events that lead from what the application knows to ``status``."""
        topology, add = self._topology, self._events.append
        known, up, shown = status.known, status.up, status.shown
        if status.broke is not None and peer.reported_up is not None:
            add(NodeDown(topology=topology, node=peer.reported_up, reason=status.broke))
            peer.reported_up = None
        if known is None and peer.reported_known is not None:
            add(NodeLost(topology=topology, node=peer.reported_known, reason=status.lost))
            peer.reported_known = None
        if known is not None and peer.reported_known is None:
            peer.reported_known = known
            add(NodeFound(topology=topology, node=known))
        if up is not None and peer.reported_up is None:
            _describe(peer, up)
            peer.reported_up = up
            add(NodeUp(topology=topology, node=up))
        elif shown is not None and _is_outdated(peer, status):
            _describe(peer, shown)
            add(NodeUpdated(topology=topology, node=shown))
        if shown is not None and status.leaving and not peer.reported_leaving:
            peer.reported_leaving = True
            add(NodeLeaving(topology=topology, node=shown))
        peer.report_paid_s = self._rate.charge(peer.report_paid_s, now_s)
        self._total_paid_s = self._total_rate.charge(self._total_paid_s, now_s)


def _was_replaced(reported: Node | None, lost: Node, reason: Reason) -> bool:
    """Whether the run that discovery has lost had replaced the one that the application knows."""
    if reported is None:
        return False
    is_newer = is_earlier_run(reported, lost)
    # A goodbye is about one run only. The next may have an earlier boot if the clock was set back.
    return is_newer or (reason is Reason.LEFT and is_earlier_run(lost, reported))


def _has_turned(peer: Peer, status: PeerStatus) -> bool:
    """Whether more has changed than how the node is described."""
    return bool(
        status.broke
        or (status.leaving and not peer.reported_leaving)
        or (status.known is None) != (peer.reported_known is None)
        or (status.up is None) != (peer.reported_up is None)
    )


def _is_outdated(peer: Peer, status: PeerStatus) -> bool:
    """Whether the application has an outdated description of the node.

    Not if the known and the linked node differ: the connector is about to learn of a change, and
    one update follows then.
    """
    shown = status.shown
    if status.known not in (None, shown):
        return False
    reported = peer.reported_known or shown, peer.reported_up or shown
    return reported != (shown, shown)  # by pairs, as these compare an object with itself at once


def _describe(peer: Peer, node: Node) -> None:
    """Record that the application sees the node as it is now wherever it sees it."""
    if peer.reported_known is not None:
        peer.reported_known = node
    if peer.reported_up is not None:
        peer.reported_up = node
