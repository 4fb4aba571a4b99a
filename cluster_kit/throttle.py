"""Lets a repeating message through once in a while. Pure."""

from __future__ import annotations

from collections import OrderedDict

REPEAT_S = 60.0  # between two messages about the same kind of trouble
_MAX_KEYS = 256  # what is said about strangers must not cost memory without end


class Throttle:
    """Passes each key at most once in ``interval_s``; forgets the key passed longest ago when there are too many."""

    def __init__(self, interval_s: float = REPEAT_S) -> None:
        self._interval_s = interval_s
        self._passed_s: OrderedDict[str, float] = OrderedDict()

    def passes(self, key: str, now_s: float) -> bool:
        """Whether ``key`` may be said now."""
        passed_s = self._passed_s.get(key)
        if passed_s is not None and now_s - passed_s < self._interval_s:
            return False
        self._passed_s[key] = now_s
        self._passed_s.move_to_end(key)
        if len(self._passed_s) > _MAX_KEYS:
            self._passed_s.popitem(last=False)
        return True
