"""A clock to judge silence by: it counts only the time during which this process could listen.

A process that was starved, blocked or stopped finds all its peers silent when it goes on. By this
clock, no time has passed meanwhile, so a machine that was suspended takes nobody for dead. The
owner of the clock ticks it from a timer.
"""

from __future__ import annotations

from collections.abc import Callable


class AttendedClock:
    """Monotonic seconds, less the time by which the owner's own ticks came late.

    Args:
        monotonic: The clock to correct, in seconds.
        period_s: The longest intended time between two ticks.
    """

    def __init__(self, monotonic: Callable[[], float], period_s: float) -> None:
        self._monotonic = monotonic
        self._period_s = period_s
        self._missed_s = 0.0
        self._ticked_s = monotonic()

    def now_s(self) -> float:
        """Return attended seconds; a stall that goes on counts as one period at most."""
        now_s, latest_s = self._monotonic(), self._ticked_s + self._period_s
        return (now_s if now_s < latest_s else latest_s) - self._missed_s

    def tick(self) -> float:
        """Note that the owner is listening; return how many seconds late this tick is."""
        now_s = self._monotonic()
        late_s = max(0.0, now_s - self._ticked_s - self._period_s)
        self._missed_s += late_s
        self._ticked_s = now_s
        return late_s
