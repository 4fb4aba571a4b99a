"""Finds out where tasks wait, for the message of a deadlock."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator
from typing import Any


def places_of(tasks: Iterable[asyncio.Task[Any]]) -> Iterator[tuple[str, str]]:
    """Yield the name and place of each task that isn't done, sorted by name."""
    for task in sorted(tasks, key=lambda task: _natural(task.get_name())):
        if not task.done():
            yield task.get_name(), _place(task.get_coro())


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts Task-10 after Task-9."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)
    ]


def _place(awaited: Any) -> str:
    """Return the innermost line at which a coroutine waits, outside asyncio itself."""
    place = "an unknown place"
    while frame := getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None):
        if not frame.f_globals.get("__name__", "").startswith("asyncio."):
            place = f"{awaited.__qualname__} ({frame.f_code.co_filename}:{frame.f_lineno})"
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)
    return place
