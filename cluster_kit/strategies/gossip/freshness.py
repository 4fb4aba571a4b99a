"""Distinguishes live datagrams from recordings. Pure.

An unknown run is believed once it has sent back a nonce of ours, which proves that it existed after
we made the nonce. From then on its stamps have to grow.

Stamps are also times, so an attacker can't hold back a run's datagrams and deliver them one by one
when the run is long gone. A datagram that arrives more than the time to live later than its stamp
suggests proves nothing, nor does one after a silence of that length. Then the run has to send back
a nonce again.

An older datagram of a run is useless once a newer one has arrived. So there is no need for a window
of stamps that may still come (RFC 4303 A2): the highest one suffices.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from enum import Enum, auto

from msgspec import Struct

from cluster_kit.rate_limit import TokenBucket
from cluster_kit.strategies.gossip.peers import MAX_PEERS
from cluster_kit.wire.envelope import NO_NONCE, NONCE_BYTES
from cluster_kit.wire.gossip import Boot

NONCE_S = 5.0  # until the next nonce; the last one still counts, as an answer may be under way
ASKS_PER_S = 400.0  # as many answers as one socket can hold
AGAIN_S = 0.05  # until an unknown run is asked again, doubled each time; announcements are as close
MAX_ASKED = 2048  # runs that are remembered, with the time to ask them again
_US = 1_000_000


class Liveness(Enum):
    """Whether a datagram is live."""

    FRESH = auto()
    """The run sent it just now."""
    REPEATED = auto()
    """This datagram, or a later one of the same run, was heard before."""
    UNPROVED = auto()
    """It may be a recording."""


class _Run(Struct):
    """A run that has proved to be live."""

    stamp: int
    ahead_us: float  # how far its clock is ahead of ours
    heard_s: float
    echoed: bytes


class _AskedRun(Struct):
    """A run that was asked to send back a nonce and has not done so yet."""

    next_s: float
    wait_s: float
    echoed: bytes = NO_NONCE


class Freshness:
    """The runs that are known to be live, and those that have been asked.

    Args:
        key: The key from which nonces are derived: random, and new for each run.
        ttl_s: For how many seconds a run counts as alive after it was heard.
    """

    def __init__(self, key: bytes, *, ttl_s: float) -> None:
        self._key = key
        self._ttl_s = ttl_s
        self._kept_s = max(ttl_s, 2 * NONCE_S)  # as long as any of its answers could be repeated
        self._longest_wait_s = ttl_s / 2
        self._runs: OrderedDict[Boot, _Run] = OrderedDict()  # those heard longest ago to the front
        self._asked: OrderedDict[Boot, _AskedRun] = OrderedDict()
        self._asks = TokenBucket(ASKS_PER_S, ASKS_PER_S)
        self._slot = -1
        self._nonces = (NO_NONCE, NO_NONCE)  # of now, and the one before

    def __len__(self) -> int:
        return len(self._runs)

    def nonce(self, now_s: float) -> bytes:
        """Return a nonce; sent back, it proves a live sender within two times ``NONCE_S``."""
        slot = int(now_s / NONCE_S)
        if slot != self._slot:
            self._slot = slot
            self._nonces = self._made(slot), self._made(slot - 1)
        return self._nonces[0]

    def _made(self, slot: int) -> bytes:
        return hmac.digest(self._key, slot.to_bytes(8, signed=True), "sha256")[:NONCE_BYTES]

    def judge(self, boot: Boot, stamp: int, echo: bytes, now_s: float) -> Liveness:
        """Judge an authentic datagram, and remember its stamp."""
        run = self._runs.get(boot)
        if run is not None and stamp <= run.stamp:
            return Liveness.REPEATED
        if echo != NO_NONCE and self._is_ours(echo, now_s):
            self._prove(boot, stamp, now_s)
            return Liveness.FRESH
        if run is None or now_s - run.heard_s > self._ttl_s:
            return Liveness.UNPROVED
        late_s = now_s + (run.ahead_us - stamp) / _US
        if late_s > self._ttl_s:
            return Liveness.UNPROVED
        run.stamp, run.heard_s = stamp, now_s
        run.ahead_us = max(run.ahead_us, stamp - now_s * _US)
        self._runs.move_to_end(boot)
        return Liveness.FRESH

    def _is_ours(self, echo: bytes, now_s: float) -> bool:
        self.nonce(now_s)
        return echo in self._nonces  # timing reveals nothing: the sender has the secret

    def _prove(self, boot: Boot, stamp: int, now_s: float) -> None:
        asked = self._asked.pop(boot, None)
        echoed = asked.echoed if asked else NO_NONCE
        self._runs[boot] = _Run(stamp, stamp - now_s * _US, now_s, echoed)
        self._runs.move_to_end(boot)
        while len(self._runs) > MAX_PEERS or self._is_past(next(iter(self._runs.values())), now_s):
            self._runs.popitem(last=False)

    def _is_past(self, run: _Run, now_s: float) -> bool:
        return now_s - run.heard_s > self._kept_s

    def is_proved(self, boot: Boot, now_s: float) -> bool:
        """Whether the run counts as alive."""
        run = self._runs.get(boot)
        return run is not None and now_s - run.heard_s <= self._ttl_s

    def may_ask(self, boot: Boot, now_s: float, *, in_s: float) -> bool:
        """Return whether to ask a run, ``in_s`` seconds from now; if so, it counts as asked.

        A run that doesn't answer is asked less and less often, so that recordings leave room to ask
        others.
        """
        before = self._asked.get(boot)
        if (before is not None and now_s < before.next_s) or not self._asks.take(now_s):
            return False
        wait_s = AGAIN_S if before is None else min(2 * before.wait_s, self._longest_wait_s)
        self._asked[boot] = _AskedRun(now_s + in_s + wait_s, wait_s)
        self._asked.move_to_end(boot)
        if len(self._asked) > MAX_ASKED:
            self._asked.popitem(last=False)
        return True

    def asked(self, boot: Boot, echoed: bytes) -> None:
        """Note that a run has been asked, and which of its own nonces the question carried."""
        if (asked := self._asked.get(boot)) is not None:
            asked.echoed = echoed

    def must_echo(self, boot: Boot, nonce: bytes) -> bool:
        """Return whether to send back the nonce of a known run: not if our question has carried it.

        That counts once: a run that asks again has not received it.
        """
        run = self._runs[boot]
        echoed, run.echoed = run.echoed, NO_NONCE
        return nonce != echoed
