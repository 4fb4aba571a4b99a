"""Has the handshakes that others begin take turns, so that those who say no more than a ClientHello cost little memory.

A handshake under way holds some 50 KB, nearly all of it OpenSSL's; what has come in before holds as many bytes as it has.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial

from cluster_kit.network import Stream, StreamReader
from cluster_kit.wire.frames import begins_tls

MAX_AT_ONCE = 32  # as many as one host's nodes may want at once; some 2 MB
TURN_S = 1.0  # while others wait, the oldest handshake then makes way; while nobody waits, none has to
WAIT_S = 4.0  # in a crowd turns are shorter, so that all who wait have theirs by then, and time for it
MAX_FIRST_BYTES = 4096  # before the turn; a ClientHello of ours has some 250, and 2000 where keys withstand quantum computers


class Queued(Stream):
    """A stream that somebody else opened, on another one that it owns; whatever begins like TLS waits for its turn.

    Args:
        stream: The other one, not started.
        ask: Called once a first record is there, with what to call in turn.
    """

    def __init__(self, stream: Stream, ask: Callable[[Queued], None]) -> None:
        self.here, self.there = stream.here, stream.there
        self._stream = stream
        self._ask = ask
        self._reader: StreamReader | None = None
        self._first: bytearray | None = bytearray()  # None when it had its turn
        self._is_waiting = False

    def start(self, reader: StreamReader) -> None:
        """Begin to receive."""
        self._reader = reader
        self._stream.start(self)

    def received(self, data: memoryview) -> None:
        """Pass on what comes in, or keep it until it is this stream's turn."""
        if self._first is None:
            self._pass_on(data)
            return
        head = self._first + data[:MAX_FIRST_BYTES]
        is_whole = begins_tls(head)
        if is_whole is False:
            self._first = None  # it takes no turn to find out what else it is
            self._pass_on(memoryview(head + data[MAX_FIRST_BYTES:]))
        elif len(self._first) + len(data) > MAX_FIRST_BYTES:
            self.abort()
        else:
            self._first = head
            if is_whole and not self._is_waiting:
                self._is_waiting = True
                self._ask(self)

    def go_on(self) -> None:
        """Take the turn."""
        first, self._first = self._first, None
        if first:
            self._pass_on(memoryview(first))

    def _pass_on(self, data: memoryview) -> None:
        assert self._reader is not None
        self._reader.received(data)

    def relieved(self) -> None:
        """Tell that all has been taken."""
        if self._reader is not None:
            self._reader.relieved()

    def lost(self) -> None:
        """Tell that the stream has ended."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.lost()

    def send(self, data: bytes) -> None:
        """Send ``data``, which needs no turn."""
        self._stream.send(data)

    @property
    def unsent_bytes(self) -> int:
        """What waits below."""
        return self._stream.unsent_bytes

    def close(self) -> None:
        """Close once everything is sent."""
        self._first = None
        self._stream.close()

    def abort(self) -> None:
        """Close now."""
        self._first = None
        self._stream.abort()


class Turns:
    """Bounds the handshakes under way; those who wait get in by order, but first those of whose host there are the fewest."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, Queued] = {}
        self._begun: dict[int, tuple[Queued, float]] = {}  # the oldest first
        self._crowd = 0  # the most who have waited since somebody waits
        self._timer: asyncio.TimerHandle | None = None

    def queue(self, conn: int, stream: Stream) -> Queued:
        """Return what to start in place of ``stream``; ``release`` the connection once its end has proved itself or is gone."""
        return Queued(stream, partial(self._ask, conn))

    def release(self, conn: int) -> None:
        """Let others have the turn of a connection, which waits no longer. Idempotent."""
        if self._waiting.pop(conn, None) or self._begun.pop(conn, None):
            self._go_on()

    def _ask(self, conn: int, stream: Queued) -> None:
        self._waiting[conn] = stream
        self._go_on()

    def _go_on(self) -> None:
        while self._waiting and len(self._begun) < MAX_AT_ONCE:
            conn = self._next()
            stream = self._waiting.pop(conn)
            self._begun[conn] = (stream, self._loop.time())
            stream.go_on()
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
        """End the oldest handshake, which goes on no more."""
        conn, (stream, _) = next(iter(self._begun.items()))
        stream.abort()
        self.release(conn)
