"""Which peers are wanted: what the topology selects from those that are known, or missed.

A selection takes time in proportion to the roster. So selections are limited to a small share of
the time, and so are the changes of one node. In a small cluster, and after a pause in any, every
change counts at once.
"""

from __future__ import annotations

from math import inf
from operator import attrgetter

from cluster_kit.abc import Topology
from cluster_kit.membership.deadlines import Deadlines
from cluster_kit.membership.peer import NO_OFFER, Offer, Peer, Peers
from cluster_kit.node import Node
from cluster_kit.rate_limit import RateLimit

INTERVAL_S = 0.25  # between two changes of one node, if that goes on
BURST = 4  # changes in a row without a wait
# Each selection is paid for with this time for each node on offer, hundreds of times what it takes;
# but with MAX_WAIT_S at most, so that even in a huge cluster a newcomer is dialled soon.
NODE_S = 250e-6
MAX_WAIT_S = 0.25
AHEAD_S = 0.5  # this much may be owed before a selection has to wait


class TopologyError(Exception):
    """The topology could not select: it raised the cause of this error, or returned no nodes."""


class Selection:
    """Keeps what the topology is offered, and what it selects from that."""

    def __init__(self, peers: Peers, topology: Topology) -> None:
        self._peers = peers
        self._topology = topology
        self._known: set[Node] = set()  # all on offer, as the topology gets them
        self._missed: set[Node] = set()
        self._stale = True  # whether the offer has changed since the last selection
        self._touched: set[str] = set()  # whose offer has changed since then
        self._changed: set[str] = set()  # whose offer has changed since ``take_changed``
        self._selects_all = False  # whether all on offer were selected then
        self._paid_s = -inf  # when the selections so far are paid for
        self._rate = RateLimit(INTERVAL_S)
        self._due = Deadlines(peers)  # exactly those with a ``late_offer``

    def offer(self, peer: Peer, now_s: float, *, known: Node | None, missed: Node | None) -> None:
        """Offer a node as one that is known, as one that is only missed, or not at all.

        A node that comes or goes counts at once; any other change counts soon.
        """
        if peer.late_offer is not None:
            peer.late_offer = None
            self._due.discard(peer.key)
        before, now = peer.offer, Offer(known, missed)
        if before == now:
            return
        if (before.known is None, before.missed is None) != (known is None, missed is None):
            self._replace(peer, now)
            return
        at_s = self._rate.at_s(peer.offer_paid_s, now_s, BURST)
        if at_s > now_s:
            peer.late_offer = now
            self._due.set(peer.key, at_s)
        else:
            self._replace(peer, now)
            peer.offer_paid_s = self._rate.charge(peer.offer_paid_s, now_s)

    def tick(self, now_s: float) -> None:
        """Apply the changes that have waited for long enough."""
        for key in self._due.pop_due(now_s):
            peer = self._peers[key]
            offer, peer.late_offer = peer.late_offer, None
            if offer is not None:
                self._replace(peer, offer)
                peer.offer_paid_s = self._rate.charge(peer.offer_paid_s, now_s)

    def next_s(self) -> float | None:
        """Return when ``tick`` or ``update`` next has something to do."""
        late_s = self._due.next_s()
        if not self._stale:
            return late_s
        at_s = self._paid_s - AHEAD_S
        return at_s if late_s is None else min(late_s, at_s)

    def take_changed(self) -> set[str]:
        """Return the keys of the peers whose offer has changed since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def reconsider(self) -> None:
        """Select again although the offer is the same."""
        self._stale = True

    def update(self, local: Node, now_s: float) -> list[Peer]:
        """Decide which peers are wanted; return those for which that has changed, by key.

        A node that is no longer on offer is unwanted at once. A new one may have to wait a moment.
        """
        if self._stale and now_s >= self._paid_s - AHEAD_S:
            size = len(self._known) + len(self._missed)
            self._paid_s = max(now_s, self._paid_s) + min(size * NODE_S, MAX_WAIT_S)
            try:
                changed = self._select(local)
            except BaseException as exc:
                raise TopologyError from exc
            self._stale = False
            self._touched.clear()
        else:
            touched = (self._peers[key] for key in self._touched)
            changed = [peer for peer in touched if peer.wanted and not any(peer.offer)]
        for peer in changed:
            peer.wanted = not peer.wanted
        return sorted(changed, key=attrgetter("key"))

    def _select(self, local: Node) -> list[Peer]:
        """Return the peers whose ``wanted`` is to change.

        The topology selects among the known peers, as all other nodes do. A missed peer is wanted
        if it would be selected, were it known; that takes a second selection, among all of them.
        """
        known = frozenset(self._known)
        all_nodes = known | self._missed if self._missed else known
        selected = self._topology.select(local, known)
        selected_too = self._topology.select(local, all_nodes) if self._missed else selected
        selected_all = self._selects_all
        self._selects_all = selected is known and selected_too is all_nodes
        # As in a full mesh. There, every node on offer is wanted, so only those whose offer has
        # changed are looked at: with thousands of nodes, one more must cost little.
        if self._selects_all:
            touched = (self._peers[key] for key in self._touched)
            candidates = touched if selected_all else self._peers.values()
            return [peer for peer in candidates if peer.wanted != any(peer.offer)]
        wanted = {node.key for node in selected if self._offer_of(node).known}
        wanted |= {node.key for node in selected_too if self._offer_of(node).missed}
        return [peer for peer in self._peers.values() if peer.wanted != (peer.key in wanted)]

    def _offer_of(self, node: Node) -> Offer:
        """Return the offer of a selected node, none if the topology has made it up."""
        peer = self._peers.get(node.key)
        return NO_OFFER if peer is None else peer.offer

    def _replace(self, peer: Peer, offer: Offer) -> None:
        before, peer.offer = peer.offer, offer
        _swap(self._known, before.known, offer.known)
        _swap(self._missed, before.missed, offer.missed)
        self._stale = True
        self._touched.add(peer.key)
        self._changed.add(peer.key)


def _swap(nodes: set[Node], before: Node | None, now: Node | None) -> None:
    if before is not None:
        nodes.discard(before)
    if now is not None:
        nodes.add(now)
