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
from contextlib import suppress
from itertools import islice
from typing import Any

_TOGETHER = 64  # pieces in one call of the system
_CLOSE_S = 1.0  # far longer than any write takes


class _Piece:
    """One piece of the stream.

    Attributes:
        sent: How many bytes each call of the system has sent, of this piece and then of those behind it.
        end: Its end, counted from where the first of those that wait with it begins or began.
    """

    __slots__ = ("data", "end", "sent")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.sent: list[int] = []
        self.end = 0


class Outgoing:
    """Sends through a non-blocking stream socket, which it closes when told to."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._send: Callable[[Any], int] = sock.send
        self._send_several: Callable[[Any], int] = sock.sendmsg
        self._added: deque[_Piece] = deque()  # by anybody
        self._pieces: deque[_Piece] = deque()  # moved by who holds the lock
        self._lock = threading.Lock()

    def add(self, *data: bytes) -> None:
        """Add ``data``, all of it together, without sending it."""
        pieces = [_Piece(each) for each in data]
        self._added.extend(pieces)  # at once, so that nothing comes between them

    @property
    def pending_bytes(self) -> int:
        """What was added and is not sent; while another thread writes, roughly."""
        pending = sum(len(piece.data) for piece in tuple(self._added)) if self._added else 0
        with suppress(IndexError):  # all of it has just been sent
            if self._pieces:
                head, tail = self._pieces[0], self._pieces[-1]
                pending += tail.end - head.end + len(head.data) - sum(head.sent)
        return pending

    def write(self) -> bool:
        """Send what can be sent at once; return whether that is all, as far as is known.

        Raises:
            OSError: The other end is gone.
        """
        while self._added or self._pieces:
            if self._lock.locked():
                return False  # whoever holds it looks again
            with self._lock:
                self._take_in()
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

    def _take_in(self) -> None:
        while self._added:
            piece = self._added[0]
            if not (self._pieces and self._pieces[-1] is piece):
                piece.end = (self._pieces[-1].end if self._pieces else 0) + len(piece.data)
                self._pieces.append(piece)
            self._added.popleft()

    def _write(self) -> bool:
        """Send what there is, for who holds the lock; return whether all of it is out."""
        while self._pieces:
            head = self._pieces[0]
            sent = sum(head.sent)
            if sent < len(head.data):
                try:
                    self._write_from(head, sent)
                except BlockingIOError:
                    return False
                continue
            if sent > len(head.data):
                self._pieces[1].sent[:] = (sent - len(head.data),)
            self._pieces.popleft()
        return True

    def _write_from(self, head: _Piece, sent: int) -> None:
        # ``extend`` and ``map`` note what was sent before any signal handler runs
        if len(self._pieces) == 1:
            head.sent.extend(map(self._send, (memoryview(head.data)[sent:] if sent else head.data,)))
            return
        buffers: list[bytes | memoryview] = [piece.data for piece in islice(self._pieces, _TOGETHER)]
        if sent:
            buffers[0] = memoryview(head.data)[sent:]
        head.sent.extend(map(self._send_several, (buffers,)))
