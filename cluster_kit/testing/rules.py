"""How the rules of the suites are run, and how their failures quote the contract."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

PARTICIPANTS = ("ann", "bob", "cat")

Rule = Callable[..., Coroutine[Any, Any, None] | None]


def contract(sentence: str) -> Callable[[Rule], Callable[..., None]]:
    """Decorate a rule with the sentence that it checks, a quotation from the contract or the docs.

    If an assertion of the rule fails, its message begins with that sentence; any other exception
    gets the sentence as a note.

    A rule that is a coroutine function is run by its suite's ``play``. Its first parameters may be
    ``PARTICIPANTS``, which ``play`` provides; pytest provides the others.
    """

    def decorate(rule: Rule) -> Callable[..., None]:
        parameters = inspect.signature(rule).parameters
        participants = [name for name in PARTICIPANTS if name in parameters]
        others = [each for name, each in parameters.items() if name not in participants]
        signature = inspect.Signature(others)

        @wraps(rule)
        def checked(*args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            try:
                if inspect.iscoroutinefunction(rule):
                    arguments = signature.bind(*args, **kwargs).arguments
                    suite = arguments.pop("self")
                    suite.play(partial(rule, suite, **arguments), *participants)
                else:
                    rule(*args, **kwargs)
            except AssertionError as exc:
                # changed in place, which keeps the traceback
                exc.args = (f"contract: {sentence!r}\n{exc}",)
                raise
            except Exception as exc:
                exc.add_note(f"contract: {sentence!r}")
                raise

        checked.__contract__ = sentence  # type: ignore[attr-defined]
        checked.__signature__ = signature  # type: ignore[attr-defined] # for pytest
        return checked

    return decorate


def run_to_end(scenario: Coroutine[Any, Any, None], grace_s: float) -> None:
    """Run ``scenario`` in a separate event loop, then cancel the tasks that it left.

    A task that is still running ``grace_s`` seconds later is abandoned, while ``asyncio.run`` would
    wait for it forever: the rules on cancellation fail, and all others still finish.
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
    """Run ``scenario``, and fail if an exception in a callback or task of it was never handled."""
    unhandled: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unhandled.append(_described(context)))
    with older_objects_frozen():
        try:
            await scenario
            gc.collect()  # a task reports its unretrieved exception when it is collected
            await asyncio.sleep(0)
        finally:
            loop.set_exception_handler(None)
    assert not unhandled, f"unhandled: {'; '.join(unhandled)}"


@contextmanager
def older_objects_frozen() -> Iterator[None]:
    """Exclude all older objects from garbage collection, which is quick then."""
    is_outermost = not gc.get_freeze_count()
    if is_outermost:
        gc.freeze()
    try:
        yield
    finally:
        if is_outermost:
            gc.unfreeze()


def _described(context: dict[str, Any]) -> str:
    return f"{context['message']}: {context.get('exception')!r}"
