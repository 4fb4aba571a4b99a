"""How often something may happen for each key: a few times at once, then at a steady rate.

Pure.
"""

from __future__ import annotations

_CLEAN_UP_AT = 64  # keys that are not worth a clean-up
_ROUNDING = 1e-6


class Pace:
    """Counts by key; costs nothing while nothing happens.

    Source: the generic cell rate algorithm of ITU-T I.371. The state of a key is one time, at which
    everything that it has taken is paid for.

    Args:
        interval_s: Seconds between two times at the steady rate.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._paid_at_s: dict[str, float] = {}
        self._clean_up_at = _CLEAN_UP_AT

    def at_s(self, key: str, now_s: float, burst: int) -> float:
        """Return the earliest time for ``key``, with ``burst`` of them at once."""
        paid_at_s = self._paid_at_s.get(key)
        return now_s if paid_at_s is None else max(now_s, paid_at_s - (burst - 1) * self._interval_s)

    def room(self, key: str, now_s: float, burst: int) -> int:
        """Return how many times are left for ``key`` now."""
        owed_s = self._paid_at_s.get(key, now_s) - now_s
        return burst if owed_s <= 0 else max(0, int(burst - owed_s / self._interval_s + _ROUNDING))

    def took(self, key: str, now_s: float) -> None:
        """Count one time."""
        paid_at_s = self._paid_at_s.get(key, now_s)
        self._paid_at_s[key] = (paid_at_s if paid_at_s > now_s else now_s) + self._interval_s
        if len(self._paid_at_s) > self._clean_up_at:
            self._paid_at_s = {each: at_s for each, at_s in self._paid_at_s.items() if at_s > now_s}
            self._clean_up_at = max(_CLEAN_UP_AT, 2 * len(self._paid_at_s))
