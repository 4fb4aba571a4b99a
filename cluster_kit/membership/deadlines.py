"""Many keys, each with a deadline that is often put off: which have passed, and when is the next?"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace
from typing import Generic, TypeVar

_Key = TypeVar("_Key", str, tuple[str, str])

_SLACK = 64  # stale heap items that are not worth a clean-up


class Deadlines(Generic[_Key]):
    """A map from key to deadline, ordered by deadline, then key.

    Putting a deadline off costs a dictionary write: the heap keeps the earlier time, and the key is queued again when that
    comes. Each key has at least one heap item that is not later than its deadline; all other items are stale.
    """

    def __init__(self) -> None:
        self._at_s: dict[_Key, float] = {}
        self._heap: list[tuple[float, _Key]] = []

    def __contains__(self, key: _Key) -> bool:
        return key in self._at_s

    def set(self, key: _Key, at_s: float) -> None:
        """Give ``key`` a deadline in place of the one that it may have."""
        before_s = self._at_s.get(key)
        self._at_s[key] = at_s
        if before_s is None or at_s < before_s:
            heappush(self._heap, (at_s, key))
            self._clean_up()

    def discard(self, key: _Key) -> None:
        """Take the deadline of ``key`` away, if it has one."""
        if self._at_s.pop(key, None) is not None:
            self._clean_up()

    def next_s(self) -> float | None:
        """Return the earliest deadline."""
        while self._heap:
            queued_s, key = self._heap[0]
            at_s = self._at_s.get(key)
            if at_s == queued_s:
                return at_s
            if at_s is not None and at_s > queued_s:
                heapreplace(self._heap, (at_s, key))
            else:
                heappop(self._heap)
        return None

    def pop_due(self, now_s: float, limit: int | None = None) -> list[_Key]:
        """Remove and return the keys whose deadline has come, earliest first, ``limit`` of them at most."""
        due: list[_Key] = []
        if not self._heap or self._heap[0][0] > now_s:  # no key has an earlier deadline than what is queued first
            return due
        while limit is None or len(due) < limit:
            at_s = self.next_s()
            if at_s is None or at_s > now_s:
                break
            _, key = heappop(self._heap)
            del self._at_s[key]
            due.append(key)
        return due

    def _clean_up(self) -> None:
        if len(self._heap) > 2 * len(self._at_s) + _SLACK:
            self._heap = [(at_s, key) for key, at_s in self._at_s.items()]
            heapify(self._heap)
