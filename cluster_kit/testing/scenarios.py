"""Runs the scenario of a rule to its end, whatever the plugin does, and says which sentence of the contract it broke."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from inspect import cleandoc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest


def run_to_end(scenario: Coroutine[Any, Any, None], grace_s: float) -> None:
    """Run ``scenario`` in an event loop of its own, like ``asyncio.run``, but for waiting forever for tasks that go on.

    Raises:
        AssertionError: A task goes on ``grace_s`` after it was cancelled.
    """
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(scenario)
    finally:
        stubborn = _cancel_all(loop, grace_s)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    assert not stubborn, f"still running {grace_s:g} s after they were cancelled: {', '.join(stubborn)}"


def _cancel_all(loop: asyncio.AbstractEventLoop, grace_s: float) -> list[str]:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=grace_s))
    return sorted(repr(task.get_coro()) for task in tasks if not task.done())


async def without_unhandled(scenario: Coroutine[Any, Any, None]) -> None:
    """Run ``scenario``, and fail if an exception reaches nobody meanwhile: in a callback, or in a task that nobody awaits."""
    unhandled: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unhandled.append(_described(context)))
    try:
        await scenario
        gc.collect()  # a task tells that nobody took its exception when it goes
        await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(None)
    assert not unhandled, f"nobody handles: {'; '.join(unhandled)}"


def _described(context: dict[str, Any]) -> str:
    return f"{context['message']}: {context.get('exception')!r}"


def sentence_of(request: pytest.FixtureRequest) -> str:
    """Return the sentence that a rule is about: the first paragraph of its docstring."""
    return " ".join(cleandoc(request.function.__doc__ or request.node.name).split("\n\n")[0].split())


@contextmanager
def contract(sentence: str) -> Iterator[None]:
    """Let a failure of the block begin with the sentence of the contract that is broken."""
    told = f"contract: '{sentence}'"
    try:
        yield
    except AssertionError as broken:
        broken.args = (f"{told}\n{broken}",)
        raise
    except Exception as broken:
        broken.add_note(told)
        raise
