"""Threads and events that stay correct when a signal handler or an exception interrupts them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from cluster_kit.errors import ClusterKitError

_POLL_S = 1.0  # the longest delay that an exception in the wrong moment can cause


class CancellableThread:
    """A daemon thread that runs ``run`` once, and whose start can be undone.

    When an exception, such as that of Ctrl-C, interrupts ``start``, the system may or may not have
    a new thread that will run in a moment. So a race decides: either the thread is first, and runs
    to its end, or ``undo_start`` is, and the thread does nothing.

    Make it where it is started: one made before a fork cannot start after it.

    Attributes:
        ended: Is set when ``run`` has returned, or what took its place.
    """

    def __init__(self, run: Callable[[], None], name: str) -> None:
        self.ended = OneShotEvent()
        self._do = run
        self._claim = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; raises ``RuntimeError`` if the system refuses."""
        self._thread.start()

    def undo_start(self, instead: Callable[[], None] | None = None) -> None:
        """Prevent the thread from running, and call ``instead`` in its place.

        Does nothing if it runs already: then it ends by itself.
        """
        self._finish(instead)

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended, unless the caller is this thread; return whether it has."""
        return self.ended.is_set if self.is_current else self.ended.wait(timeout_s)

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on this thread."""
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        self._finish(self._do)

    def _finish(self, do: Callable[[], None] | None) -> None:
        if not self._claim.acquire(blocking=False):
            return
        try:
            if do is not None:
                do()
        finally:
            self.ended.set()


class OneShotEvent:
    """An event that is set once, and that signal handlers may wait for.

    ``Thread.join`` and ``Event.wait`` hold a lock for a moment when they return. A signal handler
    that comes in that moment, and waits for the same event, waits for the very frame that it
    interrupted.
    """

    def __init__(self) -> None:
        self.is_set = False
        self._tokens: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Set the event, and wake all who wait for it."""
        self.is_set = True
        self._tokens.put(None)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the event is set; return whether it is."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self.is_set:
            left_s = _POLL_S if deadline_s is None else deadline_s - time.monotonic()
            if left_s <= 0:
                return False
            try:
                self._tokens.get(timeout=min(left_s, _POLL_S))
            except Empty:
                continue
            self._tokens.put(None)  # for the next one who waits
        return True


def is_held(lock: threading.RLock) -> bool:
    """Whether the calling thread holds ``lock``, as when a signal handler interrupts it."""
    return lock._is_owned()  # type: ignore[attr-defined,no-any-return]


def check_process(pid: int) -> None:
    """Raise ``ClusterKitError`` unless this is process ``pid``.

    In a forked child, a lock may never be released, and no thread of ours runs.
    """
    if os.getpid() != pid:
        text = f"supervisor: it belongs to process {pid}"
        raise ClusterKitError(f"{text}: create one per process, after the fork")
