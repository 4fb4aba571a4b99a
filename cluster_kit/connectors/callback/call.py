"""Calls functions of the application, plain or async, from an event loop that none of them may hold up.

A plain function runs in a thread of its own, which nobody waits for at the end: one that hangs costs a thread and no more.
"""

from __future__ import annotations

import asyncio
import inspect
from concurrent.futures import Future
from threading import Thread
from typing import Any

from cluster_kit.config.callback import Callback
from cluster_kit.errors import ClusterKitError, ConnectError, described


class Calls:
    """The calls that are under way, of plain functions at most one for each key."""

    def __init__(self) -> None:
        self._running: dict[str, Future[Any]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._running

    async def call(self, key: str, callback: Callback, *last: Any) -> Any:
        """Return what ``callback`` answers to its own arguments and ``last``.

        Who waits may be cancelled. An async function is cancelled with it; a plain one goes on, and its answer is that of the
        next call with the same ``key``.

        Raises:
            ClusterKitError: The function raised; its own ``ConnectError`` is passed on.
        """
        function = callback.load()
        try:
            if inspect.iscoroutinefunction(function):
                return await function(*callback.args, *last)
            running = self._running.get(key) or self._start(key, callback, last)
            answer = await self._answer(key, running)
            return await answer if inspect.isawaitable(answer) else answer
        except ConnectError:
            raise
        except Exception as exc:  # whatever the application's function raises
            raise ClusterKitError(f"callback: {callback} raised {described(exc)}") from exc

    async def settled(self, key: str) -> Any:
        """Wait for the call of ``key`` that is under way, if there is one, and return its answer; ``False`` if it raised."""
        running = self._running.get(key)
        if running is None:
            return False
        try:
            return await self._answer(key, running)
        except Exception:  # noqa: BLE001 - whatever the application's function raised, nobody is left to be told
            return False

    async def _answer(self, key: str, running: Future[Any]) -> Any:
        try:
            return await asyncio.wrap_future(running)
        finally:
            if running.done() and self._running.get(key) is running:
                del self._running[key]

    def _start(self, key: str, callback: Callback, last: tuple[Any, ...]) -> Future[Any]:
        running: Future[Any] = Future()
        running.set_running_or_notify_cancel()  # who is cancelled while it waits leaves it to the next
        Thread(target=_run, args=(running, callback, last), name=f"callback {callback}", daemon=True).start()
        self._running[key] = running
        return running


def _run(running: Future[Any], callback: Callback, last: tuple[Any, ...]) -> None:
    try:
        answer = callback.load()(*callback.args, *last)
    except ConnectError as exc:
        running.set_exception(exc)
    except BaseException as exc:  # noqa: BLE001 - such as SystemExit, which must end nothing but this thread
        running.set_exception(RuntimeError(described(exc)) if _unfit(exc) else exc)
    else:
        running.set_result(answer)


def _unfit(exc: BaseException) -> bool:
    """Whether an event loop can't take ``exc`` as the end of a future without ending itself."""
    return isinstance(exc, StopIteration) or not isinstance(exc, Exception)
