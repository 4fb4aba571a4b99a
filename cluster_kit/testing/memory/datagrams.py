"""Datagrams in memory: lossy, bounded, received by all members of a group.

A datagram to a group is one object for all members, and each member receives at once what arrives
at one moment. In a cluster of a thousand nodes, gossip is received a million times a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, NamedTuple

from cluster_kit.errors import NetworkError, NetworkFault
from cluster_kit.network import Datagram, Datagrams, Endpoint, Group
from cluster_kit.testing.memory.faults import Path

if TYPE_CHECKING:
    from cluster_kit.testing.memory.host import MemoryHost
    from cluster_kit.testing.virtual_time.loop import VirtualLoop

MAX_BYTES = 65_507  # of IPv4
INBOX_BYTES = 425_984  # Linux: net.core.rmem_max, doubled for its own needs
OVERHEAD_BYTES = 768  # what Linux counts for a datagram besides its bytes
JITTER_STEPS = 8  # a coarse jitter, so that the many receivers of a datagram share few events

Hear = Callable[[Sequence[Datagram]], object]


class Audience(NamedTuple):
    """The members of a group that receive a datagram.

    Attributes:
        members: All members; one object for all datagrams to the same group.
        excluded: Those of them that don't receive it.
    """

    members: Sequence[MemoryDatagrams]
    excluded: frozenset[MemoryDatagrams] = frozenset()

    def each(self) -> Iterator[MemoryDatagrams]:
        """Yield the receivers in order."""
        return (member for member in self.members if member not in self.excluded)


class Arrival(NamedTuple):
    """A datagram that arrives at its receivers."""

    audience: Audience
    datagram: Datagram


class Batch(NamedTuple):
    """Datagrams that arrive at one moment, with the size of all and of the longest."""

    datagrams: tuple[Datagram, ...]
    size_bytes: int
    longest_bytes: int


def _batch_of(datagrams: Iterable[Datagram]) -> Batch:
    datagrams = tuple(datagrams)
    sizes_bytes = [len(datagram.data) for datagram in datagrams]
    return Batch(datagrams, sum(sizes_bytes), max(sizes_bytes, default=0))


class MemoryDatagrams(Datagrams):
    """The membership of one process in a group.

    Args:
        host: The machine.
        loop: The process.
        group: The group to join.
        max_bytes: Longer datagrams are cut to one byte more.
        here: The own address.
    """

    def __init__(
        self, host: MemoryHost, loop: VirtualLoop, group: Group, max_bytes: int, here: Endpoint
    ) -> None:
        self.here = here
        self.group = group
        self.host = host
        self._loop = loop
        self._size_bytes = max_bytes + 1
        self._traffic = host.traffic
        self._hear: Hear | None = None
        self._context: Context = copy_context()
        self._inbox: list[Datagram] = []
        self._inbox_bytes = 0
        self._is_waiting = False  # for its turn to empty the inbox
        self._is_closed = False
        self._arrived_s: dict[Endpoint, float] = {}  # by sender, if the path has jitter
        loop.on_end(self.close)

    def listen(self, hear: Hear) -> None:
        """Receive, beginning with what is in the inbox."""
        if self._is_closed:
            return
        self._hear = hear
        self._context = copy_context()
        if self._inbox and not self._is_waiting:
            self._is_waiting = True
            self._loop.call_soon(self._empty_inbox, context=self._context)

    def pause(self) -> None:
        """Keep datagrams in the inbox from now on."""
        self._hear = None

    def send(self, data: bytes, to: Endpoint | None = None) -> None:
        """Send one packet."""
        if self._is_closed:
            raise NetworkError("bad file descriptor", fault=NetworkFault.FAILED)
        if len(data) > MAX_BYTES:
            if to is None:
                raise NetworkError("message too long", fault=NetworkFault.FAILED)
            return
        self._traffic.packets_sent += 1
        self._traffic.bytes_sent += len(data)
        if to is None:
            self.host.network.send_to_group(self, bytes(data))
        else:
            self.host.network.send_to_one(self, bytes(data), to)

    def close(self) -> None:
        """Leave the group."""
        if not self._is_closed:
            self._is_closed = True
            self._hear = None
            self._inbox.clear()
            self._loop.off_end(self.close)
            self.host.left(self)

    def receive(self, batch: Batch) -> None:
        """Pass a batch to the application, or keep it as far as there is room."""
        datagrams = batch.datagrams
        if not datagrams:
            return
        self._traffic.packets_received += len(datagrams)
        self._traffic.bytes_received += batch.size_bytes
        if batch.longest_bytes > self._size_bytes:
            datagrams = tuple(
                Datagram(data[: self._size_bytes], source) for data, source in datagrams
            )
        if self._hear is not None and self._loop._held is None and not self._inbox:
            self._loop.arrive(self._context, self._hear, datagrams)
        else:
            for datagram in datagrams:
                self._keep(datagram)

    def _keep(self, datagram: Datagram) -> None:
        size_bytes = len(datagram.data) + OVERHEAD_BYTES
        if self._is_closed or self._inbox_bytes + size_bytes > INBOX_BYTES:
            return
        self._inbox.append(datagram)
        self._inbox_bytes += size_bytes
        if self._hear is not None and not self._is_waiting:  # the process is frozen
            self._is_waiting = True
            self._loop.arrive(self._context, self._empty_inbox)

    def _empty_inbox(self) -> None:
        self._is_waiting = False
        if self._inbox and self._hear is not None:
            datagrams, self._inbox, self._inbox_bytes = self._inbox, [], 0
            self._hear(datagrams)

    def in_order(self, source: Endpoint, when_s: float) -> float:
        """Return ``when_s`` or later, so that the datagrams of one sender stay in order."""
        when_s = max(when_s, self._arrived_s.get(source, 0.0))
        self._arrived_s[source] = when_s
        return when_s


def deliver(arrivals: Sequence[Arrival]) -> None:
    """Deliver all that arrives at one moment, without a turn of the event loop for each receiver.

    Nearly all receive the same datagrams, so that batch is built only once.
    """
    crowd = max((audience.members for audience, _ in arrivals), key=len)
    common = _batch_of(datagram for audience, datagram in arrivals if audience.members is crowd)
    others = {
        member: _batch_of(datagrams)
        for member, datagrams in _other_inboxes(arrivals, crowd).items()
    }
    for member in crowd:
        member.receive(others.pop(member, common))
    for member, batch in others.items():
        member.receive(batch)


def _other_inboxes(
    arrivals: Sequence[Arrival], crowd: Sequence[MemoryDatagrams]
) -> dict[MemoryDatagrams, list[Datagram]]:
    """Return the arrivals at members that don't receive exactly what ``crowd`` does."""
    inboxes: dict[MemoryDatagrams, list[Datagram]] = {}
    for audience, _ in arrivals:
        others = audience.excluded if audience.members is crowd else audience.each()
        inboxes.update((member, []) for member in others)
    in_crowd = frozenset(crowd)
    for audience, datagram in arrivals:
        if audience.members is crowd:
            receivers = [
                each for each in inboxes if each in in_crowd and each not in audience.excluded
            ]
        else:
            receivers = list(audience.each())
        for receiver in receivers:
            inboxes[receiver].append(datagram)
    return inboxes


def moments(path: Path, now_s: float, draw: Callable[[str], float]) -> list[tuple[float, bool]]:
    """Return when a datagram arrives, once or twice, and whether it must stay in order.

    Args:
        path: The path that it takes.
        now_s: When it is sent.
        draw: Returns a random number from 0 to 1 for a concern.
    """
    copies = 2 if path.duplicate and draw("duplicate") < path.duplicate else 1
    return [_moment(path, now_s, draw) for _ in range(copies)]


def _moment(path: Path, now_s: float, draw: Callable[[str], float]) -> tuple[float, bool]:
    when_s = now_s + path.latency_s
    if path.jitter_s:
        when_s += path.jitter_s * int(draw("jitter") * JITTER_STEPS) / JITTER_STEPS
    if path.reorder and draw("reorder") < path.reorder:
        return when_s + path.reorder_by_s, False
    return when_s, bool(path.jitter_s)
