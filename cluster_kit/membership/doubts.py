"""What contradicts something that was told before: a link after a goodbye, and a goodbye of a peer
that is linked.

Either may have been under way for a while, and is settled soon: the link ends, or it doesn't. A
goodbye that discovery alone has heard of may also be forged.
"""

from __future__ import annotations

from cluster_kit.abc import Gone
from cluster_kit.membership.deadlines import Deadlines
from cluster_kit.membership.departures import BELATED_S
from cluster_kit.membership.merge import same_run
from cluster_kit.membership.peer import Peer, Peers
from cluster_kit.node import Node

# a link over which nothing comes any more is down by then: more than the usual ``silent_s``
HELD_S = 5.0


class Doubts:
    """Keeps the latest link that is doubted for each peer, and the latest goodbye for each peer and
    source.
    """

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._admitted_at_s = Deadlines(peers)  # exactly those of the doubted links
        self._held_until_s = Deadlines(peers)  # the latest ones of the goodbyes

    def doubt_link(self, node: Node, now_s: float) -> None:
        """Take in that a link has come up to a run that said goodbye: one that is about to end."""
        peer = self._peers[node.key]
        peer.doubted = node
        peer.doubted_leaving = False
        self._admitted_at_s.set(node.key, now_s + BELATED_S)

    def update_link(self, node: Node) -> None:
        """Take in how the peer of a doubted link introduces itself now."""
        if peer := self._doubted(node):
            peer.doubted = node

    def mark_leaving(self, node: Node) -> None:
        """Take in that the peer of a doubted link is about to leave."""
        if peer := self._doubted(node):
            peer.doubted_leaving = True

    def drop_link(self, node: Node) -> None:
        """Take in that a doubted link is down."""
        if self._doubted(node):
            self.settle_link(node.key)

    def settle_link(self, key: str) -> None:
        """Doubt no link to ``key`` any more, if one was doubted."""
        peer = self._peers[key]
        peer.doubted = None
        peer.doubted_leaving = False
        self._admitted_at_s.discard(key)

    def links_that_last(self, now_s: float) -> list[tuple[Node, bool]]:
        """Return the peers whose links are not about to end after all, each with whether it is
        leaving; doubt these no more.
        """
        lasting = []
        for key in self._admitted_at_s.pop_due(now_s):
            peer = self._peers[key]
            if peer.doubted is not None:
                lasting.append((peer.doubted, peer.doubted_leaving))
            self.settle_link(key)
        return lasting

    def hold_goodbye(self, key: str, source: str, goodbye: Gone, now_s: float) -> None:
        """Keep what a source has heard of a linked peer, until its link is down, or for
        ``HELD_S``.
        """
        self._peers[key].goodbyes[source] = goodbye, now_s + HELD_S
        self._held_until_s.set(key, now_s + HELD_S)

    def take_goodbyes(self, key: str, now_s: float) -> list[tuple[str, Gone]]:
        """Return the goodbyes that are held for ``key``, each with its source, and hold them no
        longer.
        """
        peer = self._peers[key]
        held, peer.goodbyes = peer.goodbyes, {}
        self._held_until_s.discard(key)
        return [
            (source, goodbye)
            for source, (goodbye, until_s) in sorted(held.items())
            if until_s > now_s
        ]

    def forget_goodbyes(self, now_s: float) -> None:
        """Forget the goodbyes of those whose link has lasted."""
        for key in self._held_until_s.pop_due(now_s):
            self._peers[key].goodbyes.clear()

    def next_s(self) -> float | None:
        """Return when ``links_that_last`` next has something to return."""
        return self._admitted_at_s.next_s()

    def _doubted(self, node: Node) -> Peer | None:
        """Return the peer if the link to this run of it is doubted."""
        peer = self._peers.get(node.key)
        if peer is None or peer.doubted is None or not same_run(node, peer.doubted):
            return None
        return peer
