"""The log thread: hands the supervisor's and its workers' records to the application's logging.

A handler of the application may raise, or block on a terminal or pipe that nobody reads; supervision goes on meanwhile. A
warning that repeats, as of a callback that raises for each event, is logged once a minute, and those in between are counted.
A logger whose warnings are all different is slowed down.
"""

from __future__ import annotations

import logging
import time
import traceback
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import NamedTuple

from msgspec.structs import replace

from cluster_kit.membership.pace import Pace
from cluster_kit.supervisor.ending import Ending
from cluster_kit.supervisor.thread import UndoableThread
from cluster_kit.throttle import REPEAT_S, Throttle
from cluster_kit.worker.messages import Logged, fault_of

OURS = "cluster_kit.supervisor"
_MOST_WAITING = 10_000  # records; some megabytes
_JOIN_S = 2.0
_MOST_HELD_BACK = 256  # kinds of which the last record is kept
_BURST = 20  # kinds of warnings from one logger without a wait
_INTERVAL_S = 3.0  # between two of them after that


class _Record(NamedTuple):
    logged: Logged
    topology: str | None
    node: str | None = None

    def marked(self, mark: str, *, whole: bool = True) -> _Record:
        """Return the same with ``mark`` at the end of its first line, and without the other lines unless ``whole``."""
        first, newline, rest = self.logged.text.partition("\n")
        text = f"{first}{mark}{newline}{rest}" if whole else f"{first}{mark}"
        return self._replace(logged=replace(self.logged, text=text))

    @property
    def origin(self) -> str:
        """Who logged it."""
        return f"{self.topology} {self.logged.logger}"

    @property
    def kind(self) -> str:
        """What is the same in records of the same fault; without an exception, that is the whole text."""
        return f"{self.origin} {self.logged.level} {self.logged.fault or self.logged.text}"


class LogRelay:
    """Owns the thread, from ``start`` until everything that came before ``close`` is logged.

    Args:
        node: Name of the node, for ``record.node``.
    """

    def __init__(self, node: str | None = None) -> None:
        self._node = node
        self._records: SimpleQueue[_Record | None] = SimpleQueue()
        self._dropped = 0
        self._throttle = Throttle()
        self._pace = Pace(_INTERVAL_S)
        self._held_back: dict[str, _Record] = {}
        self._tell_at_s = 0.0
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
        self.replay(Logged(OURS, level, text, fault_of(exc) if exc is not None else None))

    def replay(self, logged: Logged, topology: str | None = None) -> None:
        """Log a worker's record under its own logger; ``record.topology`` and ``record.node`` say whose it is."""
        if self._records.qsize() < _MOST_WAITING:
            self._records.put(_Record(logged, topology, self._node))
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
        while (record := self._next()) is not None:
            self._pass_on(record)
            if self._dropped:
                text = f"{self._dropped} log records were dropped while the application's logging was held up"
                self._dropped = 0
                _hand_over(_Record(Logged(OURS, logging.WARNING, text), None, self._node))
        self._tell_rest()
        self._ended.set()

    def _next(self) -> _Record | None:
        """Wait for a record; meanwhile, say when it is time what was held back."""
        while True:
            wait_s = max(0.0, self._tell_at_s - time.monotonic()) if self._held_back else None
            if wait_s == 0.0:
                self._tell_rest()
                continue
            with suppress(Empty):
                return self._records.get(timeout=wait_s)

    def _pass_on(self, record: _Record) -> None:
        """Hand over a record, unless it is a warning that repeats."""
        now_s, kind = time.monotonic(), record.kind
        if kind not in self._throttle and not self._pace.room(record.origin, now_s, _BURST):
            kind = record.origin  # each of its texts is another one
        if record.logged.level < logging.WARNING:
            _hand_over(record)
        elif self._throttle.passes(kind, now_s):
            self._pace.took(record.origin, now_s)
            self._held_back.pop(kind, None)
            _hand_over(record.marked(self._throttle.more(kind)))
        elif kind in self._held_back or len(self._held_back) < _MOST_HELD_BACK:
            self._tell_at_s = self._tell_at_s if self._held_back else now_s + REPEAT_S
            self._held_back[kind] = record

    def _tell_rest(self) -> None:
        """Say what was held back and not told yet: the last word on a source may be that it fails."""
        for kind, number in self._throttle.rest(time.monotonic()):
            if kind in self._held_back:
                _hand_over(self._held_back[kind].marked(f" (the last of {number} more of this kind)", whole=False))
        self._held_back.clear()


def _hand_over(record: _Record) -> None:
    logged = record.logged
    try:
        origin = {"topology": record.topology, "node": record.node}
        extra = {key: value for key, value in origin.items() if value}
        logging.getLogger(logged.logger).log(logged.level, "%s", logged.text, extra=extra)
    except BaseException:  # noqa: BLE001 - a handler or filter of the application
        if logging.raiseExceptions:
            with suppress(Exception):  # standard error may be no better
                traceback.print_exc()
