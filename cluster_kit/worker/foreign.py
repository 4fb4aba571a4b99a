"""The boundary around what plugins do in a worker: whatever they raise ends there, and none of our
tasks ends with them.

A plugin may raise what is no ``Exception`` (``SystemExit``, ``CancelledError``, a class of its
own), an exception may have no text, and it may cancel the task that it runs in. So it gets a task
of its own, and what came of that is a value.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from cluster_kit.errors import ClusterKitError, ConfigError, described

log = logging.getLogger("cluster_kit.worker")

CLOSE_S = 1.0  # what DESIGN grants a plugin to say goodbye, once it is cancelled or told to stop


class Outcome(NamedTuple):
    """What came of a call to a plugin: a value, or what it raised."""

    value: Any
    error: BaseException | None


async def attempt(
    call: Callable[[], Any],
    timeout_s: float | None = None,
    cut_short: asyncio.Future[None] | None = None,
) -> Outcome:
    """Call a plugin and await what it returns, if that is to be awaited; cancelled with the running
    task.

    Args:
        call: Calls the plugin.
        timeout_s: How long that may take.
        cut_short: Ends that time early once it is done.

    Returns:
        Its outcome; ``TimeoutError`` if it took longer than it might. One that goes on after it was
        cancelled is awaited to its end, so that whoever asks again and again never has it running
        twice.
    """
    task = asyncio.create_task(_caught(call))
    try:
        either: list[asyncio.Future[Any]] = [task] if cut_short is None else [task, cut_short]
        await asyncio.wait(either, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        # what ended just before is no odd end
        if not task.done() and (error := (await _cancelled(task)).error):
            _log_odd_end(error)
        raise
    if task.done():
        return _outcome_of(task)
    late = await _cancelled(task)
    if not task.done():
        log.error("a plugin goes on %g s after it was cancelled: it is waited for", CLOSE_S)
        await asyncio.wait([task])
    return late if late.error is None else Outcome(None, TimeoutError())


async def _caught(call: Callable[[], Any]) -> Outcome:
    try:
        value = call()
        return Outcome(await value if inspect.isawaitable(value) else value, None)
    except BaseException as exc:  # noqa: BLE001 - the boundary
        return Outcome(None, exc)


async def _cancelled(task: asyncio.Task[Outcome]) -> Outcome:
    """Cancel and return what came of that within ``CLOSE_S``."""
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=CLOSE_S)
    return (
        _outcome_of(task)
        if done
        else Outcome(None, TimeoutError(f"it goes on {CLOSE_S:g} s after it was cancelled"))
    )


def _outcome_of(task: asyncio.Task[Outcome]) -> Outcome:
    return (
        Outcome(None, asyncio.CancelledError("it cancelled its own task"))
        if task.cancelled()
        else task.result()
    )


def _log_odd_end(error: BaseException) -> None:
    # what a contract allows is not odd
    if not isinstance(error, asyncio.CancelledError | GeneratorExit | ClusterKitError):
        log.error("cancelled, a plugin raised %s", described(error), exc_info=error)


def as_config_error(exc: BaseException, what: str) -> ClusterKitError:
    """Return ``exc`` if it is an error of ours, that the application knows, else one that says what
    ``what`` raised.
    """
    if isinstance(exc, ClusterKitError) and type(exc).__module__ == ClusterKitError.__module__:
        return exc
    return ConfigError(f"{what} raised {described(exc)}")
