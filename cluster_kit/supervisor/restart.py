"""Whether and when a worker that ended is replaced. Pure.

Source: https://www.erlang.org/doc/apps/stdlib/supervisor.html, "Restart intensity and period" and "Child specification".
Differs: restarts are spaced by a back-off, and too many of them make a crash loop, which goes on slowly and leaves the other
topologies alone; OTP ends the supervisor, and so do we when ``escalate`` says so. The supervisor's own order to stop is not an
exit to decide on.
"""

from __future__ import annotations

from dataclasses import dataclass

from cluster_kit.config import ChildSpec
from cluster_kit.membership.backoff import Backoff
from cluster_kit.membership.intensity import Intensity

FIRST_RESTART_S = 0.1
LAST_RESTART_S = 15.0

_BACKOFF = Backoff(FIRST_RESTART_S, LAST_RESTART_S)
_CRASH_LOOP_BACKOFF = Backoff(LAST_RESTART_S, LAST_RESTART_S)


@dataclass(frozen=True, slots=True)
class Restart:
    """Start another worker ``delay_s`` from now; ``crash_looping``: it has been restarted too often."""

    delay_s: float
    crash_looping: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """Start no other worker; the topology has ended."""


@dataclass(frozen=True, slots=True)
class Escalate:
    """Too many restarts: stop the whole supervisor."""


Decision = Restart | Stop | Escalate


class RestartPolicy:
    """Decides for one worker. A crash loop is over once a worker has served for longer than ``max_seconds``."""

    def __init__(self, spec: ChildSpec) -> None:
        self.crash_looping = False
        self._spec = spec
        self._intensity = Intensity(spec.max_restarts, spec.max_seconds)
        self._restarts = 0  # in a row, none of which served for long
        self._serving_since_s: float | None = None

    def serving(self, now_s: float) -> None:
        """Take in that the worker began to serve."""
        self._serving_since_s = now_s

    def recovers_at_s(self) -> float | None:
        """Return when ``recover`` is due, should the worker keep serving; ``None`` where there is nothing to recover from."""
        if not self.crash_looping or self._serving_since_s is None:
            return None
        return self._serving_since_s + self._spec.max_seconds

    def recover(self, now_s: float) -> bool:
        """End the crash loop if the worker has served for long enough; return whether that is so."""
        recovers_at_s = self.recovers_at_s()
        recovered = recovers_at_s is not None and now_s >= recovers_at_s
        if recovered:
            self._calm_down()
        return recovered

    def exited(self, *, normal: bool, now_s: float, jitter: float) -> Decision:
        """Decide what follows the worker's end.

        Args:
            normal: Whether it ended by itself, without a failure.
            now_s: The time, monotonic.
            jitter: From 0 to 1; the part of the longest delay to wait.
        """
        if self._serving_since_s is not None and now_s - self._serving_since_s > self._spec.max_seconds:
            self._calm_down()
        self._serving_since_s = None
        if not self._is_restarted(normal):
            return Stop()
        too_often = self._intensity.add(now_s)
        if too_often and self._spec.escalate:
            return Escalate()
        self._restarts += 1
        self.crash_looping = self.crash_looping or too_often
        backoff = _CRASH_LOOP_BACKOFF if self.crash_looping else _BACKOFF
        return Restart(backoff.delay_s(self._restarts, jitter), self.crash_looping)

    def _is_restarted(self, normal: bool) -> bool:
        return self._spec.restart == "permanent" or (self._spec.restart == "transient" and not normal)

    def _calm_down(self) -> None:
        self.crash_looping = False
        self._restarts = 0
