"""Wakes the supervising loop from any thread, and from a signal handler, which may interrupt the ringing itself."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

_MANY = 65536  # more than a pipe holds: one reading hears everything


class Bell:
    """A pipe that nobody writes to after it was closed, when its number may be somebody else's.

    Nobody waits for the lock who may be waited for: who closes the bell while it is being rung leaves that to the ringer.
    """

    def __init__(self) -> None:
        self._heard, self._rung = os.pipe()
        for fd in (self._heard, self._rung):
            os.set_blocking(fd, False)
        self._lock = threading.RLock()
        self._ringing = 0  # deeper than one where a signal handler rings amid the ringing
        self._over = False

    def fileno(self) -> int:
        """Return the file descriptor to wait on."""
        return self._heard

    def ring(self) -> None:
        """Have the loop wake up; nothing if that is over."""
        with self._lock:
            self._ringing += 1
            try:
                if not self._over:
                    with suppress(OSError):  # it is full; or the application closed it: the thread fails for it, and says so
                        os.write(self._rung, b"\0")
            finally:
                self._ringing -= 1
        self._release()

    def heard(self) -> None:
        """Take the ringing in."""
        os.read(self._heard, _MANY)

    def close(self) -> None:
        """Ring no more."""
        self._over = True
        self._release()

    def _release(self) -> None:
        if self._over and self._lock.acquire(blocking=False):
            try:
                if not self._ringing and self._heard >= 0:
                    for fd in (self._heard, self._rung):
                        with suppress(OSError):
                            os.close(fd)
                    self._heard = self._rung = -1
            finally:
                self._lock.release()
