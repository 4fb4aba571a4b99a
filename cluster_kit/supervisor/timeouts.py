"""Time-outs that callers give, checked before anybody waits."""

from __future__ import annotations

import math
import threading
from typing import Any

_MOST_S = threading.TIMEOUT_MAX / 2  # some more may be added to it


def checked_s(value: Any, what: str) -> float:
    """Return seconds that can be waited for; infinity becomes the longest time there is.

    Raises:
        TypeError: ``value`` is no number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise TypeError(f"{what} {value!r:.80}: expected a number of seconds")
    return min(value, _MOST_S)


def checked_s_or_none(value: Any, what: str) -> float | None:
    """Return seconds that can be waited for, or ``None`` for as long as it takes."""
    return None if value is None else checked_s(value, what)
