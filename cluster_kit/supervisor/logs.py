"""The log thread: passes records of the supervisor and its workers to the application's logging.

A handler of the application may raise, or block on a terminal or pipe that is not read;
supervision goes on meanwhile. A warning that repeats, such as that of a callback which raises for
each event, is logged once a minute, and those in between are counted. A logger whose warnings all
differ is slowed down.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import NamedTuple

from msgspec.structs import replace

from cluster_kit.pipe.messages import Logged, fault_of
from cluster_kit.rate_limit import KeyedRateLimit
from cluster_kit.supervisor.threads import CancellableThread
from cluster_kit.throttle import REPEAT_S, Throttle

OURS = "cluster_kit.supervisor"
_MAX_QUEUED = 10_000  # records; some megabytes
_JOIN_S = 2.0
_MAX_HELD_BACK = 256  # kinds whose last record is kept
_BURST = 20  # kinds of warnings that one logger may log without a wait
_INTERVAL_S = 3.0  # between two of them after that


class _QueuedRecord(NamedTuple):
    logged: Logged
    topology: str | None
    node: str | None = None

    def marked(self, mark: str, *, whole: bool = True) -> _QueuedRecord:
        """Return the record with ``mark`` at the end of its first line.

        The other lines, such as a traceback, are left out unless ``whole``.
        """
        first, newline, rest = self.logged.text.partition("\n")
        text = f"{first}{mark}{newline}{rest}" if whole else f"{first}{mark}"
        return self._replace(logged=replace(self.logged, text=text))

    @property
    def origin(self) -> str:
        """Who logged it."""
        return f"{self.topology} {self.logged.logger}"

    @property
    def kind(self) -> str:
        """The key that records of the same fault share; the text if there is no exception."""
        return f"{self.origin} {self.logged.level} {self.logged.fault or self.logged.text}"


class LogRelay:
    """Owns the log thread, from ``start`` until everything that came before ``close`` is logged.

    Args:
        node: Name of the node, for ``record.node``.
        repeat_s: Seconds between two records of a warning that repeats.
        monotonic_s: Returns the time by which these seconds count.
    """

    def __init__(
        self,
        node: str | None = None,
        *,
        repeat_s: float = REPEAT_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._repeat_s = repeat_s
        self._monotonic_s = monotonic_s
        self._records: SimpleQueue[_QueuedRecord | None] = SimpleQueue()
        self._dropped = 0
        self._throttle = Throttle(repeat_s)
        self._pace = KeyedRateLimit(_INTERVAL_S)
        self._held_back: dict[str, _QueuedRecord] = {}
        self._flush_at_s = 0.0  # when ``_held_back`` is logged, if it holds anything
        self._thread: CancellableThread | None = None

    def start(self) -> None:
        """Start logging."""
        self._thread = CancellableThread(self._run, "cluster-kit-logs")
        self._thread.start()

    def undo_start(self) -> None:
        """Prevent the thread from running; does nothing if it runs already."""
        if self._thread is not None:
            self._thread.undo_start()

    def log(self, level: int, text: str, exc: BaseException | None = None) -> None:
        """Log ``text``, with the traceback of ``exc``; never waits. Thread-safe."""
        if exc is not None:
            text = f"{text}\n{''.join(traceback.format_exception(exc)).rstrip()}"
        self.replay(Logged(OURS, level, text, fault_of(exc) if exc is not None else None))

    def replay(self, logged: Logged, topology: str | None = None) -> None:
        """Log a worker's record under its own logger.

        Its attributes ``topology`` and ``node`` say which worker it came from.
        """
        if self._records.qsize() < _MAX_QUEUED:
            self._records.put(_QueuedRecord(logged, topology, self._node))
        else:
            self._dropped += 1

    def close(self) -> None:
        """Log the queued records, then end; idempotent."""
        self._records.put(None)

    def join(self) -> None:
        """Wait until everything is logged, but not long for a handler that blocks."""
        if self._thread is not None:
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        while (record := self._next()) is not None:
            self._pass_on(record)
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                why = "while the application's logging was held up"
                text = f"{dropped} log records were dropped {why}"
                _emit(_QueuedRecord(Logged(OURS, logging.WARNING, text), None, self._node))
        self._flush_held_back()

    def _next(self) -> _QueuedRecord | None:
        """Wait for a record; log in between what was held back, when it is time."""
        while True:
            wait_s = None
            if self._held_back:
                wait_s = max(0.0, self._flush_at_s - self._monotonic_s())
            if wait_s == 0.0:
                self._flush_held_back()
                continue
            with suppress(Empty):
                return self._records.get(timeout=wait_s)

    def _pass_on(self, record: _QueuedRecord) -> None:
        """Log a record, unless it is a warning that repeats."""
        now_s, kind = self._monotonic_s(), record.kind
        if kind not in self._throttle and not self._pace.room(record.origin, now_s, _BURST):
            kind = record.origin  # its texts all differ, so they count as one kind
        if record.logged.level < logging.WARNING:
            _emit(record)
        elif self._throttle.passes(kind, now_s):
            self._pace.charge(record.origin, now_s)
            self._held_back.pop(kind, None)
            _emit(record.marked(self._throttle.more(kind)))
        elif kind in self._held_back or len(self._held_back) < _MAX_HELD_BACK:
            if not self._held_back:
                self._flush_at_s = now_s + self._repeat_s
            self._held_back[kind] = record

    def _flush_held_back(self) -> None:
        """Log the last record of each kind that was held back.

        It may be the one that matters, such as that a source fails again.
        """
        for kind, number in self._throttle.rest(self._monotonic_s()):
            if kind in self._held_back:
                mark = f" (the last of {number} more of this kind)"
                _emit(self._held_back[kind].marked(mark, whole=False))
        self._held_back.clear()


def _emit(record: _QueuedRecord) -> None:
    logged = record.logged
    try:
        origin = {"topology": record.topology, "node": record.node}
        extra = {key: value for key, value in origin.items() if value}
        logging.getLogger(logged.logger).log(logged.level, "%s", logged.text, extra=extra)
    except BaseException:  # noqa: BLE001 - a handler or filter of the application
        if logging.raiseExceptions:
            with suppress(Exception):  # standard error may be no better
                traceback.print_exc()
