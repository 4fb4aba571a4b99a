"""Checks the time-outs that callers give, before anything waits for them."""

from __future__ import annotations

import math
import threading
from typing import Any

_MOST_S = threading.TIMEOUT_MAX / 2  # leaves room for what callers add


def checked_s(value: Any, what: str) -> float:
    """Return a number of seconds that can be waited for; infinity becomes the longest there is.

    Raises:
        TypeError: ``value`` is not a number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise TypeError(f"{what} {value!r:.80}: expected a number of seconds")
    return min(value, _MOST_S)


def checked_s_or_none(value: Any, what: str) -> float | None:
    """Return ``checked_s``, or ``None`` for no limit."""
    return None if value is None else checked_s(value, what)
