"""Datagrams in memory: lossy, bounded, heard by all who joined the group.

What is sent to a group is one object of bytes for all who hear it, and each of them takes in at
once what comes at one moment: in a cluster of a thousand nodes, gossip is heard a million times a
second.
"""

from __future__ import annotations

import asyncio
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
# in which a jitter is dealt out, so that many who hear one datagram share few events
JITTER_STEPS = 8

Hear = Callable[[Sequence[Datagram]], object]


class Audience(NamedTuple):
    """Those who hear a datagram: ``hearers``, which senders to one group have in common, without
    those ``apart``.
    """

    hearers: Sequence[MemoryDatagrams]
    apart: frozenset[MemoryDatagrams] = frozenset()

    def each(self) -> Iterator[MemoryDatagrams]:
        """Yield them in their order."""
        return (hearer for hearer in self.hearers if hearer not in self.apart)


class Arrival(NamedTuple):
    """A datagram that has come to all who hear it."""

    audience: Audience
    datagram: Datagram


class Batch(NamedTuple):
    """Datagrams that come in at one moment, and how many bytes all of them and the longest have."""

    datagrams: tuple[Datagram, ...]
    size_bytes: int
    longest_bytes: int


def _batch_of(datagrams: Iterable[Datagram]) -> Batch:
    datagrams = tuple(datagrams)
    sizes_bytes = [len(datagram.data) for datagram in datagrams]
    return Batch(datagrams, sum(sizes_bytes), max(sizes_bytes, default=0))


class MemoryDatagrams(Datagrams):
    """One process's part in a group.

    Args:
        host: The machine.
        loop: The process.
        group: What it joins.
        max_bytes: Of longer ones only one byte more is heard.
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
        self._arrived_s: dict[Endpoint, float] = {}  # by sender, where the way has jitter
        loop.on_end(self.close)

    def listen(self, hear: Hear) -> None:
        """Hear, first what has waited."""
        if self._is_closed:
            return
        self._hear = hear
        self._context = copy_context()
        if self._inbox and not self._is_waiting:
            self._is_waiting = True
            self._loop.call_soon(self._empty_inbox, context=self._context)

    def pause(self) -> None:
        """Let it wait in the inbox."""
        self._hear = None

    def send(self, data: bytes, to: Endpoint | None = None) -> None:
        """Send one packet, whoever hears it."""
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
        """Leave."""
        if not self._is_closed:
            self._is_closed = True
            self._hear = None
            self._inbox.clear()
            self._loop.off_end(self.close)
            self.host.left(self)

    def take_in(self, batch: Batch) -> None:
        """Hear what has come in, in the process; or keep it, if there is room."""
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
            asyncio._set_running_loop(self._loop)
            try:
                self._context.run(self._hear, datagrams)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as exc:  # noqa: BLE001 - as in any callback of a loop
                self._loop.call_exception_handler(
                    {"message": f"Exception in {self._hear!r}", "exception": exc}
                )
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
        """Return ``when_s``, or later, so that what one sender sends stays in order."""
        when_s = max(when_s, self._arrived_s.get(source, 0.0))
        self._arrived_s[source] = when_s
        return when_s


def deliver(arrivals: Sequence[Arrival]) -> None:
    """Have everybody hear what comes in at one moment: one after the other, which memory is faster
    at than turn by turn.

    Nearly all hear the same, so that is put together once.
    """
    crowd = max((audience.hearers for audience, _ in arrivals), key=len)
    common = _batch_of(datagram for audience, datagram in arrivals if audience.hearers is crowd)
    others = {
        hearer: _batch_of(datagrams)
        for hearer, datagrams in _other_inboxes(arrivals, crowd).items()
    }
    for hearer in crowd:
        hearer.take_in(others.pop(hearer, common))
    for hearer, batch in others.items():
        hearer.take_in(batch)


def _other_inboxes(
    arrivals: Sequence[Arrival], crowd: Sequence[MemoryDatagrams]
) -> dict[MemoryDatagrams, list[Datagram]]:
    """Return what comes in for those who don't hear just what ``crowd`` does; who is of the crowd,
    in no order.
    """
    inboxes: dict[MemoryDatagrams, list[Datagram]] = {}
    for audience, _ in arrivals:
        others = audience.apart if audience.hearers is crowd else audience.each()
        inboxes.update((hearer, []) for hearer in others)
    members = frozenset(crowd)
    for audience, datagram in arrivals:
        if audience.hearers is crowd:
            hearers = [
                hearer for hearer in inboxes if hearer in members and hearer not in audience.apart
            ]
        else:
            hearers = list(audience.each())
        for hearer in hearers:
            inboxes[hearer].append(datagram)
    return inboxes


def moments(path: Path, now_s: float, draw: Callable[[str], float]) -> list[tuple[float, bool]]:
    """Return when a datagram that isn't lost arrives: once or twice; and whether behind what was
    sent before.

    Args:
        path: The way.
        now_s: When it is sent.
        draw: Returns a number from 0 to 1 for a concern.
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
