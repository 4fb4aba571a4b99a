"""A lock for an object that any thread of one process calls, until it is over; where it can't be had, it says why."""

from __future__ import annotations

import os
import threading

from cluster_kit.errors import ClusterKitError


class Guarded:
    """What one lock guards.

    Attributes:
        lock: For who was let in already.
        over: Why it can't be used any more; ``None`` while it can.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.end_reason: str | None = None
        self._pid = os.getpid()

    def fork(self, pid: int) -> None:
        """Belong to another process from now on, where this was made before a fork."""
        self._pid = pid
        self.lock = threading.RLock()

    def check_process(self) -> None:
        """Raise ``ClusterKitError`` in a forked child: the lock may be held by a thread that it does not have."""
        if os.getpid() != self._pid:
            raise ClusterKitError(f"supervisor: it belongs to process {self._pid}: make one in each process, after the fork")

    @property
    def entered(self) -> bool:
        """Whether this very thread is inside: a signal handler may interrupt it there."""
        return self.lock._is_owned()  # type: ignore[attr-defined,no-any-return]

    def _guard(self) -> threading.RLock:
        """Return the lock for a call of the application."""
        if self.end_reason is not None:
            raise ClusterKitError(f"topic: {self.end_reason}")
        return self._own_lock()

    def _own_lock(self) -> threading.RLock:
        self.check_process()
        if self.entered:
            raise ClusterKitError(
                "topic: a signal handler that comes amid another call can't make this one: have a thread do it"
            )
        return self.lock
