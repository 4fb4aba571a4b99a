"""How many restarts are too many: OTP's restart intensity."""

from __future__ import annotations

from collections import deque


class Intensity:
    """Counts restarts in a sliding window.

    Source: https://www.erlang.org/doc/apps/stdlib/supervisor.html, "Restart intensity and period";
    both ends of the period belong to it, as in OTP's implementation.
    """

    def __init__(self, max_restarts: int, max_seconds: float) -> None:
        self._max_seconds = max_seconds
        self._restarts: deque[float] = deque(maxlen=max_restarts + 1)

    def add(self, now_s: float) -> bool:
        """Count a restart; return whether there were now more than ``max_restarts`` within
        ``max_seconds``.
        """
        self._restarts.append(now_s)
        return (
            len(self._restarts) == self._restarts.maxlen
            and now_s - self._restarts[0] <= self._max_seconds
        )
