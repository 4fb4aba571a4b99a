"""Wakes a thread that waits in ``select`` or ``poll``, from any thread and from signal handlers."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress

_CAPACITY = 65536  # as much as a pipe holds, so that one read empties it


class WakeupPipe:
    """A pipe that is readable after ``wake`` until ``drain``.

    No method ever takes a lock, so a signal handler may interrupt ``wake`` in any place and call it
    again. After ``close`` the pipe is not written to, as its descriptor may then be another file's:
    if ``close`` comes during a call of ``wake``, that call closes the descriptors when it is done.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        for fd in (self._reader, self._writer):
            os.set_blocking(fd, False)
        self._open = [(self._reader, self._writer)]  # popped by the one that closes them
        self._writers: deque[None] = deque()  # one per call of ``wake``; append and pop are atomic
        self._closing = False

    def fileno(self) -> int:
        """Return the file descriptor to wait on; -1 after ``close``."""
        return self._reader

    def wake(self) -> None:
        """Make the pipe readable; does nothing after ``close``."""
        self._writers.append(None)
        try:
            if not self._closing:
                # The pipe may be full, which is as good. If the application has closed it, the
                # thread that waits on it fails, and reports that.
                with suppress(OSError):
                    os.write(self._writer, b"\0")
        finally:
            self._writers.pop()
            self._close_if_unused()

    def drain(self) -> None:
        """Read what ``wake`` wrote; call it when the pipe is readable."""
        os.read(self._reader, _CAPACITY)

    def close(self) -> None:
        """Close the pipe; idempotent, and never waits."""
        self._closing = True
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if not self._closing or self._writers:
            return
        with suppress(IndexError):
            fds = self._open.pop()
            self._reader = self._writer = -1
            for fd in fds:
                with suppress(OSError):
                    os.close(fd)
