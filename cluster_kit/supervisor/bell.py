"""Wakes the supervising loop from any thread, and from a signal handler, which may interrupt the ringing itself."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress

_MANY = 65536  # more than a pipe holds: one reading hears everything


class Bell:
    """A pipe that nobody writes to after it was closed, when its number may be somebody else's.

    There is no lock, as a signal handler may come amid the ringing and wait for another thread that rings. Who closes the bell
    while it is being rung leaves that to the ringer: either the ringer sees that it is over, or the other sees him.
    """

    def __init__(self) -> None:
        self._heard, self._rung = os.pipe()
        for fd in (self._heard, self._rung):
            os.set_blocking(fd, False)
        self._open = [(self._heard, self._rung)]  # whoever pops it closes it; nobody else does
        self._ringers: deque[None] = deque()  # one for each ringing under way; appending and popping are atomic
        self._over = False

    def fileno(self) -> int:
        """Return the file descriptor to wait on."""
        return self._heard

    def ring(self) -> None:
        """Have the loop wake up; nothing if that is over."""
        self._ringers.append(None)
        try:
            if not self._over:
                with suppress(OSError):  # it is full; or the application closed it: the thread fails for it, and says so
                    os.write(self._rung, b"\0")
        finally:
            self._ringers.pop()
            self._release()

    def heard(self) -> None:
        """Take the ringing in."""
        os.read(self._heard, _MANY)

    def close(self) -> None:
        """Ring no more."""
        self._over = True
        self._release()

    def _release(self) -> None:
        if not self._over or self._ringers:
            return
        with suppress(IndexError):
            fds = self._open.pop()
            self._heard = self._rung = -1
            for fd in fds:
                with suppress(OSError):
                    os.close(fd)
