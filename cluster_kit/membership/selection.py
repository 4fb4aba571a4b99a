"""Whom to be linked to: what the topology picks from those known, and from those missed.

Working that out takes time in proportion to the roster. So a node that changes all the time is
offered anew only now and then; and where hundreds of nodes come one by one, the wish is not worked
out for each of them. In a small cluster, and after a pause in any, that happens at once.
"""

from __future__ import annotations

from math import inf

from cluster_kit.abc import Topology
from cluster_kit.membership.deadlines import Deadlines
from cluster_kit.membership.peer import NO_OFFER, Offer, Peer, Peers
from cluster_kit.membership.rate_limit import RateLimit
from cluster_kit.node import Node

INTERVAL_S = 0.25  # between two changes of one node, if that goes on
BURST = 4  # changes in a row without a wait
# between two workings-out, for each node on offer: hundreds of times what that takes
NODE_S = 250e-6
MAX_WAIT_S = 0.25  # between two workings-out, however many nodes there are
AHEAD_S = 0.5  # workings-out that take up no more than this are done without a wait


class TopologyError(Exception):
    """The topology could not pick anybody: it raised the cause of this error, or picked no
    nodes.
    """


class Selection:
    """What the topology is offered, and what it picks from that.

    Attributes:
        changed: The keys of those whose offer has changed; for the owner to clear.
    """

    def __init__(self, peers: Peers, topology: Topology) -> None:
        self.changed: set[str] = set()
        self._peers = peers
        self._topology = topology
        self._known: set[Node] = set()  # all on offer, as the topology gets them
        self._missed: set[Node] = set()
        self._stale = True
        self._touched: set[str] = set()  # whose offer has changed since the last working-out
        self._is_everybody = False  # whether all on offer were picked then
        self._paid_until_s = -inf  # for the workings-out so far
        self._now_s = 0.0
        self._rate = RateLimit(INTERVAL_S)
        self._due = Deadlines(peers)  # exactly those late

    def offer(self, key: str, *, known: Node | None, missed: Node | None) -> None:
        """Offer a node as one that is known, as one that is only missed, or not at all.

        A node that comes or goes counts at once; a change of any other counts soon.
        """
        peer = self._peers[key]
        if peer.late_offer is not None:
            peer.late_offer = None
            self._due.discard(key)
        before, now = peer.offer, Offer(known, missed)
        if before == now:
            return
        stays = (before.known is None) == (known is None) and (before.missed is None) == (
            missed is None
        )
        if stays and (at_s := self._rate.at_s(peer.offer_paid_s, self._now_s, BURST)) > self._now_s:
            peer.late_offer = now
            self._due.set(key, at_s)
            return
        self._replace(peer, now)
        if stays:
            peer.offer_paid_s = self._rate.took(peer.offer_paid_s, self._now_s)

    def tick(self, now_s: float) -> None:
        """Make the changes that have waited for long enough."""
        self._now_s = now_s
        for key in self._due.pop_due(now_s):
            peer = self._peers[key]
            offer, peer.late_offer = peer.late_offer, None
            if offer is not None:
                self._replace(peer, offer)
                peer.offer_paid_s = self._rate.took(peer.offer_paid_s, now_s)

    def next_s(self) -> float | None:
        """Return when ``tick`` or ``update`` next has something to do."""
        late_s = self._due.next_s()
        if not self._stale:
            return late_s
        at_s = self._paid_until_s - AHEAD_S
        return at_s if late_s is None else min(late_s, at_s)

    def reconsider(self) -> None:
        """Have the wish worked out again although the offer is the same."""
        self._stale = True

    def update(self, local: Node, now_s: float) -> list[str]:
        """Decide who is wanted, and return of whom that has changed, by key.

        Who is new may have to wait for a moment. Who is no longer on offer is not wanted any more
        at once.
        """
        if self._stale and now_s >= self._paid_until_s - AHEAD_S:
            size = len(self._known) + len(self._missed)
            self._paid_until_s = max(now_s, self._paid_until_s) + min(size * NODE_S, MAX_WAIT_S)
            try:
                changed = self._work_out(local)
            except BaseException as exc:
                raise TopologyError from exc
            self._stale = False
            self._touched.clear()
        else:
            touched = (self._peers[key] for key in self._touched)
            changed = [peer for peer in touched if peer.wanted and not any(peer.offer)]
        for peer in changed:
            peer.wanted = not peer.wanted
        return sorted(peer.key for peer in changed)

    def _work_out(self, local: Node) -> list[Peer]:
        """Return those of whom it changes whether they are wanted.

        Wanted are those of the known who are picked, and those of the missed who would be, were
        they known.
        """
        known = frozenset(self._known)
        everybody = known | self._missed if self._missed else known
        picked = self._topology.select(local, known)
        picked_too = self._topology.select(local, everybody) if self._missed else picked
        was_everybody = self._is_everybody
        self._is_everybody = picked is known and picked_too is everybody
        # as in a full mesh: with thousands of nodes, one more is to cost little
        if self._is_everybody:
            those = (
                [self._peers[key] for key in self._touched]
                if was_everybody
                else self._peers.values()
            )
            return [peer for peer in those if peer.wanted != any(peer.offer)]
        wanted = {node.key for node in picked if self._offer_of(node).known}
        wanted |= {node.key for node in picked_too if self._offer_of(node).missed}
        return [peer for peer in self._peers.values() if peer.wanted != (peer.key in wanted)]

    def _offer_of(self, node: Node) -> Offer:
        """Return what is on offer by the key of a node; a topology may return one that it has made
        up.
        """
        peer = self._peers.get(node.key)
        return NO_OFFER if peer is None else peer.offer

    def _replace(self, peer: Peer, offer: Offer) -> None:
        before, peer.offer = peer.offer, offer
        _swap(self._known, before.known, offer.known)
        _swap(self._missed, before.missed, offer.missed)
        self._stale = True
        self._touched.add(peer.key)
        self.changed.add(peer.key)


def _swap(nodes: set[Node], before: Node | None, now: Node | None) -> None:
    if before is not None:
        nodes.discard(before)
    if now is not None:
        nodes.add(now)
