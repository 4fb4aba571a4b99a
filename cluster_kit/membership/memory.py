"""The peers that we mean to find again although discovery may have lost them."""

from __future__ import annotations

from cluster_kit.membership.deadlines import Deadlines


class Memory:
    """Remembers each peer for ``remember_s`` seconds after its link went down, and without limit while the link is up.

    Holds ``max_nodes`` at most; what comes after that is not remembered.
    """

    def __init__(self, remember_s: float, max_nodes: int) -> None:
        self._remember_s = remember_s
        self._max_nodes = max_nodes
        self._keys: set[str] = set()
        self._until_s: Deadlines[str] = Deadlines()

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def keep(self, key: str) -> None:
        """Remember a peer whose link is up."""
        if self._has_room(key):
            self._keys.add(key)
            self._until_s.discard(key)

    def lose(self, key: str, now_s: float) -> None:
        """Remember a peer whose link is down from now on."""
        if self._has_room(key):
            self._keys.add(key)
            self._until_s.set(key, now_s + self._remember_s)

    def forget(self, key: str) -> None:
        """Remember the peer no longer."""
        self._keys.discard(key)
        self._until_s.discard(key)

    def expire(self, now_s: float) -> list[str]:
        """Forget those whose time has passed, and return them."""
        expired = self._until_s.pop_due(now_s)
        self._keys.difference_update(expired)
        return expired

    def next_s(self) -> float | None:
        """Return when the next one is forgotten."""
        return self._until_s.next_s()

    def _has_room(self, key: str) -> bool:
        return key in self._keys or len(self._keys) < self._max_nodes
