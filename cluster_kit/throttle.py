"""Limits how often messages about the same trouble are repeated. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

REPEAT_S = 60.0  # between two messages about the same trouble
_MAX_KEYS = 256  # strangers must not be able to fill memory with keys


@dataclass(slots=True)
class _Passed:
    at_s: float
    before: int  # how often it was held back before it passed
    since: int = 0  # how often it has been held back since


class Throttle:
    """Passes each key at most once in ``interval_s``, and counts how often it was held back.

    If there are too many keys, the one that passed longest ago is forgotten.
    """

    def __init__(self, interval_s: float = REPEAT_S) -> None:
        self._interval_s = interval_s
        self._passed: OrderedDict[str, _Passed] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        """Whether ``key`` has passed and is not forgotten."""
        return key in self._passed

    def passes(self, key: str, now_s: float) -> bool:
        """Whether ``key`` may pass now; if so, it counts as passed."""
        last = self._passed.get(key)
        if last is not None and now_s - last.at_s < self._interval_s:
            last.since += 1
            return False
        self._passed[key] = _Passed(now_s, before=last.since if last else 0)
        self._passed.move_to_end(key)
        if len(self._passed) > _MAX_KEYS:
            self._passed.popitem(last=False)
        return True

    def more(self, key: str) -> str:
        """Return what to append to a message that passed: how many were held back before it."""
        before = self._passed[key].before
        return f" (and {before} more of this kind before)" if before else ""

    def rest(self, now_s: float) -> Iterator[tuple[str, int]]:
        """Yield each key that was held back, and how often; it counts as passed now."""
        for key, passed in self._passed.items():
            if passed.since:
                yield key, passed.since
                passed.at_s, passed.since = now_s, 0
