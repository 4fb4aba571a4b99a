"""Sends a worker's log records, already formatted, to the supervisor, which replays them."""

from __future__ import annotations

import logging
from collections.abc import Callable

from cluster_kit.errors import described
from cluster_kit.worker.messages import Logged, fault_of


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


def forward_logs(send: Callable[[Logged], None], level: int) -> None:
    """Make this process's root logger pass everything from ``level`` up to ``send`` alone."""
    logging.root.handlers[:] = [ChannelHandler(send)]
    logging.root.setLevel(level)
    logging.captureWarnings(True)
