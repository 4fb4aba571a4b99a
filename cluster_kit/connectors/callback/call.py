"""Calls functions of the application, plain or async, from an event loop that none of them may hold up.

A plain function runs in a thread of its own, which nobody waits for at the end: one that hangs costs a thread and no more.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import time
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import islice
from threading import Thread
from typing import Any

from cluster_kit.config.callback import Callback
from cluster_kit.errors import ClusterKitError, ConnectError, described

MAX_THREADS = 256  # so many functions that hang at once are a fault of whatever they talk to
MAX_LISTED = 100_000  # what a generator may yield
LATE_S = 60.0  # for so long an answer that nobody waited for is that of the next attempt


class Calls:
    """The calls that are under way, of plain functions at most one for each key."""

    def __init__(self) -> None:
        self._running: dict[str, _Call] = {}

    def __contains__(self, key: str) -> bool:
        self._forget_old()
        return key in self._running

    async def call(self, key: str, callback: Callback, *last: Any) -> Any:
        """Return what ``callback`` answers to its own arguments and ``last``.

        Who waits may be cancelled. An async function is cancelled with it; a plain one goes on, and its answer is that of the
        next call with the same ``key``.

        Raises:
            ClusterKitError: The function raised; its own ``ConnectError`` is passed on.
        """
        try:
            function = callback.load()
            if inspect.iscoroutinefunction(function):
                return await function(*callback.args, *last)
            running = self._running[key] if key in self else self._start(key, callback, last)
            answer = await self._answer(key, running)
            return await answer if inspect.isawaitable(answer) else answer
        except ClusterKitError:
            raise
        except BaseException as exc:
            if _is_our_cancellation(exc):
                raise
            raise ClusterKitError(f"callback: {callback} raised {described(exc)}") from exc

    async def settled(self, key: str) -> Any:
        """Wait for the call of ``key`` that is under way, if there is one, and return its answer; ``False`` if it raised."""
        if key not in self:
            return False
        try:
            return await self._answer(key, self._running[key])
        except Exception:  # noqa: BLE001 - whatever the application's function raised, nobody is left to be told
            return False

    async def _answer(self, key: str, running: _Call) -> Any:
        try:
            return await asyncio.wrap_future(running.answer)
        finally:
            if running.answer.done() and self._running.get(key) is running:
                del self._running[key]

    def _start(self, key: str, callback: Callback, last: tuple[Any, ...]) -> _Call:
        if len(self._running) >= MAX_THREADS:
            raise ClusterKitError(f"callback: {callback} is not called: {MAX_THREADS} other calls have no answer yet")
        running = _Call()
        Thread(target=running.run, args=(callback, last), name=f"callback {callback}", daemon=True).start()
        self._running[key] = running
        return running

    def _forget_old(self) -> None:
        old_s = time.monotonic() - LATE_S
        self._running = {key: running for key, running in self._running.items() if running.ended_s > old_s}


class _Call:
    """One call of a plain function."""

    def __init__(self) -> None:
        self.ended_s = math.inf
        self.answer: Future[Any] = Future()
        self.answer.set_running_or_notify_cancel()  # who is cancelled while it waits leaves it to the next

    def run(self, callback: Callback, last: tuple[Any, ...]) -> None:
        """Call it; a generator runs to its end here, too."""
        try:
            answer = callback.load()(*callback.args, *last)
            answer = list(islice(answer, MAX_LISTED)) if isinstance(answer, Iterator) else answer
        except BaseException as exc:  # noqa: BLE001 - such as SystemExit, which must end nothing but this thread
            self.ended_s = time.monotonic()
            self.answer.set_exception(
                ClusterKitError(f"callback: {callback} raised {described(exc)}") if _foreign(exc) else exc
            )
        else:
            self.ended_s = time.monotonic()
            self.answer.set_result(answer)


def _foreign(exc: BaseException) -> bool:
    return not isinstance(exc, ConnectError)


def _is_our_cancellation(exc: BaseException) -> bool:
    """Whether whoever waits was cancelled; an application's function may raise the same by itself."""
    task = asyncio.current_task()
    return isinstance(exc, asyncio.CancelledError) and task is not None and task.cancelling() > 0
