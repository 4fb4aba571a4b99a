"""Sends the pings of all links, and gives up the peers that have fallen silent, by one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from math import inf

from cluster_kit.attended import AttendedClock
from cluster_kit.connectors.tcp.session import Session


class Pulse:
    """Beats from its creation to ``stop``.

    A timer that fires late gives up nobody: what arrived in the meantime must be read first.

    Args:
        clock: Attended time, which the pulse ticks.
        heartbeat_s: Seconds between two pings.
        sessions: All connections whose stream is open.
        give_up: Called with each connection that is overdue.
    """

    def __init__(
        self,
        clock: AttendedClock,
        heartbeat_s: float,
        sessions: Mapping[int, Session],
        give_up: Callable[[Session], None],
    ) -> None:
        self._clock = clock
        self._heartbeat_s = heartbeat_s
        self._sessions = sessions
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._ping_at_s = self._loop.time()
        self._beat()

    def stop(self) -> None:
        """Beat no more."""
        self._timer.cancel()

    def _beat(self) -> None:
        """Send pings once per heartbeat; a beat in between only judges who may be overdue."""
        late_s = self._clock.tick()
        now_s = self._clock.now_s()
        is_late = late_s >= self._heartbeat_s / 2
        is_ping_due = self._loop.time() >= self._ping_at_s
        if is_ping_due:
            self._ping_at_s = self._loop.time() + self._heartbeat_s
        for session in list(self._sessions.values()):
            if session.overdue_at_s <= now_s and not is_late:
                self._give_up(session)
            elif is_ping_due and session.is_up and session.is_dialled:
                session.send(session.heartbeat.ping(now_s))
        sessions = self._sessions.values()
        overdue_at_s = min((session.overdue_at_s for session in sessions), default=inf)
        judge_at_s = self._loop.time() + max(overdue_at_s - now_s, self._heartbeat_s / 2)
        self._timer = self._loop.call_at(min(self._ping_at_s, judge_at_s), self._beat)
