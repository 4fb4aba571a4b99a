"""Plain data: what may cross from a plugin in a worker to the application, and back."""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 32  # deeper is a mistake, such as a value that contains itself


def check_plain(value: Any, what: str, depth: int = 0) -> None:
    """Check that ``value`` is built of ``None``, bool, int, float, str, bytes, lists, tuples and
    dicts with string keys.

    Raises:
        TypeError: It contains something else, or is nested too deep.
    """
    if depth > MAX_DEPTH:
        raise TypeError(f"{what}: nested deeper than {MAX_DEPTH}: pass plain data")
    if value is None or type(value) in (bool, int, float, str, bytes):
        return
    if type(value) in (list, tuple):
        for item in value:
            check_plain(item, what, depth + 1)
    elif type(value) is dict:
        for key, item in value.items():
            check_plain(item, what, depth + 1)
            if type(key) is not str:
                raise TypeError(f"{what}: key {key!r:.80} is not a string: pass plain data")
    else:
        raise TypeError(
            f"{what}: {value!r:.80} is a {type(value).__name__}: pass plain data (numbers, text, "
            "lists, dicts)"
        )
