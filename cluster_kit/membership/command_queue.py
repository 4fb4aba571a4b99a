"""A queue that runs a bounded number of commands side by side, and evicts those that are slow."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from math import inf

from cluster_kit.membership.deadlines import Deadlines
from cluster_kit.membership.peer import Flight, Peer, Peers


class CommandQueue:
    """The peers with a command of one kind: due later, waiting for room, or in flight.

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
        # ordered sets
        self._waiting: dict[Peer, None] = {}  # due, but without room; longest first
        self._in_flight: dict[Peer, None] = {}  # oldest first
        self._dismissed: dict[Peer, None] = {}  # in flight, and to be evicted next
        self._evicted = 0  # how many in flight have been evicted, but have not ended yet

    def queue(self, peer: Peer, at_s: float) -> None:
        """Schedule the command of a peer for ``at_s``, in place of an earlier schedule."""
        self._stop_waiting(peer)
        self._due.set(peer.key, at_s)

    def unqueue(self, peer: Peer) -> None:
        """Cancel the command of a peer unless it is in flight."""
        self._stop_waiting(peer)
        self._due.discard(peer.key)

    def start(self, now_s: float) -> list[Peer]:
        """Start the due commands for which there is room; return their peers, longest due first."""
        for key in self._due.pop_due(now_s):
            peer = self._peers[key]
            peer.waiting_since_s = now_s
            self._waiting[peer] = None
        started = list(islice(self._waiting, max(0, self._width - len(self._in_flight))))
        for peer in started:
            self._stop_waiting(peer)
            peer.flight = Flight(now_s)
            self._in_flight[peer] = None
        return started

    def end(self, peer: Peer) -> float:
        """Remove the command of a peer that was in flight; return when it started."""
        flight = _flight_of(peer)
        del self._in_flight[peer]
        self._dismissed.pop(peer, None)
        self._evicted -= flight.evicted
        peer.flight = None
        return flight.since_s

    def dismiss(self, peer: Peer, since_s: float) -> None:
        """Evict the command of a peer next if it has been in flight since ``since_s``."""
        if (flight := peer.flight) and not flight.evicted and flight.since_s <= since_s:
            flight.dismissed = True
            self._dismissed[peer] = None

    def evict(self, now_s: float) -> list[Peer]:
        """Return the peers whose commands have to make way now; each is returned once.

        These are the dismissed ones and, for each command that waits for room, the oldest one that
        has had its time.
        """
        oldest = islice(self._staying(), max(0, self._shortage))
        slow = [peer for peer in oldest if self._evictable_at_s(peer) <= now_s]
        evicted, self._dismissed = [*self._dismissed, *slow], {}
        for peer in evicted:
            flight = _flight_of(peer)
            flight.evicted, flight.dismissed = True, False
        self._evicted += len(evicted)
        return evicted

    def next_s(self) -> float | None:
        """Return when ``start`` or ``evict`` next has something to return."""
        if self._shortage > 0:
            next_s = next(iter(self._waiting)).waiting_since_s
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

    def _staying(self) -> Iterator[Peer]:
        for peer in self._in_flight:
            flight = _flight_of(peer)
            if not (flight.evicted or flight.dismissed):
                yield peer

    def _evictable_at_s(self, peer: Peer) -> float:
        return _flight_of(peer).since_s + self._patience_s

    def _stop_waiting(self, peer: Peer) -> None:
        self._waiting.pop(peer, None)
        peer.waiting_since_s = None


def _flight_of(peer: Peer) -> Flight:
    assert peer.flight is not None, f"no command is in flight for {peer.key}"
    return peer.flight
