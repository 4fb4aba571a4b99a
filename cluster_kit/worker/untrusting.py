"""Which nodes the log names because they and this one don't trust each other. Pure."""

from __future__ import annotations

import math

from cluster_kit.throttle import REPEAT_S

MOST_NAMED = 16  # a minute
_MOST_COUNTED = 1000


class Untrusting:
    """Lets each node be named once a minute, and a few nodes in all; counts the others."""

    def __init__(self) -> None:
        self._named_at_s: dict[str, float] = {}  # of the last minute, in order
        self._others: set[str] = set()
        # how many others there are; before that, when the first one came
        self._told_at_s = math.inf

    def passes(self, key: str, now_s: float) -> bool:
        """Return whether to name the node ``key`` now."""
        while self._named_at_s and now_s - next(iter(self._named_at_s.values())) >= REPEAT_S:
            del self._named_at_s[next(iter(self._named_at_s))]
        if key in self._named_at_s:
            return False
        if len(self._named_at_s) < MOST_NAMED:
            self._named_at_s[key] = now_s
            self._others.discard(key)
            return True
        if len(self._others) < _MOST_COUNTED:
            self._others.add(key)
            self._told_at_s = min(self._told_at_s, now_s)
        return False

    def others(self, now_s: float) -> int:
        """Return, once a minute, how many nodes there were for whom there was no room, up to 1000;
        zero in between.
        """
        if now_s - self._told_at_s < REPEAT_S:
            return 0
        number = len(self._others)
        self._others.clear()
        self._told_at_s = math.inf
        return number
