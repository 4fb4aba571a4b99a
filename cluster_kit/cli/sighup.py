"""SIGHUP for ``cluster-kit run``: reload the file, or leave because the terminal was closed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue


class SighupHandler:
    """Queues each SIGHUP from its creation on; the main thread must create it."""

    def __init__(self) -> None:
        self._received = SimpleQueue[None]()
        self._had_terminal = _has_terminal()
        signal.signal(signal.SIGHUP, lambda *_: self._received.put(None))

    def follow(self, reload: Callable[[], None], leave: Callable[[], None]) -> None:
        """Call one or the other for each signal, in a thread of its own."""
        threading.Thread(target=self._follow, args=(reload, leave), daemon=True).start()

    def _follow(self, reload: Callable[[], None], leave: Callable[[], None]) -> None:
        while True:
            self._received.get()
            while not self._received.empty():  # one reload serves all that came before it
                self._received.get()
            if self._had_terminal and not _has_terminal():
                leave()
            else:
                reload()


def _has_terminal() -> bool:
    """Whether a standard stream is a terminal; one that has hung up no longer is."""
    return any(os.isatty(stream) for stream in (0, 1, 2))
