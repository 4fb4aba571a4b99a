"""``run_virtually``: ``asyncio.run`` in virtual time."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

from cluster_kit.errors import LeakError, VirtualTimeError
from cluster_kit.testing.rules import older_objects_frozen
from cluster_kit.testing.virtual_time.loop import VirtualLoop
from cluster_kit.testing.virtual_time.timeline import Timeline

HOUR_S = 3600.0

T = TypeVar("T")


def run_virtually(main: Coroutine[Any, Any, T], *, limit_s: float = HOUR_S) -> T:
    """Run ``main`` as ``asyncio.run`` does, in virtual time.

    Args:
        main: The coroutine to run.
        limit_s: The most virtual time that it may take.

    Raises:
        DeadlockError: Nothing is left to happen and ``main`` still waits; the message lists the
            waiting tasks.
        LeakError: ``main`` used something of the real world, such as a socket or a thread.
        VirtualTimeError: ``main`` took longer than ``limit_s``, or left an exception unhandled.
    """
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("run_virtually() cannot be called from a running event loop")
    timeline = Timeline(limit_s=limit_s)
    with older_objects_frozen():
        try:
            with asyncio.Runner(loop_factory=partial(VirtualLoop, timeline)) as runner:
                result = runner.run(main)
        except BaseException as exc:
            for unhandled in timeline.unhandled:
                exc.add_note(f"also unhandled: {unhandled.message}: {unhandled.exception!r}")
            raise
        finally:
            timeline.close()
            gc.collect()  # a task reports its unretrieved exception when it is collected
    if timeline.unhandled:
        first = timeline.unhandled[0]
        if isinstance(first.exception, LeakError):
            raise first.exception
        raise VirtualTimeError(
            f"virtual time: unhandled exception: {first.message}: {first.exception!r}"
        ) from first.exception
    return result
