"""How long to wait after failures in a row."""

from __future__ import annotations

from dataclasses import dataclass

_MAX_DOUBLINGS = 64  # far beyond any cap; keeps the power a small number


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter: uniform between nothing and a bound that doubles up to
    ``cap_s``.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: full jitter spreads many
    clients best.
    """

    first_s: float
    cap_s: float

    def delay_s(self, failures: int, jitter: float) -> float:
        """Return the seconds to wait after ``failures`` in a row.

        Args:
            failures: At least one.
            jitter: From 0 to 1; the part of the bound to wait.
        """
        return jitter * min(self.cap_s, self.first_s * 2.0 ** min(failures - 1, _MAX_DOUBLINGS))
