"""Decides whether and when a worker that ended is replaced. Pure.

``restart: permanent`` replaces it always, ``transient`` only after an abnormal end, ``temporary``
never. An end is normal if the process exits with code 0 although the supervisor has not
told it to stop. The policy does not apply to a worker that the supervisor has told to stop.

Source: https://www.erlang.org/doc/apps/stdlib/supervisor.html, "Restart intensity and period" and
"Child specification".
Differs: restarts are spaced by a back-off. Too many of them make a *crash loop*, in which the
worker is still replaced, but slowly, and other topologies go on. OTP ends the supervisor instead,
and so do we with ``escalate: true``.
"""

from __future__ import annotations

from dataclasses import dataclass

from cluster_kit.config import ChildSpec
from cluster_kit.errors import RestartLimitError
from cluster_kit.retry import Backoff, Intensity

FIRST_RESTART_S = 0.1
LAST_RESTART_S = 15.0

_BACKOFF = Backoff(FIRST_RESTART_S, LAST_RESTART_S)
_CRASH_LOOP_BACKOFF = Backoff(LAST_RESTART_S, LAST_RESTART_S)


@dataclass(frozen=True, slots=True)
class Replace:
    """Start another worker ``delay_s`` from now; ``crash_looping`` after too many restarts."""

    delay_s: float
    crash_looping: bool


@dataclass(frozen=True, slots=True)
class End:
    """Start no other worker; the topology has ended."""


@dataclass(frozen=True, slots=True)
class Escalate:
    """There were too many restarts: stop the whole supervisor."""


Decision = Replace | End | Escalate


class RestartPolicy:
    """Decides for one topology.

    A crash loop is over once a worker has served for longer than ``max_seconds``.
    """

    def __init__(self, spec: ChildSpec) -> None:
        self.crash_looping = False
        self._spec = spec
        self._intensity = Intensity(spec.max_restarts, spec.max_seconds)
        self._failures = 0  # workers in a row that did not serve for long
        self._serving_since_s: float | None = None

    def serving(self, now_s: float) -> None:
        """Record that the worker began to serve."""
        self._serving_since_s = now_s

    def recovers_at_s(self) -> float | None:
        """Return when the crash loop is over if the worker keeps serving; ``None`` without one."""
        if not self.crash_looping or self._serving_since_s is None:
            return None
        return self._serving_since_s + self._spec.max_seconds

    def recover(self, now_s: float) -> bool:
        """End the crash loop if the worker has served for long enough; return whether it has."""
        recovers_at_s = self.recovers_at_s()
        recovered = recovers_at_s is not None and now_s >= recovers_at_s
        if recovered:
            self._reset()
        return recovered

    def exited(self, *, normal: bool, now_s: float, jitter: float) -> Decision:
        """Decide what follows the worker's end.

        Args:
            normal: Whether it exited with code 0, without an order to stop.
            now_s: The time, monotonic.
            jitter: From 0 to 1; the fraction of the longest delay to wait.
        """
        since_s, self._serving_since_s = self._serving_since_s, None
        if since_s is not None and now_s - since_s > self._spec.max_seconds:
            self._reset()
        if not self._is_restarted(normal=normal):
            return End()
        too_often = self._intensity.add(now_s)
        if too_often and self._spec.escalate:
            return Escalate()
        self._failures += 1
        self.crash_looping = self.crash_looping or too_often
        backoff = _CRASH_LOOP_BACKOFF if self.crash_looping else _BACKOFF
        return Replace(backoff.delay_s(self._failures, jitter), self.crash_looping)

    def _is_restarted(self, *, normal: bool) -> bool:
        if self._spec.restart == "transient":
            return not normal
        return self._spec.restart == "permanent"

    def _reset(self) -> None:
        self.crash_looping = False
        self._failures = 0


def limit_error(topology: str, spec: ChildSpec, error: str) -> RestartLimitError:
    """Return what ``Supervisor.join`` raises after ``Escalate``; ``error`` is the worker's last."""
    most, period_s = spec.max_restarts, spec.max_seconds
    text = f"topology {topology!r}: more than {most} restarts in {period_s:g} s: {error}"
    return RestartLimitError(text, topology=topology, restarts=most, period_s=period_s)
