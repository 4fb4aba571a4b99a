"""Runs a rule in an event loop of its own, and gets to an end also where the plugin can't be stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

_CANCEL_S = 1.0  # for tasks that are still there at the end of a rule, which has failed by then


def run_to_its_end(scenario: Coroutine[Any, Any, None]) -> None:
    """Run ``scenario``, then cancel what it left; a task that ignores that is abandoned, where ``asyncio.run`` would hang."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(scenario)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=_CANCEL_S))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
