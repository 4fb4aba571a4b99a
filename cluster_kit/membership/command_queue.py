"""A bounded number of commands side by side, where those that take long can be asked to make way.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from math import inf

from cluster_kit.membership.deadlines import Deadlines
from cluster_kit.membership.peer import Flight, Peers


class CommandQueue:
    """The commands of one kind, by the key of their peer: due at some time, waiting for room, or in
    flight.

    Args:
        width: How many may be in flight.
        patience_s: How long each may take while others wait for its place.
    """

    def __init__(self, peers: Peers, width: int, patience_s: float = inf) -> None:
        self._peers = peers
        self._width = width
        self._patience_s = patience_s
        self._due = Deadlines(peers)
        # due, but without room; with the time since when, longest first
        self._waiting: dict[str, float] = {}
        self._in_flight: dict[str, Flight] = {}  # oldest first
        self._dismissed: dict[str, None] = {}  # in flight, to make way
        self._asked = 0  # how many in flight have been asked to make way

    def __contains__(self, key: str) -> bool:
        """Whether the command of ``key`` is in flight."""
        return key in self._in_flight

    def queue(self, key: str, at_s: float) -> None:
        """Have the command of ``key`` start at ``at_s``."""
        self._waiting.pop(key, None)
        self._due.set(key, at_s)

    def unqueue(self, key: str) -> None:
        """Have it not start."""
        self._waiting.pop(key, None)
        self._due.discard(key)

    def start(self, now_s: float) -> list[str]:
        """Put those that are due in flight as far as there is room, longest due first, and return
        them.
        """
        self._waiting |= dict.fromkeys(self._due.pop_due(now_s), now_s)
        if not self._waiting:
            return []
        keys = list(islice(self._waiting, max(0, self._width - len(self._in_flight))))
        for key in keys:
            del self._waiting[key]
            self._in_flight[key] = self._peers[key].flight = Flight(now_s)
        return keys

    def end(self, key: str) -> float | None:
        """Note that a command has ended, and return when it started; ``None`` if it is not in
        flight here.
        """
        flight = self._in_flight.pop(key, None)
        if flight is None:
            return None
        self._dismissed.pop(key, None)
        self._asked -= flight.asked
        self._peers[key].flight = None
        return flight.since_s

    def dismiss(self, key: str, since_s: float) -> None:
        """Have the command of ``key`` make way if it has been in flight since then."""
        flight = self._in_flight.get(key)
        if flight is not None and not flight.asked and flight.since_s <= since_s:
            self._dismissed[key] = None

    def evict(self, now_s: float) -> list[str]:
        """Return those that have to make way now: those dismissed, and the oldest in flight, one
        for each that waits.
        """
        if not (self._waiting or self._dismissed):
            return []
        oldest = islice(self._staying(), max(0, self._lacking))
        self._dismissed |= dict.fromkeys(
            key for key in oldest if self._makes_way_at_s(key) <= now_s
        )
        keys, self._dismissed = list(self._dismissed), {}
        for key in keys:
            self._in_flight[key].asked = True
        self._asked += len(keys)
        return keys

    def next_s(self) -> float | None:
        """Return when ``start`` or ``evict`` next has something to return."""
        next_s = next(iter(self._waiting.values())) if self._lacking > 0 else self._due.next_s()
        if len(self._in_flight) < self._width or next_s is None:
            return next_s
        oldest = next(self._staying(), None)
        return (
            None
            if oldest is None or self._patience_s == inf
            else max(next_s, self._makes_way_at_s(oldest))
        )

    @property
    def _lacking(self) -> int:
        """How many more have to make way before all that wait have room."""
        return len(self._waiting) - self._asked - len(self._dismissed)

    def _staying(self) -> Iterator[str]:
        return (
            key
            for key, flight in self._in_flight.items()
            if not flight.asked and key not in self._dismissed
        )

    def _makes_way_at_s(self, key: str) -> float:
        return self._in_flight[key].since_s + self._patience_s
