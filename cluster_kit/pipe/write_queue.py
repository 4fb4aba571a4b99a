"""What one end of a pipe has to send: any thread adds to it without waiting, and one at a time writes.

Threads of the application send parcels while the supervising thread sends orders, and a signal handler may interrupt either
of these amid its work and send something itself, or raise. What holds:

- Nobody waits for longer than another thread's write, which never blocks. A signal handler waits for nobody: it finds the lock
  taken, by the caller that it has interrupted or by another thread, adds what it has, and leaves it to them.
- What is sent goes out whole, once, and in the order in which it was added, also where an exception interrupts the writer at
  any point. Each step of the bookkeeping is one operation that nothing interrupts, and does the same when done again.
- What is left after an exception, or was left to another, is written by the next ``write``; ``pending_bytes`` tells that there
  is something.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

_TOGETHER = 64  # pieces in one call of the system
_CLOSE_S = 1.0  # far longer than any write takes


_Piece = list[Any]  # what is to be sent, then how many bytes each call of the system has sent, of this and what is behind it


class WriteQueue:
    """Sends through a non-blocking stream socket, which it closes when told to."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._send: Callable[[Any], int] = sock.send
        self._send_several: Callable[[Any], int] = sock.sendmsg
        self._pieces: deque[_Piece] = deque()  # anybody adds some; who holds the lock takes them away
        self._lock = threading.Lock()

    def add(self, data: bytes, *more: bytes) -> None:
        """Add ``data``, all of it together, without sending it."""
        if more:
            self._pieces.extend([[data], *([each] for each in more)])  # at once, so that nothing comes between them
        else:
            self._pieces.append([data])

    @property
    def pending_bytes(self) -> int:
        """What was added and is not sent; while another thread writes, roughly."""
        if not self._pieces:
            return 0
        pieces = tuple(self._pieces)
        return sum(len(piece[0]) for piece in pieces) - sum(sum(piece[1:]) for piece in pieces[:1])

    def write(self) -> bool:
        """Send what can be sent at once; return whether that is all, as far as is known.

        Raises:
            OSError: The other end is gone.
        """
        while self._pieces:
            if self._lock.locked():
                return False  # whoever holds it looks again
            with self._lock:
                if not self._write():
                    return False
        return True

    def close(self) -> None:
        """Close the socket once nobody writes, or else its number might be somebody else's by then.

        Who has interrupted the writer can't wait for that, and goes ahead after a while.
        """
        is_held = self._lock.acquire(timeout=_CLOSE_S)
        self._socket.close()
        if is_held:
            self._lock.release()

    def _write(self) -> bool:
        """Send what there is, for who holds the lock; return whether all of it is out."""
        pieces = self._pieces
        while pieces:
            head = pieces[0]
            data: bytes = head[0]
            sent = sum(head[1:]) if len(head) > 1 else 0
            if sent < len(data):
                try:
                    # ``extend`` and ``map`` note what was sent before any signal handler runs
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
        """Return what is to be sent together, without the part of it that was ``sent``."""
        data: list[bytes | memoryview] = [pieces[index][0] for index in range(min(len(pieces), _TOGETHER))]
        if sent:
            data[0] = memoryview(data[0])[sent:]
        return data
