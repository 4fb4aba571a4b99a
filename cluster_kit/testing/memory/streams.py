"""Streams in memory that behave like TCP: ordered, reliable, with a window, and patient.

A ``Carrier`` transmits the packets of one direction in order, and retransmits lost ones, so data
that waits for the end of a cut arrives after it. The kernel of a host does that without its
processes: a frozen process still receives packets, as far as there is room.

A stream ends as in TCP: an end that closes sends a FIN behind its last byte and lingers for that of
the peer; one that aborts, or whose process dies, sends a reset, which ends the peer at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from cluster_kit.network import LINGER_S, Endpoint, Stream, StreamReader

if TYPE_CHECKING:
    from cluster_kit.testing.memory.host import MemoryHost
    from cluster_kit.testing.virtual_time.loop import VirtualLoop

WINDOW_BYTES = 262_144  # sent and not read yet; all else waits at the sender
SEGMENT_BYTES = 65_536  # the most that is received at a time
# doubles from the third time on. Source: RFC 6298, RFC 8985 (7), and Linux's TCP_RTO_MIN
RETRY_S = 0.2
MAX_RETRY_S = 120.0
GIVE_UP_S = 924.0  # Linux: net.ipv4.tcp_retries2
SLOW_READ_S = 0.1  # between two reads of a slow reader
_GARBAGE = b"\xdb"


class Carrier:
    """Transmits packets from one host to another.

    Args:
        source: The host that sends.
        target: The other host.
        give_up: Called when a packet was retransmitted in vain for too long.
    """

    def __init__(self, source: MemoryHost, target: MemoryHost, give_up: Callable[[], None]) -> None:
        self._source = source
        self._target = target
        self._timeline = source.network.timeline
        self._give_up = give_up
        self._lost: deque[tuple[int, Callable[..., None], tuple[Any, ...]]] = deque()
        self._lost_since_s = 0.0
        self._arrives_s = 0.0

    def carry(self, size_bytes: int, arrive: Callable[..., None], *args: Any) -> None:
        """Call ``arrive`` at the other end, after all packets before."""
        if self._lost or self._is_lost(size_bytes):
            if not self._lost:
                self._lost_since_s = self._timeline.now_s
                self._retry_in(self._first_retry_s(), is_probe=True)
            self._lost.append((size_bytes, arrive, args))
        else:
            self._bring(arrive, args)

    def carry_once(self, arrive: Callable[..., None]) -> None:
        """Forget all lost packets, and call ``arrive`` at the other end unless that is lost."""
        self.forget()
        if not self._is_lost(0):
            self._bring(arrive, ())

    def forget(self) -> None:
        """Stop retransmitting."""
        self._lost.clear()

    def _retry_in(self, seconds: float, *, is_probe: bool = False) -> None:
        self._timeline.call_at(self._timeline.now_s + seconds, self._retry, seconds, is_probe)

    def _first_retry_s(self) -> float:
        network = self._source.network
        return (
            RETRY_S
            + network.path(self._source, self._target).latency_s
            + network.path(self._target, self._source).latency_s
        )

    def _is_lost(self, size_bytes: int) -> bool:
        self._source.traffic.packets_sent += 1
        self._source.traffic.bytes_sent += size_bytes
        return self._source.network.loses(self._source, self._target, size_bytes)

    def _bring(self, arrive: Callable[..., None], args: tuple[Any, ...]) -> None:
        network = self._source.network
        path = network.path(self._source, self._target)
        when_s = self._timeline.now_s + path.latency_s
        if path.jitter_s:
            when_s += path.jitter_s * network.draw("jitter")
        self._arrives_s = max(self._arrives_s, when_s)
        self._timeline.call_at(self._arrives_s, self._receive, arrive, args)

    def _receive(self, arrive: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._target.traffic.packets_received += 1
        arrive(*args)

    def _retry(self, waited_s: float, is_probe: bool) -> None:
        count = len(self._lost)
        while self._lost and not self._is_lost(self._lost[0][0]):
            _, arrive, args = self._lost.popleft()
            self._bring(arrive, args)
        if not self._lost:
            return
        if len(self._lost) < count:
            self._lost_since_s = self._timeline.now_s
            waited_s = self._first_retry_s() / 2
        if self._timeline.now_s - self._lost_since_s >= GIVE_UP_S:
            self._lost.clear()
            self._give_up()
            return
        self._retry_in(waited_s if is_probe else min(2 * waited_s, MAX_RETRY_S))


class MemoryStream(Stream):
    """One end of a stream.

    Attributes:
        peer: The other end.
        on_finished: Called when all that the other end has sent is read; ``close`` by default.
    """

    peer: MemoryStream
    on_finished: Callable[[], object] | None = None

    def __init__(
        self, host: MemoryHost, loop: VirtualLoop, here: Endpoint, there: Endpoint
    ) -> None:
        self.here = here
        self.there = there
        self.host = host
        self._loop = loop
        self._reader: StreamReader | None = None
        self._context: Context | None = None
        self._carrier: Carrier | None = None
        self._inbox: deque[bytes] = deque()
        self._is_waiting = False  # for its turn to read
        self._may_read_s = 0.0
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._unread_bytes = 0  # sent, and not read at the other end
        self._is_window_closed = False
        self._fin_requested = False
        self._fin_sent = False  # set once the FIN is on its way
        self._fin_received = False  # the other end has sent its last
        self._is_closing = False
        self._has_ended = False
        loop.on_end(self._die)

    def link(self, peer: MemoryStream) -> None:
        """Make ``peer`` the other end."""
        self.peer = peer
        self._carrier = Carrier(self.host, peer.host, self._break)

    @property
    def carrier(self) -> Carrier:
        """Transmits packets to the other end."""
        assert self._carrier is not None
        return self._carrier

    # The contract of Stream

    def start(self, reader: StreamReader) -> None:
        """Begin to receive, in a later turn of the event loop."""
        self._reader = reader
        self._context = copy_context()
        if self._has_ended:
            self._loop.call_soon(reader.lost, context=self._context)
        elif self._inbox or self._fin_received:
            self._is_waiting = True
            self._loop.call_soon(self._read, context=self._context)

    def send(self, data: bytes) -> None:
        """Send as much as the window allows, and keep the rest."""
        if self._is_closing or self._fin_requested or not data:
            return
        self._unsent.append(bytes(data))
        self._unsent_bytes += len(data)
        self._send_unsent()

    @property
    def unsent_bytes(self) -> int:
        """The bytes beyond the window."""
        return self._unsent_bytes

    def finish_sending(self) -> None:
        """Send nothing more, and go on receiving: the half-close of asyncio's transports."""
        if not self._fin_requested and not self._is_closing:
            self._fin_requested = True
            self._send_unsent()

    def close(self) -> None:
        """Close once all is sent, and the other end has closed or the linger time is over."""
        if not self._is_closing:
            self._is_closing = True
            self._inbox.clear()
            if not self._unsent:
                self._finish()

    def abort(self) -> None:
        """Close now: reset the peer, unless the FIN was sent already."""
        if self._is_closing and self._fin_sent:
            self._end()
        elif not self._has_ended:
            self._reset_peer()
            self._break()

    # Sending

    def _send_unsent(self) -> None:
        while self._unsent and (room := WINDOW_BYTES - self._unread_bytes) > 0:
            data = self._unsent.popleft()
            now, later = data[: min(room, SEGMENT_BYTES)], data[min(room, SEGMENT_BYTES) :]
            if later:
                self._unsent.appendleft(later)
            self._unsent_bytes -= len(now)
            self._unread_bytes += len(now)
            self.carrier.carry(len(now), self.peer._arrived, now)
        if self._unsent or self._has_ended:
            return
        if self._is_closing:
            if not self._fin_sent:
                self._finish()
        elif self._fin_requested:
            self._send_fin()

    def _peer_read(self, size_bytes: int) -> None:
        """Record that the other end has read, and open the window if this end waits for that."""
        self._unread_bytes -= size_bytes
        if self._unsent and not self._is_window_closed:
            self._is_window_closed = True
            self.peer.carrier.carry(0, self._window_opened)

    def _window_opened(self) -> None:
        self._is_window_closed = False
        if not self._has_ended:
            self._send_unsent()
            if self._context is not None:
                self._loop.arrive(self._context, self._relieve)

    def _relieve(self) -> None:
        assert self._reader is not None
        if not self._unsent and not self._is_closing:
            self._reader.relieved()

    def _finish(self) -> None:
        self._send_fin()
        if self._fin_received:
            self._end()
        else:
            timeline = self.host.network.timeline
            timeline.call_at(timeline.now_s + LINGER_S, self._end)

    def _send_fin(self) -> None:
        if not self._fin_sent:
            self._fin_sent = True
            self.carrier.carry(0, self.peer._receive_fin)

    def _reset_peer(self) -> None:
        self.carrier.carry_once(self.peer._break)

    # Receiving

    def _arrived(self, data: bytes) -> None:
        self.host.traffic.bytes_received += len(data)
        if self._is_closing:
            self._refuse(len(data))
            return
        self._inbox.append(data)
        self._ready()

    def _refuse(self, size_bytes: int) -> None:
        """Answer bytes that are not read: by a reset if this end is gone, else by dropping them."""
        if self._has_ended:
            self._reset_peer()
        else:
            self.peer._peer_read(size_bytes)

    def _receive_fin(self) -> None:
        self._fin_received = True
        if not self._is_closing:
            self._ready()
        elif self._fin_sent:
            self._end()

    def _ready(self) -> None:
        if self._context is not None and not self._is_waiting:
            self._is_waiting = True
            self._loop.arrive(self._context, self._read)

    def _read(self) -> None:
        self._is_waiting = False
        assert self._reader is not None
        while not self._is_closing and (data := self._next_data()):
            self.peer._peer_read(len(data))
            lent = bytearray(data)
            try:
                self._reader.received(memoryview(lent))
            except BaseException:
                self.abort()
                raise
            lent[:] = _GARBAGE * len(lent)  # the contract forbids keeping the view
        if self._fin_received and not self._inbox:
            (self.on_finished or self.close)()

    def _next_data(self) -> bytes:
        """Return the bytes to read now, none if the reader is slow and reads later."""
        rate = self.host.network.path(self.peer.host, self.host).bytes_per_s
        if rate is None or not self._inbox:
            return self._inbox.popleft() if self._inbox else b""
        timeline = self.host.network.timeline
        if timeline.now_s < self._may_read_s:
            assert self._context is not None
            self._is_waiting = True
            timeline.call_at(self._may_read_s, self._loop.arrive, self._context, self._read)
            return b""
        size_bytes = max(1, int(rate * SLOW_READ_S))
        data = self._inbox.popleft()
        if len(data) > size_bytes:
            self._inbox.appendleft(data[size_bytes:])
            data = data[:size_bytes]
        self._may_read_s = timeline.now_s + len(data) / rate
        return data

    # Ending

    def _break(self) -> None:
        """End at once: the connection is lost."""
        if not self._has_ended:
            self._is_closing = True
            self._unsent.clear()
            self._unsent_bytes = 0
            self.carrier.forget()
            self._end()

    def _die(self) -> None:
        """End with the process."""
        if not self._has_ended:
            if not self._fin_sent:
                self._reset_peer()
            self._has_ended = self._is_closing = True

    def _end(self) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        self._inbox.clear()
        self._loop.off_end(self._die)
        if self._reader is not None:
            self._loop.call_soon(self._reader.lost, context=self._context)
