"""Log records of a worker reach the application's logging: the worker formats and sends them, the
supervisor replays them.
"""

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
        """Format and send ``record``; of one that can't be formatted, say where it is from."""
        try:
            text = str.__str__(self.format(record))
        except BaseException as exc:  # noqa: BLE001 - logging must never take down what logs
            text = (
                f"a log record of {record.pathname}:{record.lineno} cannot be formatted: "
                f"{described(exc)}"
            )
        raised = record.exc_info[1] if record.exc_info else None
        fault = fault_of(raised) if raised is not None else None
        self._send(Logged(str.__str__(record.name), int(record.levelno), text, fault))


def forward_logs(send: Callable[[Logged], None], level: int) -> None:
    """Make this process's root logger send everything from ``level`` up through ``send``, and
    nowhere else.
    """
    logging.root.handlers[:] = [ChannelHandler(send)]
    logging.root.setLevel(level)
    logging.captureWarnings(True)
