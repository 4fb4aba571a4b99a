"""Who is about to leave, or has left although discovery still vouches for it: nobody to dial until
another run shows up.
"""

from __future__ import annotations

from math import inf

from cluster_kit.membership.deadlines import Deadlines
from cluster_kit.membership.merge import is_older
from cluster_kit.membership.peer import LeavingMark, Peers
from cluster_kit.node import BootId, Node

BELATED_S = 3.0  # what a goodbye has overtaken comes within this time; anybody may have said it
PROVEN_S = 60.0  # likewise, where the run itself said it, over a link
MAX_OVER = 1024  # goodbyes to remember
# by so much a mark outlasts the word that it came with, so that it never ends before that
LINGER_S = 0.1


class Departures:
    """Marks peers as leaving or left, and remembers a bounded number of runs that said goodbye."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._hearsay_until_s = Deadlines(peers)  # for how long that counts, where there is a limit
        # runs that said goodbye, and until when that counts; oldest first
        self._over: dict[tuple[str, BootId], float] = {}

    def __contains__(self, key: str) -> bool:
        peer = self._peers.get(key)
        return peer is not None and (peer.leaving is not None or peer.left is not None)

    @property
    def leaving(self) -> frozenset[str]:
        """Those who are about to leave, as they say themselves or discovery tells."""
        return frozenset(key for key, peer in self._peers.items() if peer.leaving)

    def is_leaving(self, node: Node) -> bool:
        """Whether this run of ``node``, not just another one, is said to be about to leave."""
        mark = self._peers[node.key].leaving
        return mark is not None and mark.boot_id in (None, node.boot_id)

    def is_hearsay(self, key: str) -> bool:
        """Whether discovery alone tells that a node is about to leave."""
        mark = self._peers[key].leaving
        return mark is not None and mark.hearsay

    def announce(self, key: str, boot_id: BootId | None) -> bool:
        """Mark a node as about to leave, as it has said itself; return whether that is news."""
        peer = self._peers[key]
        if peer.leaving is not None and not peer.leaving.hearsay:
            return False
        self._hearsay_until_s.discard(key)
        peer.leaving = LeavingMark(boot_id, hearsay=False)
        return True

    def hear(self, key: str, boot_id: BootId | None, until_s: float) -> bool:
        """Mark a node as about to leave, as discovery tells, until ``until_s``; return whether that
        is news.
        """
        peer = self._peers[key]
        is_news = peer.leaving is None
        if peer.leaving is None:
            peer.leaving = LeavingMark(boot_id, hearsay=True)
        if peer.leaving.hearsay and until_s < inf:
            self._hearsay_until_s.set(key, until_s + LINGER_S)
        return is_news

    def complete(self, key: str, boot_id: BootId) -> None:
        """Mark a node as having left."""
        self._peers[key].left = boot_id

    def note_goodbye(self, key: str, boot_id: BootId, now_s: float, *, is_proven: bool) -> None:
        """Take in the goodbye of a run: what else comes of it was on its way. That counts for a
        while, as it may be forged.
        """
        until_s = max(
            now_s + (PROVEN_S if is_proven else BELATED_S), self._over.pop((key, boot_id), 0.0)
        )
        self._over[key, boot_id] = until_s
        if len(self._over) > MAX_OVER:
            del self._over[next(iter(self._over))]

    def is_over(self, node: Node) -> bool:
        """Whether this run of ``node`` has said goodbye, as far as that counts."""
        return (
            bool(self._over) and node.boot_id is not None and (node.key, node.boot_id) in self._over
        )

    def expire(self, now_s: float) -> None:
        """Let goodbyes count no longer whose time has passed."""
        if self._over and min(self._over.values()) <= now_s:
            self._over = {run: until_s for run, until_s in self._over.items() if until_s > now_s}

    def lapse(self, now_s: float) -> list[str]:
        """Take away marks that nobody has renewed, and return whose they were."""
        lapsed = self._hearsay_until_s.pop_due(now_s)
        for key in lapsed:
            self._unmark(key)
        return lapsed

    def next_s(self) -> float | None:
        """Return when ``lapse`` next has something to do."""
        return self._hearsay_until_s.next_s()

    def _unmark(self, key: str) -> None:
        self._peers[key].leaving = None
        self._hearsay_until_s.discard(key)

    def returned(self, key: str) -> None:
        """Take in that something else than a boot id tells that another run is there."""
        mark = self._peers[key].leaving
        if mark is not None and mark.boot_id is None:
            self._unmark(key)

    def review(self, key: str, known: Node | None, linked: Node | None) -> None:
        """Take away marks that the node as discovery knows it, or as it is linked, has outlived."""
        peer = self._peers[key]
        if (mark := peer.leaving) is not None:
            now = (
                known
                if linked is None or (known is not None and is_older(linked, known))
                else linked
            )
            if now is None or mark.boot_id not in (None, now.boot_id):
                self._unmark(key)
        if linked is not None or known is None or known.boot_id != peer.left:
            peer.left = None
