"""Calls that a thread of ours makes into the application, which may never return."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from cluster_kit.supervisor.threads import OneShotEvent

LIMIT_S = 2.0  # how long one call may take once everything else has ended
_POLL_S = 0.1


class ApplicationCalls:
    """The calls of one thread, one after another."""

    def __init__(self) -> None:
        self._finished = 0
        self._running: Callable[[Any], Any] | None = None

    def call(self, function: Callable[[Any], Any], argument: object) -> None:
        """Call ``function``; exceptions pass through."""
        self._running = function
        try:
            function(argument)
        finally:
            self._running = None
            self._finished += 1

    def wait(self, ended: OneShotEvent) -> Callable[[Any], Any] | None:
        """Wait for the thread to end, or for a call that lasts longer than ``LIMIT_S``.

        Args:
            ended: Is set when the thread has ended; the caller is another one.

        Returns:
            The function that has not returned; ``None`` if the thread has ended.
        """
        finished, since_s = self._finished, time.monotonic()
        while not ended.wait(_POLL_S):
            if self._finished != finished:
                finished, since_s = self._finished, time.monotonic()
            elif (stuck := self._running) is not None and time.monotonic() - since_s > LIMIT_S:
                return stuck
        return None


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a function, or of the class of another callable, for messages."""
    return str(getattr(function, "__qualname__", type(function).__qualname__))
