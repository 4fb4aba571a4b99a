"""The peers that are redialled although discovery may have lost them."""

from __future__ import annotations

from cluster_kit.membership.deadlines import Deadlines
from cluster_kit.membership.peer import Peer, Peers


class Memory:
    """Remembers a peer while its link is up, and for ``remember_s`` seconds after it went down.

    Remembers ``max_nodes`` peers at most; while it is full, no others are added.
    """

    def __init__(self, peers: Peers, remember_s: float, max_nodes: int) -> None:
        self._peers = peers
        self._remember_s = remember_s
        self._max_nodes = max_nodes
        self._size = 0
        self._until_s = Deadlines(peers)

    def keep(self, peer: Peer) -> None:
        """Remember a peer whose link is up."""
        if self._has_room(peer):
            self._set(peer, True)
            self._until_s.discard(peer.key)

    def lose(self, peer: Peer, now_s: float) -> None:
        """Remember a peer whose link has just gone down."""
        if self._has_room(peer):
            self._set(peer, True)
            self._until_s.set(peer.key, now_s + self._remember_s)

    def forget(self, peer: Peer) -> None:
        """Remember the peer no longer."""
        if peer.remembered:
            self._set(peer, False)
            self._until_s.discard(peer.key)

    def expire(self, now_s: float) -> list[Peer]:
        """Forget the peers whose time is over, and return them."""
        expired = [self._peers[key] for key in self._until_s.pop_due(now_s)]
        for peer in expired:
            self._set(peer, False)
        return expired

    def next_s(self) -> float | None:
        """Return when the next one is forgotten."""
        return self._until_s.next_s()

    def _has_room(self, peer: Peer) -> bool:
        return peer.remembered or self._size < self._max_nodes

    def _set(self, peer: Peer, remembered: bool) -> None:
        self._size += remembered - peer.remembered
        peer.remembered = remembered
