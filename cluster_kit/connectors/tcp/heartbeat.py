"""Judges each link by what is heard on it, and measures its round trip.

The dialler asks, the acceptor replies at once; anything received counts as a sign of life. The acceptor is told the round-trip
time with the next question. Time is attended time, so that our own stalls neither count as silence nor as round trip.
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
_WRAP = 2**32  # a token is microseconds in 32 bits: over an hour until it repeats
_MAX_RTT_S = 60.0  # a token that is older was not ours


class Heartbeat:
    """The signs of life on one connection. Pure.

    Args:
        now_s: When the connection was made.
        silent_s: How long the peer may be silent.
    """

    def __init__(self, now_s: float, silent_s: float) -> None:
        self._heard_s = now_s
        self._silent_s = silent_s
        self._probe_ends_s: float | None = None
        self._rtt_us = 0

    @property
    def probing(self) -> bool:
        """Whether a probe waits for a sign of life."""
        return self._probe_ends_s is not None

    def heard(self, now_s: float) -> None:
        """Note a sign of life."""
        self._heard_s = now_s
        self._probe_ends_s = None

    def probe(self, now_s: float, within_s: float) -> Ping:
        """Return a question that must be followed by a sign of life soon."""
        self._probe_ends_s = self._probe_ends_s or now_s + within_s
        return self.ask(now_s)

    def ask(self, now_s: float) -> Ping:
        """Return a question for a sign of life."""
        return Ping(token=round(now_s * _US) % _WRAP, rtt_us=self._rtt_us)

    def asked(self, ping: Ping) -> float | None:
        """Return the round-trip time that the peer tells with its question, if it knows it."""
        return ping.rtt_us / _US if ping.rtt_us else None

    def told(self, pong: Pong, now_s: float) -> float | None:
        """Return the round-trip time that a reply gives."""
        rtt_us = (round(now_s * _US) - pong.token) % _WRAP
        if rtt_us > _MAX_RTT_S * _US:
            return None
        self._rtt_us = max(1, rtt_us)
        return self._rtt_us / _US

    @property
    def silent_at_s(self) -> float:
        """When the peer must be taken for dead, unless there is a sign of life before."""
        silent_at_s = self._heard_s + self._silent_s
        return silent_at_s if self._probe_ends_s is None else min(silent_at_s, self._probe_ends_s)


class Pulse:
    """Asks on all links for signs of life, and finds out who is overdue, by one timer.

    It runs after what has been received is read, and judges nobody when it comes late.

    Args:
        clock: Attended time, which it ticks.
        heartbeat_s: Seconds between two questions.
        sessions: All connections whose stream is open.
        give_up: Called with each that is overdue.
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
        self._ask_at_s = self._loop.time()

    def start(self) -> None:
        """Begin, now and here."""
        self._beat()

    def stop(self) -> None:
        """Do nothing more."""
        self._timer.cancel()

    def _beat(self) -> None:
        """Ask once each heartbeat, and in between only judge who may be overdue."""
        late_s = self._clock.tick()
        now_s = self._clock.now_s()
        asking = self._loop.time() >= self._ask_at_s
        if asking:
            self._ask_at_s = self._loop.time() + self._heartbeat_s
        for session in list(self._sessions.values()):
            if late_s < self._heartbeat_s / 2 and session.overdue_at_s <= now_s:
                self._give_up(session)
            elif asking and session.is_up and session.link.role is Role.DIALLER:
                session.send(session.heartbeat.ask(now_s))
        self._beat_later(now_s)

    def _beat_later(self, now_s: float) -> None:
        overdue_at_s = min((session.overdue_at_s for session in self._sessions.values()), default=inf)
        judge_at_s = self._loop.time() + max(overdue_at_s - now_s, self._heartbeat_s / 2)
        self._timer = self._loop.call_at(min(self._ask_at_s, judge_at_s), self._beat)
