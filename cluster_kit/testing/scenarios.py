"""Runs the scenario of a rule to its end, whatever the plugin does."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any


def run_to_end(scenario: Coroutine[Any, Any, None], grace_s: float) -> None:
    """Run ``scenario`` in an event loop of its own, then cancel what it left.

    A task that goes on for ``grace_s`` seconds after that is abandoned, where ``asyncio.run`` would
    wait for it forever: rules on cancellation fail then, and the others come to an end.
    """
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(scenario)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=grace_s))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


async def without_unhandled(scenario: Coroutine[Any, Any, None]) -> None:
    """Run ``scenario``, and fail if an exception reaches nobody meanwhile: in a callback, or in a
    task that nobody awaits.
    """
    unhandled: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unhandled.append(_described(context)))
    is_first = not gc.get_freeze_count()
    if is_first:
        gc.freeze()  # only what the scenario leaves is looked through at its end
    try:
        await scenario
        gc.collect()  # a task tells that nobody took its exception when it goes
        await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(None)
        if is_first:
            gc.unfreeze()
    assert not unhandled, f"nobody handles: {'; '.join(unhandled)}"


def _described(context: dict[str, Any]) -> str:
    return f"{context['message']}: {context.get('exception')!r}"
