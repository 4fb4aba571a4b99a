"""A daemon thread whose start can be undone, wherever an exception interrupted that.

After an exception nobody knows whether the system has a new thread that will run in a moment. So the
first one decides: the thread, which then runs to its end, or the one who undoes its start.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class UndoableThread:
    """Runs ``run`` once. Make it where it is started: one that was made before a fork can't start after it."""

    def __init__(self, run: Callable[[], None], name: str) -> None:
        self._do = run
        self._claim = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start it; raises ``RuntimeError`` if the system has no thread to give."""
        self._thread.start()

    def undo_start(self) -> bool:
        """Keep it from running; return whether that succeeded, else it runs and comes to its end by itself."""
        return self._claim.acquire(blocking=False)

    @property
    def is_current(self) -> bool:
        """Whether this is the thread that asks."""
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        if self._claim.acquire(blocking=False):
            self._do()
