"""Calls functions of the application, plain or async, without blocking the event loop.

A plain function runs in a separate daemon thread, so one that hangs costs a thread and no more.
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

MAX_THREADS = 256  # more than an application needs if its functions return
MAX_LISTED = 100_000  # nodes that a generator may yield
LATE_S = 60.0  # how long an answer that came too late can serve the next call


class Calls:
    """The calls that are in progress; at most one of a plain function for each key.

    Args:
        late_s: How long an answer that nobody waited for can serve the next call.
    """

    def __init__(self, late_s: float = LATE_S) -> None:
        self._late_s = late_s
        self._running: dict[str, _Call] = {}

    def __contains__(self, key: str) -> bool:
        self._forget_old()
        return key in self._running

    async def call(self, key: str, callback: Callback, *last: Any) -> Any:
        """Return what ``callback`` returns for its own arguments and ``last``.

        If this is cancelled, so is an async function. A plain one goes on, and what it returns is
        the answer to the next call with the same ``key``.

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
        """Wait for the call of ``key``, if one is in progress, and return its answer.

        Returns:
            ``False`` if there is none, or if it raised.
        """
        if key not in self:
            return False
        try:
            return await self._answer(key, self._running[key])
        except Exception:  # noqa: BLE001 - the caller of the function has gone
            return False

    async def _answer(self, key: str, running: _Call) -> Any:
        try:
            return await asyncio.wrap_future(running.answer)
        finally:
            if running.answer.done() and self._running.get(key) is running:
                del self._running[key]

    def _start(self, key: str, callback: Callback, last: tuple[Any, ...]) -> _Call:
        if len(self._running) >= MAX_THREADS:
            why = f"{MAX_THREADS} other calls have no answer yet"
            raise ClusterKitError(f"callback: {callback} is not called: {why}")
        running = _Call()
        name = f"callback {callback}"
        Thread(target=running.run, args=(callback, last), name=name, daemon=True).start()
        self._running[key] = running
        return running

    def _forget_old(self) -> None:
        old_s = time.monotonic() - self._late_s
        running = self._running.items()
        self._running = {key: call for key, call in running if call.ended_s > old_s}


class _Call:
    """One call of a plain function."""

    def __init__(self) -> None:
        self.ended_s = math.inf
        self.answer: Future[Any] = Future()
        self.answer.set_running_or_notify_cancel()  # a cancelled waiter doesn't cancel the call

    def run(self, callback: Callback, last: tuple[Any, ...]) -> None:
        """Call the function in this thread, where a generator runs to its end as well."""
        try:
            answer = callback.load()(*callback.args, *last)
            answer = list(islice(answer, MAX_LISTED)) if isinstance(answer, Iterator) else answer
        except ConnectError as exc:
            self.ended_s = time.monotonic()
            self.answer.set_exception(exc)
        except BaseException as exc:  # noqa: BLE001 - even SystemExit must end only this thread
            self.ended_s = time.monotonic()
            error = ClusterKitError(f"callback: {callback} raised {described(exc)}")
            self.answer.set_exception(error)
        else:
            self.ended_s = time.monotonic()
            self.answer.set_result(answer)


def _is_our_cancellation(exc: BaseException) -> bool:
    """Whether our own task was cancelled: the application's function may raise the same."""
    task = asyncio.current_task()
    return isinstance(exc, asyncio.CancelledError) and task is not None and task.cancelling() > 0
