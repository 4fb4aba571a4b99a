"""The peers that are redialled although discovery may have lost them."""

from __future__ import annotations

from cluster_kit.membership.deadlines import Deadlines
from cluster_kit.membership.peer import Peers


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

    def __contains__(self, key: str) -> bool:
        peer = self._peers.get(key)
        return peer is not None and peer.remembered

    def keep(self, key: str) -> None:
        """Remember a peer whose link is up."""
        if self._has_room(key):
            self._set(key, True)
            self._until_s.discard(key)

    def lose(self, key: str, now_s: float) -> None:
        """Remember a peer whose link has just gone down."""
        if self._has_room(key):
            self._set(key, True)
            self._until_s.set(key, now_s + self._remember_s)

    def forget(self, key: str) -> None:
        """Remember the peer no longer."""
        if key in self:
            self._set(key, False)
            self._until_s.discard(key)

    def expire(self, now_s: float) -> list[str]:
        """Forget the peers whose time is over, and return them."""
        expired = self._until_s.pop_due(now_s)
        for key in expired:
            self._set(key, False)
        return expired

    def next_s(self) -> float | None:
        """Return when the next one is forgotten."""
        return self._until_s.next_s()

    def _has_room(self, key: str) -> bool:
        return key in self or self._size < self._max_nodes

    def _set(self, key: str, remembered: bool) -> None:
        peer = self._peers[key]
        self._size += remembered - peer.remembered
        peer.remembered = remembered
