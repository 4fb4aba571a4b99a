"""Waits for the end of a thread of ours, also in a signal handler that interrupts who waits for the same.

``Thread.join`` and ``Event.wait`` hold a lock for a moment when they return; a handler that comes in that moment and waits,
too, waits for the very frame that it interrupted.
"""

from __future__ import annotations

import time
from queue import Empty, SimpleQueue

_LOOK_S = 1.0  # an exception in the wrong moment can cost a token, never more than this


class Ending:
    """Comes once."""

    def __init__(self) -> None:
        self.come = False
        self._tokens: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Say that it has come."""
        self.come = True
        self._tokens.put(None)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it comes; return whether it has."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self.come:
            left_s = _LOOK_S if deadline_s is None else deadline_s - time.monotonic()
            if left_s <= 0:
                return False
            try:
                self._tokens.get(timeout=min(left_s, _LOOK_S))
            except Empty:
                continue
            self._tokens.put(None)  # for the next one
        return True
