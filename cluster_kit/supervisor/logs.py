"""The log thread: hands the supervisor's and its workers' records to the application's logging.

A handler of the application may raise, or block on a terminal or pipe that nobody reads; supervision goes on meanwhile.
"""

from __future__ import annotations

import logging
import traceback
from contextlib import suppress
from queue import SimpleQueue
from typing import NamedTuple

from cluster_kit.supervisor.ending import Ending
from cluster_kit.supervisor.thread import UndoableThread
from cluster_kit.worker.messages import Logged

OURS = "cluster_kit.supervisor"
_MOST_WAITING = 10_000  # records; some megabytes
_JOIN_S = 2.0


class _Record(NamedTuple):
    logged: Logged
    topology: str | None


class LogRelay:
    """Owns the thread, from ``start`` until everything that came before ``close`` is logged."""

    def __init__(self) -> None:
        self._records: SimpleQueue[_Record | None] = SimpleQueue()
        self._dropped = 0
        self._thread: UndoableThread | None = None
        self._ended = Ending()

    def start(self) -> None:
        """Start logging."""
        self._thread = UndoableThread(self._run, "cluster-kit-logs")
        self._thread.start()

    def undo_start(self) -> None:
        """Log nothing, if the thread has not begun; it won't any more."""
        if self._thread is not None and self._thread.undo_start():
            self._ended.set()

    def log(self, level: int, text: str, exc: BaseException | None = None) -> None:
        """Log ``text``, with the traceback of ``exc``; never waits. Thread-safe."""
        if exc is not None:
            text = f"{text}\n{''.join(traceback.format_exception(exc)).rstrip()}"
        self.replay(Logged(OURS, level, text))

    def replay(self, logged: Logged, topology: str | None = None) -> None:
        """Log a worker's record under its own logger; ``record.topology`` says whose it is."""
        if self._records.qsize() < _MOST_WAITING:
            self._records.put(_Record(logged, topology))
        else:
            self._dropped += 1

    def close(self) -> None:
        """Log what is waiting, then end; idempotent."""
        self._records.put(None)

    def join(self) -> None:
        """Wait until everything is logged, but not for long for a handler that blocks."""
        if self._thread is not None and not self._thread.is_current:
            self._ended.wait(_JOIN_S)

    def _run(self) -> None:
        while (record := self._records.get()) is not None:
            _hand_over(record)
            if self._dropped:
                text = f"{self._dropped} log records were dropped while the application's logging was held up"
                self._dropped = 0
                _hand_over(_Record(Logged(OURS, logging.WARNING, text), None))
        self._ended.set()


def _hand_over(record: _Record) -> None:
    logged = record.logged
    try:
        extra = {"topology": record.topology} if record.topology else None
        logging.getLogger(logged.logger).log(logged.level, "%s", logged.text, extra=extra)
    except BaseException:  # noqa: BLE001 - a handler or filter of the application
        if logging.raiseExceptions:
            with suppress(Exception):  # standard error may be no better
                traceback.print_exc()
