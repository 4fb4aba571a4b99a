"""Bounds how many TLS handshakes that peers began are under way at a time.

A handshake under way takes about 50 KB, nearly all of it OpenSSL's. Before it begins, a connection
takes no more than the bytes received. So a peer that sends a ClientHello and falls silent costs
little: its connection waits for the first record, then in the queue, and makes way when others
wait.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial

from cluster_kit.network import Stream, StreamReader
from cluster_kit.wire.frames import begins_tls

MAX_AT_ONCE = 32  # as many as the nodes of one host may want at once; some 2 MB
TURN_S = 1.0  # after which the oldest handshake makes way, if others wait
WAIT_S = 4.0  # in a crowd turns are shorter, so that everyone gets one within this time
MAX_FIRST_BYTES = 4096
"""Bytes kept before the turn. Our ClientHello has some 250, or 2000 with post-quantum keys."""


class QueuedStream(Stream):
    """Wraps an accepted stream, which it owns; a TLS handshake on it waits for its turn.

    Args:
        stream: The wrapped stream, not started.
        ready: Called once the first record is complete; the turn begins with ``proceed``.
    """

    def __init__(self, stream: Stream, ready: Callable[[QueuedStream], None]) -> None:
        self.here, self.there = stream.here, stream.there
        self._stream = stream
        self._ready = ready
        self._reader: StreamReader | None = None
        self._first: bytearray | None = bytearray()  # received so far; None once it had its turn
        self._is_waiting = False

    def start(self, reader: StreamReader) -> None:
        """Begin to receive."""
        self._reader = reader
        self._stream.start(self)

    def received(self, data: memoryview) -> None:
        """Pass on received bytes, or keep them until it is this stream's turn."""
        if self._first is None:  # for nearly all of a link's life
            self._pass_on(data)
            return
        head = self._first + data[:MAX_FIRST_BYTES]
        is_tls = begins_tls(head)
        if is_tls is False:
            self._first = None  # another protocol costs no memory, so it needs no turn
            self._pass_on(memoryview(head + data[MAX_FIRST_BYTES:]))
        elif len(self._first) + len(data) > MAX_FIRST_BYTES:
            self.abort()
        else:
            self._first = head
            if is_tls and not self._is_waiting:
                self._is_waiting = True
                self._ready(self)

    def proceed(self) -> None:
        """Begin the turn."""
        first, self._first = self._first, None
        if first:
            self._pass_on(memoryview(first))

    def _pass_on(self, data: memoryview) -> None:
        assert self._reader is not None
        self._reader.received(data)

    def relieved(self) -> None:
        """Pass on that everything is sent."""
        if self._reader is not None:
            self._reader.relieved()

    def lost(self) -> None:
        """Pass on that the stream has ended."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.lost()

    def send(self, data: bytes) -> None:
        """Send ``data``, which needs no turn."""
        self._stream.send(data)

    @property
    def unsent_bytes(self) -> int:
        """Bytes that wait below."""
        return self._stream.unsent_bytes

    def close(self) -> None:
        """Close once everything is sent."""
        self._first = None
        self._stream.close()

    def abort(self) -> None:
        """Close now."""
        self._first = None
        self._stream.abort()


class HandshakeQueue:
    """Lets streams have their turns, in order; hosts with the fewest turns under way go first.

    A turn ends with ``release``. If others wait, it also ends after ``TURN_S``, or earlier in a
    crowd: then turns are so short that all who wait get one within ``WAIT_S``. They stay that short
    until nobody waits any more, as the crowd shrinks only because its members have had their turns.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, QueuedStream] = {}
        self._begun: dict[int, tuple[QueuedStream, float]] = {}  # with its time; oldest first
        self._crowd = 0  # the most that have waited since the queue was last empty
        self._timer: asyncio.TimerHandle | None = None

    def enqueue(self, conn: int, stream: Stream) -> QueuedStream:
        """Return the stream to start in place of ``stream``; it joins the queue once it is ready.

        ``release`` the connection when its peer has proved itself, or when it is closed.
        """
        return QueuedStream(stream, partial(self._join, conn))

    def release(self, conn: int) -> None:
        """Give the place of a connection to others, waiting or begun. Idempotent."""
        if self._waiting.pop(conn, None) or self._begun.pop(conn, None):
            self._advance()

    def _join(self, conn: int, stream: QueuedStream) -> None:
        self._waiting[conn] = stream
        self._advance()

    def _advance(self) -> None:
        while self._waiting and len(self._begun) < MAX_AT_ONCE:
            conn = self._next()
            stream = self._waiting.pop(conn)
            self._begun[conn] = (stream, self._loop.time())
            stream.proceed()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._crowd = max(self._crowd, len(self._waiting)) if self._waiting else 0
        if self._waiting:
            _, since_s = next(iter(self._begun.values()))
            turn_s = min(TURN_S, WAIT_S * MAX_AT_ONCE / (MAX_AT_ONCE + self._crowd))
            self._timer = self._loop.call_at(since_s + turn_s, self._make_way)

    def _next(self) -> int:
        begun = Counter(stream.there.host for stream, _ in self._begun.values())
        return min(self._waiting, key=lambda conn: begun[self._waiting[conn].there.host])

    def _make_way(self) -> None:
        """End the oldest handshake."""
        conn, (stream, _) = next(iter(self._begun.items()))
        stream.abort()
        self.release(conn)
