"""Queues and sends the bytes of one end of a pipe: any thread may add, one at a time writes.

Threads of the application send parcels while the supervising thread sends orders. A signal handler
may interrupt either of them at any point, and send something itself, or raise. The guarantees:

- No thread waits longer than for another thread's write, which doesn't block. A signal handler
  never waits: if the lock is taken, by the code it has interrupted or by another thread, it adds
  its data and leaves the writing to the holder.
- Everything is sent whole, once, and in the order in which it was added, even if an exception
  interrupts the writer at any point. Each step of the bookkeeping is one uninterruptible operation,
  and idempotent.
- What an exception or a signal handler leaves unwritten is written by the next ``write``;
  ``pending_bytes`` shows that there is something.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

_TOGETHER = 64  # pieces in one system call

_Piece = list[Any]
"""The data, then how many bytes of this and later pieces each system call has sent."""


class PipeWriter:
    """Sends through a non-blocking stream socket; ``close`` closes it.

    Args:
        sock: The socket, which it owns.
        close_s: How long ``close`` waits for a writer; far longer than any write takes.
    """

    def __init__(self, sock: socket.socket, close_s: float = 1.0) -> None:
        self._socket = sock
        self._close_s = close_s
        self._send: Callable[[Any], int] = sock.send
        self._send_several: Callable[[Any], int] = sock.sendmsg
        self._pieces: deque[_Piece] = deque()  # anybody appends; only the lock's holder removes
        self._lock = threading.Lock()

    def add(self, data: bytes, *more: bytes) -> None:
        """Add ``data`` and ``more`` with nothing in between, and without sending."""
        if more:
            self._pieces.extend([[data], *([each] for each in more)])  # atomic
        else:
            self._pieces.append([data])

    @property
    def pending_bytes(self) -> int:
        """Bytes that were added and not sent; approximate while another thread writes."""
        if not self._pieces:
            return 0
        pieces = tuple(self._pieces)
        return sum(len(piece[0]) for piece in pieces) - sum(sum(piece[1:]) for piece in pieces[:1])

    def write(self) -> bool:
        """Send what can be sent at once; return whether nothing is left, as far as is known.

        Raises:
            OSError: The other end is gone.
        """
        while self._pieces:
            if self._lock.locked():
                return False  # the holder looks again when it is done
            with self._lock:
                if not self._write():
                    return False
        return True

    def close(self) -> None:
        """Close the socket once no thread writes to it, as its number may be reused at once.

        A signal handler that has interrupted the writer can't wait for that; it closes the socket
        after ``close_s``.
        """
        is_held = self._lock.acquire(timeout=self._close_s)
        self._socket.close()
        if is_held:
            self._lock.release()

    def _write(self) -> bool:
        """Send what there is, with the lock held; return whether nothing is left."""
        pieces = self._pieces
        while pieces:
            head = pieces[0]
            data: bytes = head[0]
            sent = sum(head[1:]) if len(head) > 1 else 0
            if sent < len(data):
                try:
                    # ``extend`` of ``map`` records the result before any signal handler runs.
                    if sent or len(pieces) > 1:
                        head.extend(map(self._send_several, (self._first_of(pieces, sent),)))
                    else:
                        head.extend(map(self._send, (data,)))
                except BlockingIOError:
                    return False
                sent = sum(head[1:])
            if sent > len(data):
                pieces[1][1:] = (sent - len(data),)
            if sent >= len(data):
                pieces.popleft()
        return True

    @staticmethod
    def _first_of(pieces: deque[_Piece], sent: int) -> list[bytes | memoryview]:
        """Return the pieces to send in one call, without the first ``sent`` bytes."""
        count = min(len(pieces), _TOGETHER)
        data: list[bytes | memoryview] = [pieces[index][0] for index in range(count)]
        if sent:
            data[0] = memoryview(data[0])[sent:]
        return data
