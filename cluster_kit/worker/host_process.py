"""What a worker does to the process that it runs in: it ends it, and forwards all that it logs.

Where many workers share one process, as in a simulation, each gets a stand-in.
"""

from __future__ import annotations

import logging
import os
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import NoReturn, Protocol

from cluster_kit.errors import described
from cluster_kit.pipe.messages import Logged, fault_of

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

        logging.root.handlers[:] = [ChannelHandler(forward)]
        logging.root.setLevel(level)
        logging.captureWarnings(True)


class ChannelHandler(logging.Handler):
    """Hands each record to ``send`` as a ``Logged``, with its traceback in the text."""

    def __init__(self, send: Callable[[Logged], None]) -> None:
        super().__init__()
        self._send = send
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Format and send ``record``; if it can't be formatted, say where it comes from."""
        try:
            text = str.__str__(self.format(record))
        except BaseException as exc:  # noqa: BLE001 - logging must never take down what logs
            where = f"{record.pathname}:{record.lineno}"
            text = f"a log record of {where} cannot be formatted: {described(exc)}"
        raised = record.exc_info[1] if record.exc_info else None
        fault = fault_of(raised) if raised is not None else None
        self._send(Logged(str.__str__(record.name), int(record.levelno), text, fault))
