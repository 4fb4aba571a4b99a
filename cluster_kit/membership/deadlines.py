"""Deadlines of one kind: which of them have passed, and when the next one does."""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace

from cluster_kit.membership.peer import Peers

_SLACK = 64  # stale heap items that are not worth a clean-up


class Deadlines:
    """The peers that have a deadline of one kind, ordered by deadline, then key.

    The deadlines themselves are in the records of the peers. Nearly all of them are put off again
    and again before they pass, so that costs no more than a dictionary write: the heap keeps the
    earlier time, and the key is queued again when that time comes. Invariant: each key has at least
    one heap item that is not later than its deadline. All other items are stale.
    """

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._count = 0
        self._heap: list[tuple[float, str]] = []

    def __contains__(self, key: str) -> bool:
        return self.at_s(key) is not None

    def at_s(self, key: str) -> float | None:
        """Return the deadline of ``key``, if it has one."""
        peer = self._peers.get(key)
        return None if peer is None else peer.deadlines.get(self)

    def set(self, key: str, at_s: float) -> None:
        """Give ``key`` a deadline in place of the one that it may have."""
        deadlines = self._peers[key].deadlines
        before_s = deadlines.get(self)
        deadlines[self] = at_s
        if before_s is None:
            self._count += 1
        if before_s is None or at_s < before_s:
            heappush(self._heap, (at_s, key))
            self._clean_up()

    def discard(self, key: str) -> None:
        """Remove the deadline of ``key``, if it has one."""
        peer = self._peers.get(key)
        if peer is not None and peer.deadlines.pop(self, None) is not None:
            self._count -= 1
            self._clean_up()

    def next_s(self) -> float | None:
        """Return the earliest deadline."""
        while self._heap:
            queued_s, key = self._heap[0]
            at_s = self.at_s(key)
            if at_s == queued_s:
                return at_s
            if at_s is None:
                heappop(self._heap)
            else:
                heapreplace(self._heap, (at_s, key))
        return None

    def pop_due(self, now_s: float, limit: int | None = None) -> list[str]:
        """Remove the deadlines that have passed, up to ``limit``; return their keys in order."""
        due: list[str] = []
        if not self._heap or self._heap[0][0] > now_s:  # no deadline is earlier than what is queued
            return due
        while limit is None or len(due) < limit:
            at_s = self.next_s()
            if at_s is None or at_s > now_s:
                break
            _, key = heappop(self._heap)
            del self._peers[key].deadlines[self]
            self._count -= 1
            due.append(key)
        return due

    def _clean_up(self) -> None:
        if len(self._heap) > 2 * self._count + _SLACK:
            queued = {key for _, key in self._heap}
            self._heap = [(at_s, key) for key in queued if (at_s := self.at_s(key)) is not None]
            heapify(self._heap)
