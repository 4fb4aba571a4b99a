"""Ties a rule of a suite to the sentence of the contract that it checks, so that a failure says
what was promised.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

_Args = ParamSpec("_Args")


def contract(sentence: str) -> Callable[[Callable[_Args, None]], Callable[_Args, None]]:
    """Return a decorator for a rule that checks ``sentence``, which stands word for word in
    ``cluster_kit.abc`` or the docs.

    The message of an assertion that fails in the rule then begins with it; any other exception gets
    it as a note.
    """

    def decorate(rule: Callable[_Args, None]) -> Callable[_Args, None]:
        @wraps(rule)
        def checked(*args: _Args.args, **kwargs: _Args.kwargs) -> None:
            __tracebackhide__ = True
            try:
                rule(*args, **kwargs)
            except AssertionError as exc:
                # in place, to keep where it was raised
                exc.args = (f"contract: {sentence!r}\n{exc}",)
                raise
            except Exception as exc:
                exc.add_note(f"contract: {sentence!r}")
                raise

        checked.__contract__ = sentence  # type: ignore[attr-defined]
        return checked

    return decorate
