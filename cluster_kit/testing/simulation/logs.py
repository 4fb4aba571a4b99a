"""Captures what simulated nodes log, which must not reach the application's own handlers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from cluster_kit.testing.virtual_time.loop import VirtualLoop

Logged = Callable[[VirtualLoop | None, logging.LogRecord], None]


class _Handler(logging.Handler):
    """Calls ``logged`` with each record and the event loop that logged it."""

    def __init__(self, logged: Logged) -> None:
        super().__init__()
        self._logged = logged

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on ``record``."""
        loop = asyncio._get_running_loop()
        self._logged(loop if isinstance(loop, VirtualLoop) else None, record)


@contextmanager
def watched_logs(logged: Logged, level: int = logging.WARNING) -> Iterator[None]:
    """Pass what cluster_kit and asyncio log from ``level`` up to ``logged``, and nowhere else."""
    with ExitStack() as stack:
        for name in ("cluster_kit", "asyncio"):
            stack.enter_context(_watched(logging.getLogger(name), _Handler(logged), level))
        yield


@contextmanager
def _watched(logger: logging.Logger, handler: logging.Handler, level: int) -> Iterator[None]:
    before = logger.level, logger.propagate, logger.handlers[:]
    logger.setLevel(level)
    logger.propagate = False
    logger.handlers[:] = [handler]
    try:
        yield
    finally:
        level, logger.propagate, logger.handlers[:] = before
        logger.setLevel(level)
