"""Decides by what is received whether a peer is alive, and measures the round trip.

Only the dialler sends pings, so one exchange of frames serves both ends: the acceptor answers with
a pong at once, which lets the dialler measure the round trip, and learns that time from the next
ping. Everything that is received is a sign of life.

All times are attended time: a process that was stopped or starved finds neither its peers silent
nor its round trips long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from math import inf
from typing import TYPE_CHECKING

from cluster_kit.attended import AttendedClock
from cluster_kit.wire.frames import Ping, Pong
from cluster_kit.wire.link import Role

if TYPE_CHECKING:
    from cluster_kit.connectors.tcp.session import Session

_US = 1_000_000
_WRAP = 2**32  # a token is our clock in microseconds, in 32 bits: it repeats after an hour
_MAX_RTT_S = 60.0  # an older token is not one of ours


class Heartbeat:
    """The signs of life on one connection. Pure.

    Args:
        now_s: When the connection was made.
        silent_s: For how long the peer may be silent.
    """

    def __init__(self, now_s: float, silent_s: float) -> None:
        self._heard_s = now_s
        self._silent_s = silent_s
        self._probe_ends_s: float | None = None
        self._rtt_us = 0

    @property
    def probing(self) -> bool:
        """Whether a probe is waiting for a sign of life."""
        return self._probe_ends_s is not None

    def heard(self, now_s: float) -> None:
        """Note a sign of life."""
        self._heard_s = now_s
        self._probe_ends_s = None

    def probe(self, now_s: float, within_s: float) -> Ping:
        """Return a ping after which there must be a sign of life soon; see ``arbitration``.

        A second probe doesn't put off the deadline of the first.
        """
        self._probe_ends_s = self._probe_ends_s or now_s + within_s
        return self.ping(now_s)

    def ping(self, now_s: float) -> Ping:
        """Return the next ping."""
        return Ping(token=round(now_s * _US) % _WRAP, rtt_us=self._rtt_us)

    def rtt_reported(self, ping: Ping) -> float | None:
        """Return the round-trip time, in seconds, that the peer's ping passes on, if any."""
        return ping.rtt_us / _US if ping.rtt_us else None

    def rtt_measured(self, pong: Pong, now_s: float) -> float | None:
        """Return the round-trip time, in seconds, if ``pong`` answers a recent ping of ours."""
        rtt_us = (round(now_s * _US) - pong.token) % _WRAP
        if rtt_us > _MAX_RTT_S * _US:
            return None
        self._rtt_us = max(1, rtt_us)  # 0 would mean unknown
        return self._rtt_us / _US

    @property
    def silent_at_s(self) -> float:
        """When the peer counts as dead, unless there is a sign of life before."""
        silent_at_s = self._heard_s + self._silent_s
        return silent_at_s if self._probe_ends_s is None else min(silent_at_s, self._probe_ends_s)


class Pulse:
    """Sends the pings of all links, and gives up those whose peer is overdue, by one timer.

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

    def start(self) -> None:
        """Begin with the first beat."""
        self._beat()

    def stop(self) -> None:
        """Beat no more."""
        self._timer.cancel()

    def _beat(self) -> None:
        """Send pings once per heartbeat; a beat in between only judges who may be overdue."""
        late_s = self._clock.tick()
        now_s = self._clock.now_s()
        is_ping_due = self._loop.time() >= self._ping_at_s
        if is_ping_due:
            self._ping_at_s = self._loop.time() + self._heartbeat_s
        for session in list(self._sessions.values()):
            if late_s < self._heartbeat_s / 2 and session.overdue_at_s <= now_s:
                self._give_up(session)
            elif is_ping_due and session.is_up and session.link.role is Role.DIALLER:
                session.send(session.heartbeat.ping(now_s))
        self._beat_later(now_s)

    def _beat_later(self, now_s: float) -> None:
        sessions = self._sessions.values()
        overdue_at_s = min((session.overdue_at_s for session in sessions), default=inf)
        judge_at_s = self._loop.time() + max(overdue_at_s - now_s, self._heartbeat_s / 2)
        self._timer = self._loop.call_at(min(self._ping_at_s, judge_at_s), self._beat)
