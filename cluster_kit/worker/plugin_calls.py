"""The boundary around plugins: whatever a call to one raises ends here, and becomes a value.

A plugin may raise what isn't an ``Exception`` (``SystemExit``, ``CancelledError``, a class of its
own), its exception may have no text, and it may cancel the task that it runs in. So each call gets
a task of its own, and the caller a ``CallResult``.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from cluster_kit.errors import ClusterKitError, ConfigError, described

log = logging.getLogger("cluster_kit.worker")

CLOSE_S = 1.0  # how long a plugin may say goodbye, once it is cancelled or told to stop


class CallResult(NamedTuple):
    """What a plugin returned, or what it raised."""

    value: Any
    error: BaseException | None


async def attempt(
    call: Callable[[], Any],
    timeout_s: float | None = None,
    cut_short: asyncio.Future[None] | None = None,
) -> CallResult:
    """Call a plugin and await what it returns, if that is awaitable.

    The call is cancelled after ``timeout_s``, when ``cut_short`` is done, or with the running task.
    A plugin that ignores its cancellation is awaited to its end, however long that takes:
    otherwise a caller that tries again and again would have it running many times.

    Returns:
        The result; a ``TimeoutError`` if the call was cancelled and nothing else was raised.
    """
    task = asyncio.create_task(_caught(call))
    try:
        either: list[asyncio.Future[Any]] = [task] if cut_short is None else [task, cut_short]
        await asyncio.wait(either, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        # An error that came before the cancellation isn't an answer to it.
        if not task.done() and (error := (await _cancelled(task)).error):
            _log_unless_expected(error)
        raise
    if task.done():
        return _result_of(task)
    late = await _cancelled(task)
    if not task.done():
        log.error("a plugin still runs %g s after it was cancelled: waiting for it", CLOSE_S)
        await asyncio.wait([task])
    return late if late.error is None else CallResult(None, TimeoutError())


async def _caught(call: Callable[[], Any]) -> CallResult:
    try:
        value = call()
        return CallResult(await value if inspect.isawaitable(value) else value, None)
    except BaseException as exc:  # noqa: BLE001 - the boundary
        return CallResult(None, exc)


async def _cancelled(task: asyncio.Task[CallResult]) -> CallResult:
    """Cancel ``task``, and return its result if it ends within ``CLOSE_S``."""
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=CLOSE_S)
    if done:
        return _result_of(task)
    return CallResult(None, TimeoutError(f"still running {CLOSE_S:g} s after it was cancelled"))


def _result_of(task: asyncio.Task[CallResult]) -> CallResult:
    if task.cancelled():
        return CallResult(None, asyncio.CancelledError("it cancelled its own task"))
    return task.result()


def _log_unless_expected(error: BaseException) -> None:
    """Log what a cancelled plugin raised, unless its contract allows that."""
    if not isinstance(error, asyncio.CancelledError | GeneratorExit | ClusterKitError):
        log.error("cancelled, a plugin raised %s", described(error), exc_info=error)


def as_config_error(exc: BaseException, what: str) -> ClusterKitError:
    """Return ``exc`` if the application knows its class, else an error with its description."""
    if isinstance(exc, ClusterKitError) and type(exc).__module__ == ClusterKitError.__module__:
        return exc
    return ConfigError(f"{what} raised {described(exc)}")
