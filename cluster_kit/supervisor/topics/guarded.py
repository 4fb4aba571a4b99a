"""A lock that any thread of one process may take, except if that would deadlock."""

from __future__ import annotations

import os
import threading

from cluster_kit.errors import ClusterKitError
from cluster_kit.supervisor.threads import check_process, is_held


class Guarded:
    """Base of an object whose methods any thread calls until it ends.

    Attributes:
        lock: Guards the object's state.
        end_reason: Why it can't be used any more; ``None`` while it can.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.end_reason: str | None = None
        self._pid = os.getpid()

    def fork(self, pid: int) -> None:
        """Move to process ``pid``, if this was made before a fork."""
        self._pid = pid
        self.lock = threading.RLock()

    def check_process(self) -> None:
        """Raise ``ClusterKitError`` in a forked child, where the lock may never be released."""
        check_process(self._pid)

    @property
    def entered(self) -> bool:
        """Whether this very thread holds the lock, as when a signal handler interrupts it."""
        return is_held(self.lock)

    def _guard(self) -> threading.RLock:
        """Return the lock for a call of the application.

        Raises:
            ClusterKitError: The object has ended, or waiting for the lock could deadlock.
        """
        if self.end_reason is not None:
            raise ClusterKitError(f"topic: {self.end_reason}")
        return self._own_lock()

    def _own_lock(self) -> threading.RLock:
        self.check_process()
        if self.entered:
            text = "topic: a signal handler that interrupts another call can't make this one"
            raise ClusterKitError(f"{text}: use a thread")
        return self.lock
