"""Decides by what is received whether a peer is alive, and measures the round trip.

Only the dialler sends pings, so one exchange of frames serves both ends: the acceptor answers with
a pong at once, which lets the dialler measure the round trip, and learns that time from the next
ping. Everything that is received is a sign of life.

All times are attended time: a process that was stopped or starved finds neither its peers silent
nor its round trips long.
"""

from __future__ import annotations

from cluster_kit.wire.frames import Ping, Pong

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
