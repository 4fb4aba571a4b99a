"""Which peers are about to leave, or have left although discovery still vouches for them.

Such a peer is not dialled until another run of it shows up. There are two ways to learn of a
departure, and they deserve different trust. Over a link, the peer itself says so. Discovery may be
forged, and is believed only as far as it costs little: its mark, called *hearsay*, lasts as long as
the claim that it belongs to, and its goodbye counts for seconds.

A goodbye also has to be remembered for a while, because it overtakes other reports about the same
run. Heartbeats, look-ups and hints that were under way when the run said goodbye would bring it
back to life otherwise.
"""

from __future__ import annotations

from math import inf

from cluster_kit.membership.deadlines import Deadlines
from cluster_kit.membership.peer import LeavingMark, Peer, Peers
from cluster_kit.node import BootId, Node, is_earlier_run

# How long a goodbye from discovery is remembered: as long as a packet may be under way. It may be
# forged, and the run that it names cannot be found meanwhile, so not longer than that.
BELATED_S = 3.0
# The same for a goodbye over a link, which nobody can forge. Peers go on passing hints about the
# run, and each hint holds for a while, so this has to outlast several rounds of them.
PROVEN_S = 60.0
MAX_ENDED = 1024  # goodbyes to remember; bounds the memory that forged ones cost
# A mark outlasts its claim by this much. If it ended first, the node would be dialled once more.
LINGER_S = 0.1


class Departures:
    """Marks peers as leaving or left, and remembers a bounded number of runs that said goodbye."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._hearsay_until_s = Deadlines(peers)  # only marks with a limit
        self._ends_until_s = Deadlines(peers)  # the earliest of each peer's ``ended_runs``
        self._ended: dict[tuple[str, BootId], None] = {}  # all of these, by their latest goodbyes

    def is_hearsay(self, peer: Peer) -> bool:
        """Whether only discovery says that a peer is about to leave."""
        return peer.leaving is not None and peer.leaving.hearsay

    def mark(self, peer: Peer, boot_id: BootId | None) -> None:
        """Mark a peer that has said itself that it is leaving."""
        self._hearsay_until_s.discard(peer.key)
        peer.leaving = LeavingMark(boot_id, hearsay=False)

    def mark_hearsay(self, peer: Peer, boot_id: BootId | None, until_s: float) -> bool:
        """Mark a peer that is leaving according to discovery; return whether that is new."""
        is_new = peer.leaving is None
        if peer.leaving is None:
            peer.leaving = LeavingMark(boot_id, hearsay=True)
        if peer.leaving.hearsay and until_s < inf:
            self._hearsay_until_s.set(peer.key, until_s + LINGER_S)
        return is_new

    def complete(self, peer: Peer, boot_id: BootId) -> None:
        """Mark a peer as having left."""
        peer.left = boot_id

    def note_goodbye(self, key: str, boot_id: BootId, now_s: float, *, is_proven: bool) -> None:
        """Remember that a run has said goodbye; ``is_proven`` if it did so over a link."""
        until_s = now_s + (PROVEN_S if is_proven else BELATED_S)
        ended = self._peers[key].ended_runs
        ended[boot_id] = max(until_s, ended.get(boot_id, 0.0))
        self._ended.pop((key, boot_id), None)
        self._ended[key, boot_id] = None
        self._ends_until_s.set(key, min(ended.values()))
        if len(self._ended) > MAX_ENDED:
            self._forget_end(*next(iter(self._ended)))

    def has_ended(self, node: Node) -> bool:
        """Whether this run of ``node`` has said goodbye, and that still counts."""
        # nearly always, none has
        return bool(self._ended) and (node.key, node.boot_id) in self._ended

    def forget_goodbyes(self, now_s: float) -> None:
        """Forget the goodbyes that no longer count."""
        for key in self._ends_until_s.pop_due(now_s):
            ended = self._peers[key].ended_runs
            for boot_id in [boot_id for boot_id, until_s in ended.items() if until_s <= now_s]:
                self._forget_end(key, boot_id)

    def _forget_end(self, key: str, boot_id: BootId) -> None:
        del self._ended[key, boot_id]
        ended = self._peers[key].ended_runs
        del ended[boot_id]
        if ended:
            self._ends_until_s.set(key, min(ended.values()))
        else:
            self._ends_until_s.discard(key)

    def drop_hearsay(self, now_s: float) -> list[Peer]:
        """Remove the hearsay that no source has renewed, and return its peers."""
        lapsed = [self._peers[key] for key in self._hearsay_until_s.pop_due(now_s)]
        for peer in lapsed:
            peer.leaving = None
        return lapsed

    def next_s(self) -> float | None:
        """Return when ``drop_hearsay`` next has something to do."""
        return self._hearsay_until_s.next_s()

    def clear_mark_without_boot(self, peer: Peer) -> None:
        """Remove a mark without a boot id; something else shows that another run is there."""
        if peer.leaving is not None and peer.leaving.boot_id is None:
            self._unmark(peer)

    def review(self, peer: Peer, known: Node | None, linked: Node | None) -> None:
        """Remove marks of a run that is no longer the one that is known, or linked."""
        if (mark := peer.leaving) is not None:
            is_newer_known = linked is None or (known is not None and is_earlier_run(linked, known))
            current = known if is_newer_known else linked
            if current is None or not mark.is_of(current):
                self._unmark(peer)
        if linked is not None or known is None or known.boot_id != peer.left:
            peer.left = None

    def _unmark(self, peer: Peer) -> None:
        peer.leaving = None
        self._hearsay_until_s.discard(peer.key)
