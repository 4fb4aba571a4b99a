"""A queue that runs a bounded number of commands side by side, and evicts those that are slow."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from math import inf

from cluster_kit.membership.deadlines import Deadlines
from cluster_kit.membership.peer import Flight, Peers


class CommandQueue:
    """The commands of one kind, by key of the peer: due later, waiting for room, or in flight.

    Args:
        peers: The records of the peers.
        width: How many commands may be in flight.
        patience_s: How long each may take while others wait for its place.
    """

    def __init__(self, peers: Peers, width: int, patience_s: float = inf) -> None:
        self._peers = peers
        self._width = width
        self._patience_s = patience_s
        self._due = Deadlines(peers)
        # Ordered sets of keys: due, but without room, longest first; in flight, oldest first;
        # and those of these that are dismissed.
        self._waiting: dict[str, None] = {}
        self._in_flight: dict[str, None] = {}
        self._dismissed: dict[str, None] = {}
        self._evicted = 0  # how many in flight have been evicted, but have not ended yet

    def queue(self, key: str, at_s: float) -> None:
        """Schedule the command of ``key`` for ``at_s``, in place of an earlier schedule."""
        self._stop_waiting(key)
        self._due.set(key, at_s)

    def unqueue(self, key: str) -> None:
        """Cancel the command of ``key`` unless it is in flight."""
        self._stop_waiting(key)
        self._due.discard(key)

    def start(self, now_s: float) -> list[str]:
        """Start the due commands for which there is room; return them, longest due first."""
        for key in self._due.pop_due(now_s):
            self._waiting[key] = None
            self._peers[key].waiting_since_s = now_s
        if not self._waiting:
            return []
        keys = list(islice(self._waiting, max(0, self._width - len(self._in_flight))))
        for key in keys:
            self._stop_waiting(key)
            self._in_flight[key] = None
            self._peers[key].flight = Flight(now_s)
        return keys

    def end(self, key: str) -> float:
        """Remove a command that was in flight; return when it started."""
        del self._in_flight[key]
        self._dismissed.pop(key, None)
        flight, self._peers[key].flight = self._flight(key), None
        self._evicted -= flight.evicted
        return flight.since_s

    def dismiss(self, key: str, since_s: float) -> None:
        """Evict the command of ``key`` next if it has been in flight since ``since_s``."""
        if key not in self._in_flight:
            return
        flight = self._flight(key)
        if not flight.evicted and flight.since_s <= since_s:
            flight.dismissed = True
            self._dismissed[key] = None

    def evict(self, now_s: float) -> list[str]:
        """Return the commands that have to make way now; each is returned once.

        These are the dismissed ones and, for each command that waits for room, the oldest one that
        has had its time.
        """
        if not (self._waiting or self._dismissed):
            return []
        oldest = islice(self._staying(), max(0, self._shortage))
        slow = [key for key in oldest if self._evictable_at_s(key) <= now_s]
        keys, self._dismissed = [*self._dismissed, *slow], {}
        for key in keys:
            flight = self._flight(key)
            flight.evicted, flight.dismissed = True, False
        self._evicted += len(keys)
        return keys

    def next_s(self) -> float | None:
        """Return when ``start`` or ``evict`` next has something to return."""
        if self._shortage > 0:
            next_s = self._peers[next(iter(self._waiting))].waiting_since_s
        else:
            next_s = self._due.next_s()
        if next_s is None or len(self._in_flight) < self._width:
            return next_s
        oldest = next(self._staying(), None)
        if oldest is None or self._patience_s == inf:
            return None
        return max(next_s, self._evictable_at_s(oldest))

    @property
    def _shortage(self) -> int:
        """How many more have to make way before there is room for all that wait."""
        return len(self._waiting) - self._evicted - len(self._dismissed)

    def _staying(self) -> Iterator[str]:
        for key in self._in_flight:
            flight = self._flight(key)
            if not (flight.evicted or flight.dismissed):
                yield key

    def _evictable_at_s(self, key: str) -> float:
        return self._flight(key).since_s + self._patience_s

    def _flight(self, key: str) -> Flight:
        flight = self._peers[key].flight
        assert flight is not None, f"{key} is not in flight"
        return flight

    def _stop_waiting(self, key: str) -> None:
        if key in self._waiting:
            del self._waiting[key]
            self._peers[key].waiting_since_s = None
