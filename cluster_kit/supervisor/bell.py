"""Wakes the supervising loop from any thread, and from a signal handler, which may interrupt the ringing itself."""

from __future__ import annotations

import os
import threading
from contextlib import suppress


class Bell:
    """An eventfd that nobody rings after it was closed, when its number may be somebody else's.

    Nobody waits for the lock who may be waited for: who closes the bell while it is being rung leaves that to the ringer.
    """

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.RLock()
        self._ringing = 0  # deeper than one where a signal handler rings amid the ringing
        self._over = False

    def fileno(self) -> int:
        """Return the file descriptor to wait on."""
        return self._fd

    def ring(self) -> None:
        """Have the loop wake up; nothing if that is over."""
        with self._lock:
            self._ringing += 1
            try:
                if not self._over:
                    with suppress(OSError):  # the application closed it; the thread fails for it, and says so
                        os.eventfd_write(self._fd, 1)
            finally:
                self._ringing -= 1
        self._release()

    def heard(self) -> None:
        """Take the ringing in."""
        os.eventfd_read(self._fd)

    def close(self) -> None:
        """Ring no more."""
        self._over = True
        self._release()

    def _release(self) -> None:
        if self._over and self._lock.acquire(blocking=False):
            try:
                if not self._ringing and self._fd >= 0:
                    with suppress(OSError):
                        os.close(self._fd)
                    self._fd = -1
            finally:
                self._lock.release()
