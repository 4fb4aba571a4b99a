"""What a worker does to the process that it runs in; where many of them share one, each gets a
stand-in.
"""

from __future__ import annotations

import os
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import NoReturn, Protocol

from cluster_kit.worker.logs import forward_logs
from cluster_kit.worker.messages import Logged


class Process(Protocol):
    """The process as its worker sees it."""

    def end(self, code: int) -> NoReturn:
        """End at once: tasks and threads of plugins must not keep us."""

    def forward_logs(self, send: Callable[[Logged], None], level: int) -> None:
        """Have all that is logged from ``level`` up go to ``send``, which is called from the event
        loop's thread.
        """


class OwnProcess:
    """A process that has no other purpose than its worker.

    Args:
        loop: Of the thread that makes this.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = threading.get_ident()

    def end(self, code: int) -> NoReturn:
        """See ``Process.end``."""
        os._exit(code)

    def forward_logs(self, send: Callable[[Logged], None], level: int) -> None:
        """See ``Process.forward_logs``; threads of plugins log as well."""

        def forward(logged: Logged) -> None:
            if threading.get_ident() == self._thread:
                send(logged)
            else:
                self._loop.call_soon_threadsafe(send, logged)

        forward_logs(forward, level)
