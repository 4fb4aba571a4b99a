"""Limits how often something may happen: a burst at once, then a steady rate. Pure.

A ``TokenBucket`` counts for one owner. ``RateLimit`` is for callers that keep its state, a single
number, beside other things that they know of a peer; ``KeyedRateLimit`` keeps one for each key.
"""

from __future__ import annotations

from math import inf

_SLACK = 64  # keys that are not worth a clean-up
_ROUNDING = 1e-6


class RateLimit:
    """The rule of a limit.

    The state is one time, ``paid_s``: each happening costs one interval, and at that time all of
    them are paid for. It lies in the past while nothing happens, and a new state is ``-inf``.

    Source: the generic cell rate algorithm of ITU-T I.371, where this is the theoretical arrival
    time.

    Args:
        interval_s: The seconds between two happenings at the steady rate.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s

    def at_s(self, paid_s: float, now_s: float, burst: int) -> float:
        """Return when the next one may happen, if ``burst`` of them may happen at once."""
        return max(now_s, paid_s - (burst - 1) * self._interval_s)

    def room(self, paid_s: float, now_s: float, burst: int) -> int:
        """Return how many may happen now."""
        owed_s = paid_s - now_s
        return burst if owed_s <= 0 else max(0, int(burst - owed_s / self._interval_s + _ROUNDING))

    def charge(self, paid_s: float, now_s: float) -> float:
        """Return the new state after one more."""
        return (paid_s if paid_s > now_s else now_s) + self._interval_s


class TokenBucket:
    """Allows ``per_s`` happenings a second on average, and ``burst`` at once."""

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._tokens = burst
        self._filled_s = 0.0

    def take(self, now_s: float, wanted: int = 1) -> int:
        """Return how many of the wanted ones are allowed now; these count as done."""
        refill = (now_s - self._filled_s) * self._per_s
        self._tokens = min(self._burst, self._tokens + refill)
        self._filled_s = now_s
        granted = min(wanted, int(self._tokens))
        self._tokens -= granted
        return granted


class KeyedRateLimit:
    """A ``RateLimit`` for each of any number of keys; keys that have paid cost nothing."""

    def __init__(self, interval_s: float) -> None:
        self._limit = RateLimit(interval_s)
        self._paid_s: dict[str, float] = {}
        self._clean_up_at = _SLACK

    def room(self, key: str, now_s: float, burst: int) -> int:
        """Return how many may happen now for ``key``."""
        return self._limit.room(self._paid_s.get(key, -inf), now_s, burst)

    def charge(self, key: str, now_s: float) -> None:
        """Count one more for ``key``."""
        self._paid_s[key] = self._limit.charge(self._paid_s.get(key, -inf), now_s)
        if len(self._paid_s) > self._clean_up_at:
            self._paid_s = {each: at_s for each, at_s in self._paid_s.items() if at_s > now_s}
            self._clean_up_at = max(_SLACK, 2 * len(self._paid_s))
