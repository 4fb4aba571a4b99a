"""Coalesces values that replace each other, so that only the last of many takes effect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class Coalescer(Generic[_Value]):
    """Passes on the latest value, at most once in ``interval_s``.

    Args:
        loop: Calls ``pass_on``, never within ``put``.
        interval_s: Seconds from one value to the next.
        pass_on: Called with the value.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, interval_s: float, pass_on: Callable[[_Value], None]
    ) -> None:
        self._loop = loop
        self._interval_s = interval_s
        self._pass_on = pass_on
        self._pending: list[_Value] = []  # one at most
        self._next_s = 0.0

    def put(self, value: _Value) -> None:
        """Pass on ``value``, unless a newer one comes before its time."""
        if not self._pending:
            self._loop.call_at(self._next_s, self._pass)
        self._pending[:] = [value]

    def _pass(self) -> None:
        self._next_s = self._loop.time() + self._interval_s
        self._pass_on(self._pending.pop())
