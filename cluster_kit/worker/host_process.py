"""What a worker does to the process that it runs in.

Where many workers share one process, as in a simulation, each gets a stand-in.
"""

from __future__ import annotations

import os
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import NoReturn, Protocol

from cluster_kit.worker.logs import forward_logs
from cluster_kit.worker.messages import Logged

EXIT_BROKEN = 70  # EX_SOFTWARE of sysexits.h


class HostProcess(Protocol):
    """The process as its worker sees it."""

    def end(self, code: int) -> NoReturn:
        """End at once, whatever tasks and threads of plugins are doing."""

    def forward_logs(self, send: Callable[[Logged], None], level: int) -> None:
        """Pass log records from ``level`` up to ``send``, called in the event loop's thread."""


class OwnProcess:
    """A process that has no other purpose than its worker.

    Args:
        loop: The event loop of the thread that creates this.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = threading.get_ident()

    def end(self, code: int) -> NoReturn:
        """See ``HostProcess.end``."""
        os._exit(code)

    def forward_logs(self, send: Callable[[Logged], None], level: int) -> None:
        """See ``HostProcess.forward_logs``; threads of plugins log as well."""

        def forward(logged: Logged) -> None:
            if threading.get_ident() == self._thread:
                send(logged)
            else:
                self._loop.call_soon_threadsafe(send, logged)

        forward_logs(forward, level)
