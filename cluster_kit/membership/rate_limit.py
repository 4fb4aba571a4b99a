"""How often something may happen for each key: a few times at once, then at a steady rate.

Pure.
"""

from __future__ import annotations

from math import inf

_CLEAN_UP_AT = 64  # keys that are not worth a clean-up
_ROUNDING = 1e-6


class RateLimit:
    """How often something may happen, for those who keep the state.

    Source: the generic cell rate algorithm of ITU-T I.371. The state is one time, at which
    everything that has been taken is paid for: the past, while nothing happens.

    Args:
        interval_s: Seconds between two times at the steady rate.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s

    def at_s(self, paid_s: float, now_s: float, burst: int) -> float:
        """Return the earliest time for the next one, with ``burst`` of them at once."""
        return max(now_s, paid_s - (burst - 1) * self._interval_s)

    def room(self, paid_s: float, now_s: float, burst: int) -> int:
        """Return how many times are left now."""
        owed_s = paid_s - now_s
        return burst if owed_s <= 0 else max(0, int(burst - owed_s / self._interval_s + _ROUNDING))

    def took(self, paid_s: float, now_s: float) -> float:
        """Return by when all is paid for after one more."""
        return (paid_s if paid_s > now_s else now_s) + self._interval_s


class KeyedRateLimit:
    """A ``RateLimit`` for each of any number of keys; costs nothing while nothing happens."""

    def __init__(self, interval_s: float) -> None:
        self._rate = RateLimit(interval_s)
        self._paid_at_s: dict[str, float] = {}
        self._clean_up_at = _CLEAN_UP_AT

    def room(self, key: str, now_s: float, burst: int) -> int:
        """Return how many times are left for ``key`` now."""
        return self._rate.room(self._paid_at_s.get(key, -inf), now_s, burst)

    def took(self, key: str, now_s: float) -> None:
        """Count one time."""
        self._paid_at_s[key] = self._rate.took(self._paid_at_s.get(key, -inf), now_s)
        if len(self._paid_at_s) > self._clean_up_at:
            self._paid_at_s = {each: at_s for each, at_s in self._paid_at_s.items() if at_s > now_s}
            self._clean_up_at = max(_CLEAN_UP_AT, 2 * len(self._paid_at_s))
