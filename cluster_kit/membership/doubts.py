"""Reports that contradict each other: a link after a goodbye, and a goodbye during a link.

Both cases usually have a harmless cause: one of the two reports was delayed. A short wait resolves
them.

*A link comes up to a run that has said goodbye.* Usually the dial was under way when the peer left,
and the link is about to end. The application should not see it come and go, so the link is
*doubted*. If it lasts for ``BELATED_S``, which is how long the goodbye itself counts, the goodbye
was forged, and the link is up.

*A source reports the goodbye of a peer whose link is up.* Usually the peer has left, and the link
is about to say so too. But if discovery is not authenticated, anybody can send that goodbye, and a
single forged packet must not cut a link. So the goodbye is *held* until the link goes down, for
``HELD_S`` at most. Goodbyes are held by peer and source, so forged ones cost bounded memory.
"""

from __future__ import annotations

from cluster_kit.abc import Gone
from cluster_kit.membership.deadlines import Deadlines
from cluster_kit.membership.departures import BELATED_S
from cluster_kit.membership.peer import Peer, Peers
from cluster_kit.node import Node, may_be_same_run

# More than the usual time after which a link is silent. A link to a peer that has left without a
# goodbye over it is down by then.
HELD_S = 5.0


class Doubts:
    """Keeps the doubted link of each peer, and the latest goodbye for each peer and source."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._admitted_at_s = Deadlines(peers)  # exactly those of the doubted links
        self._held_until_s = Deadlines(peers)  # the latest ones of the goodbyes

    # -- links -------------------------------------------------------------------------------------

    def doubt_link(self, node: Node, now_s: float) -> None:
        """Doubt a link that has come up to a run that said goodbye."""
        peer = self._peers[node.key]
        peer.doubted = node
        peer.doubted_leaving = False
        self._admitted_at_s.set(node.key, now_s + BELATED_S)

    def update_link(self, node: Node) -> None:
        """Record how the peer of a doubted link introduces itself now."""
        if peer := self._doubted(node):
            peer.doubted = node

    def mark_leaving(self, node: Node) -> None:
        """Record that the peer of a doubted link is about to leave."""
        if peer := self._doubted(node):
            peer.doubted_leaving = True

    def drop_link(self, node: Node) -> None:
        """Forget a doubted link that is down."""
        if peer := self._doubted(node):
            self.settle_link(peer)

    def settle_link(self, peer: Peer) -> None:
        """Stop doubting the link to a peer, if it was doubted."""
        peer.doubted = None
        peer.doubted_leaving = False
        self._admitted_at_s.discard(peer.key)

    def pop_lasting(self, now_s: float) -> list[tuple[Node, bool]]:
        """Stop doubting the links that have lasted; return their peers, and whether each leaves."""
        lasting = []
        for key in self._admitted_at_s.pop_due(now_s):
            peer = self._peers[key]
            if peer.doubted is not None:
                lasting.append((peer.doubted, peer.doubted_leaving))
            self.settle_link(peer)
        return lasting

    def next_s(self) -> float | None:
        """Return when ``pop_lasting`` next has something to return."""
        return self._admitted_at_s.next_s()

    def _doubted(self, node: Node) -> Peer | None:
        """Return the peer if the link to this run of it is doubted."""
        peer = self._peers.get(node.key)
        if peer is None or peer.doubted is None or not may_be_same_run(node, peer.doubted):
            return None
        return peer

    # -- goodbyes ----------------------------------------------------------------------------------

    def hold_goodbye(self, peer: Peer, source: str, goodbye: Gone, now_s: float) -> None:
        """Hold the goodbye of a linked peer that a source reports."""
        peer.goodbyes[source] = goodbye, now_s + HELD_S
        self._held_until_s.set(peer.key, now_s + HELD_S)

    def pop_goodbyes(self, peer: Peer, now_s: float) -> list[tuple[str, Gone]]:
        """Remove the goodbyes that are held for a peer; return those that count, by source."""
        held, peer.goodbyes = peer.goodbyes, {}
        self._held_until_s.discard(peer.key)
        in_order = sorted(held.items())
        return [(source, gone) for source, (gone, until_s) in in_order if until_s > now_s]

    def forget_goodbyes(self, now_s: float) -> None:
        """Forget the goodbyes to peers whose links have lasted."""
        for key in self._held_until_s.pop_due(now_s):
            self._peers[key].goodbyes.clear()
