"""Passes on the last of many values that replace each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class Latest(Generic[_Value]):
    """Passes on what was put last, at most once in ``interval_s``.

    Args:
        loop: Where it is passed on, never within ``put``.
        interval_s: Seconds from one value to the next.
        pass_on: Called with the value.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, interval_s: float, pass_on: Callable[[_Value], None]
    ) -> None:
        self._loop = loop
        self._interval_s = interval_s
        self._pass_on = pass_on
        self._waiting: list[_Value] = []
        self._next_s = 0.0

    def put(self, value: _Value) -> None:
        """Pass on ``value``, unless another one comes before its time."""
        if not self._waiting:
            self._loop.call_at(self._next_s, self._pass)
        self._waiting[:] = [value]

    def _pass(self) -> None:
        self._next_s = self._loop.time() + self._interval_s
        self._pass_on(self._waiting.pop())
