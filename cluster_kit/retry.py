"""How long to wait before the next try, and how many restarts are too many. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

_MAX_DOUBLINGS = 64  # far beyond any cap; keeps the power a small number


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter: uniform up to a bound that doubles up to ``cap_s``.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: full jitter spreads many
    clients best.
    """

    first_s: float
    cap_s: float

    def delay_s(self, failures: int, jitter: float) -> float:
        """Return the seconds to wait.

        Args:
            failures: How many tries in a row have failed; at least one.
            jitter: From 0 to 1; the part of the bound to wait.
        """
        return jitter * self.bound_s(failures - 1)

    def bound_s(self, doublings: int) -> float:
        """Return the bound after ``doublings``, for a caller that spreads in another way."""
        return min(self.cap_s, self.first_s * 2.0 ** min(doublings, _MAX_DOUBLINGS))


class Intensity:
    """Counts restarts in a sliding window: OTP's restart intensity.

    Source: https://www.erlang.org/doc/apps/stdlib/supervisor.html, "Restart intensity and period";
    both ends of the period belong to it, as in OTP's implementation.
    """

    def __init__(self, max_restarts: int, max_seconds: float) -> None:
        self._max_seconds = max_seconds
        self._restarts: deque[float] = deque(maxlen=max_restarts + 1)

    def add(self, now_s: float) -> bool:
        """Count a restart; return whether it exceeds ``max_restarts`` within ``max_seconds``."""
        self._restarts.append(now_s)
        is_full = len(self._restarts) == self._restarts.maxlen
        return is_full and now_s - self._restarts[0] <= self._max_seconds
