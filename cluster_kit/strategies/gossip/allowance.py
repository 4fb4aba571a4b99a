"""How often something may be done, where others cause it. Pure."""

from __future__ import annotations


class Allowance:
    """Allows something ``per_s`` times a second on average, and ``at_once`` times at once."""

    def __init__(self, per_s: float, at_once: float) -> None:
        self._per_s = per_s
        self._at_once = at_once
        self._left = at_once
        self._at_s = 0.0

    def take(self, now_s: float) -> bool:
        """Return whether it may be done now; if so, it counts as done."""
        self._left = min(self._at_once, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True
