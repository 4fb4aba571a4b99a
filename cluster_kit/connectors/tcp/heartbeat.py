"""Judges one link by what is heard on it, and measures its round trip. Pure.

The dialler asks, the acceptor replies at once; anything received counts as a sign of life. The acceptor is told the round-trip
time with the next question. Time is attended time, so that our own stalls neither count as silence nor as round trip.
"""

from __future__ import annotations

from cluster_kit.wire.frames import Ping, Pong

_US = 1_000_000
_WRAP = 2**32  # a token is microseconds in 32 bits: over an hour until it repeats
_MAX_RTT_S = 60.0  # a token that is older was not ours


class Heartbeat:
    """The signs of life on one connection.

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
