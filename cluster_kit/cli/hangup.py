"""What SIGHUP is to ``cluster-kit run``: the order to read its file again, or the end of the terminal it was started from."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue


class Hangups:
    """Takes SIGHUP from when it is made; the main thread makes it."""

    def __init__(self) -> None:
        self._told = SimpleQueue[None]()
        self._attended = _is_attended()
        signal.signal(signal.SIGHUP, lambda *_: self._told.put(None))

    def follow(self, reload: Callable[[], None], leave: Callable[[], None]) -> None:
        """Have one or the other called for each, in a thread of its own."""
        threading.Thread(target=self._follow, args=(reload, leave), daemon=True).start()

    def _follow(self, reload: Callable[[], None], leave: Callable[[], None]) -> None:
        while True:
            self._told.get()
            while not self._told.empty():  # one answer serves all that came before it
                self._told.get()
            if self._attended and not _is_attended():
                leave()
            else:
                reload()


def _is_attended() -> bool:
    """Whether somebody sits at the terminal; one that has hung up is none any more."""
    return any(os.isatty(stream) for stream in (0, 1, 2))
