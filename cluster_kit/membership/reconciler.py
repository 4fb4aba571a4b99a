"""What to tell the connector, so that the links that exist become the links that are wanted.

The wish comes in as a whole; the state of links and the ends of commands come in one by one; commands go out when they are due.
A wish has to be told even where the link is up already, because the peer opened it: a link stays while either end wants it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.membership.backoff import Backoff
from cluster_kit.membership.lanes import Lane
from cluster_kit.membership.unlinked import Unlinked
from cluster_kit.node import Node

FIRST_RETRY_S = 0.1
LAST_RETRY_S = 5.0
FINAL_RETRY_S = 30.0  # after errors that don't pass by themselves, such as a wrong name
CROSSED_RETRY_S = 1.0  # the peer's own dial is on its way; only if that fails is it our turn again
DETOUR_EVERY = 2  # dials, where there is another address
STABLE_S = LAST_RETRY_S  # a link that lasted this long ends the row of failures
PROMPT_S = 0.25  # a peer that is there answers or refuses by then, most of the time; RFC 8305 (5) waits as long
RENEW_S = 1.0  # a lost SYN is repeated after this time, and then ever more slowly (RFC 6298, 2)
LIVELY_S = 60.0  # a peer that was alive this recently may well answer, even if it didn't just now
MAX_HOPEFUL = 512  # dials in flight; each takes a file descriptor
MAX_DOUBTFUL = 64  # dials in flight to peers that don't answer
MAX_FAREWELLS = 64  # withdrawals in flight

_BACKOFF = Backoff(FIRST_RETRY_S, LAST_RETRY_S)


@dataclass(frozen=True, slots=True)
class Connect:
    """Tell the connector that a link to ``node`` is wanted."""

    node: Node


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Tell the connector that the link to ``node`` is wanted no longer."""

    node: Node


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Let the ``Connect`` to the peer called ``key`` fail now, as it would at its deadline."""

    key: str


Command = Connect | Disconnect | GiveUp


@dataclass(frozen=True, slots=True)
class _Wait:
    """What is remembered of the dials to one peer.

    Attributes:
        failures: How many in a row have failed.
        since_s: When the latest one failed.
        until_s: When the next one is due.
        unanswered: Whether the latest one took so long that nobody seems to be there.
        lively_until_s: Until when the latest sign of life outweighs that.
        tries: How many have failed since the peer was last linked.
        reason: Why the latest one of those failed.
    """

    failures: int = 0
    since_s: float = 0.0
    until_s: float = 0.0
    unanswered: bool = False
    lively_until_s: float = 0.0
    tries: int = 0
    reason: ConnectReason | None = None


_NO_WAIT = _Wait()


class Reconciler:
    """Has one command in flight per peer, and keeps those who don't answer out of the way of those who may.

    A black hole holds its dial until the deadline, so dials run side by side, in two lanes. The hopeful lane is for peers that
    are dialled for the first time, that refuse promptly, or that were alive lately: it is wide, and when it is full the oldest
    dial makes way after ``PROMPT_S``. Peers that left a dial unanswered share the doubtful lane: it is narrow, so the more of
    them there are, the more seldom each is dialled. What makes way fails like any other dial and is tried again.
    """

    def __init__(self) -> None:
        self._hopeful = Lane(MAX_HOPEFUL, PROMPT_S)
        self._doubtful = Lane(MAX_DOUBTFUL, RENEW_S)
        self._farewells = Lane(MAX_FAREWELLS)
        self._lanes = (self._hopeful, self._doubtful, self._farewells)
        self._wanted: Mapping[str, Node] = {}
        self._told: dict[str, Node] = {}  # whom the connector may believe to be wanted
        self._settled: set[str] = set()  # who is linked, and the wish told since
        self._outdated: set[str] = set()  # who is linked, and has changed since the wish was told
        self._up_since_s: dict[str, float] = {}
        self._waits: dict[str, _Wait] = {}  # only of those wanted
        self._detours: dict[str, Node] = {}  # of those, whom the next dial goes to elsewhere
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether no more links are wanted."""
        return self._draining

    def drain(self) -> None:
        """Start no more links."""
        self._draining = True
        for key in self._wanted:
            self._unqueue(key)

    def want(self, wanted: Mapping[str, Node], now_s: float) -> None:
        """Replace the wish."""
        changed = sorted(self._wanted.keys() ^ wanted.keys())
        self._wanted = wanted
        for key in changed:
            if key not in wanted:
                self._waits.pop(key, None)
                self._detours.pop(key, None)
            self._requeue(key, now_s)

    def plan(self, now_s: float) -> list[Command]:
        """Return the commands to start now; each is in flight until its end is reported, which ``GiveUp`` brings forward."""
        due = [key for lane in (self._hopeful, self._doubtful) for key in lane.start(now_s)]
        dials = [Connect(self._detours.pop(key, self._wanted[key])) for key in due]
        self._outdated.difference_update(dial.node.key for dial in dials)
        farewells = [Disconnect(self._told[key]) for key in self._farewells.start(now_s)]
        given_up = [GiveUp(key) for lane in self._lanes for key in lane.evict(now_s)]
        return [*farewells, *dials, *given_up]

    def next_s(self) -> float | None:
        """Return when ``plan`` has something to return, as far as that is only a matter of time."""
        return min((next_s for lane in self._lanes if (next_s := lane.next_s()) is not None), default=None)

    # -- links -----------------------------------------------------------------------------------------------------------------

    def linked(self, key: str, now_s: float) -> None:
        """Take in that a link is up, whoever opened it."""
        self._up_since_s[key] = now_s
        self._settled.discard(key)
        self._detours.pop(key, None)
        self._wait(key, now_s, failures=self._failures(key), until_s=now_s)
        if key in self._waits:
            self._waits[key] = replace(self._waits[key], tries=0, reason=None)

    def unlinked(self, key: str, now_s: float) -> None:
        """Take in that a link is down; one that didn't last counts as a failure."""
        lasted_s = now_s - self._up_since_s.pop(key)
        self._settled.discard(key)
        self._outdated.discard(key)
        self.alive(key, now_s)
        if lasted_s < STABLE_S:
            self._fail(key, now_s, jitter=1.0)
        else:
            self._wait(key, now_s, failures=0, until_s=now_s)

    def renew(self, key: str, now_s: float) -> None:
        """Have the wish for a linked peer told again, because the peer has changed."""
        if key in self._up_since_s:
            self._outdated.add(key)
            self._settled.discard(key)
            self._requeue(key, now_s)

    # -- ends of commands ------------------------------------------------------------------------------------------------------

    def connected(self, key: str, peer: Node, now_s: float) -> None:
        """Take in that ``Connect`` of ``key`` succeeded, and with whom."""
        self._end(key)
        self._told[peer.key] = peer
        for each in sorted({key, peer.key}):
            if each in self._up_since_s:
                if each not in self._outdated:
                    self._settled.add(each)
                self._requeue(each, now_s)
            else:
                self._fail(each, now_s, jitter=1.0)

    def failed(self, key: str, error: ConnectError, now_s: float, jitter: float, elsewhere: Sequence[Node] = ()) -> None:
        """Take in that ``Connect`` of ``key`` failed, which leaves no wish with the connector.

        Where the peer is also told to be ``elsewhere``, every other dial goes there, in turns: at the address that is taken for
        right nobody may ever answer, such as at a forged one.
        """
        unanswered = now_s - self._end(key) >= PROMPT_S
        self._told.pop(key, None)
        self._settled.discard(key)
        if error.reason is ConnectReason.CROSSED:
            self._wait(key, now_s, failures=self._failures(key), until_s=now_s + CROSSED_RETRY_S)
        elif error.retryable or elsewhere:
            self._fail(key, now_s, jitter, unanswered=unanswered)
        else:
            self._wait(key, now_s, failures=self._failures(key) + 1, until_s=now_s + FINAL_RETRY_S * (1 + jitter) / 2)
        if key in self._waits:
            tries = self._waits[key].tries + 1
            self._waits[key] = replace(self._waits[key], tries=tries, reason=error.reason)
            if elsewhere and tries % DETOUR_EVERY == DETOUR_EVERY - 1:
                self._detours[key] = elsewhere[tries // DETOUR_EVERY % len(elsewhere)]

    def disconnected(self, key: str, now_s: float) -> None:
        """Take in that ``Disconnect`` of ``key`` was carried out."""
        self._end(key)
        self._told.pop(key, None)
        self._settled.discard(key)
        self._requeue(key, now_s)

    def _end(self, key: str) -> float:
        """Note that the command of ``key`` is in flight no longer, and return when it started."""
        return next(since_s for lane in self._lanes if (since_s := lane.end(key)) is not None)

    # -- patience --------------------------------------------------------------------------------------------------------------

    def alive(self, key: str, now_s: float) -> None:
        """Note a sign of life of a peer."""
        if key in self._waits and key not in self._up_since_s:
            self._waits[key] = replace(self._waits[key], lively_until_s=now_s + LIVELY_S)

    def encourage(self, key: str, now_s: float) -> None:
        """Dial a peer soon that has just shown up; the shortest wait is kept, whoever claims to have seen it.

        A dial that has been in flight for some time may have sent its latest SYN before the peer was there: it starts anew.
        """
        wait = self._waits.get(key)
        if wait is not None:
            until_s = min(wait.until_s, max(now_s, wait.since_s + FIRST_RETRY_S))
            lively_until_s = now_s + LIVELY_S
            self._waits[key] = replace(wait, failures=0, until_s=until_s, unanswered=False, lively_until_s=lively_until_s)
            self._requeue(key, now_s)
        for lane in (self._hopeful, self._doubtful):
            if key in lane:
                lane.dismiss(key, now_s - RENEW_S)

    def postpone(self, key: str, until_s: float, now_s: float) -> None:
        """Don't dial before ``until_s``."""
        self._wait(key, now_s, failures=self._failures(key), until_s=until_s)

    def _failures(self, key: str) -> int:
        return self._waits.get(key, _NO_WAIT).failures

    def _fail(self, key: str, now_s: float, jitter: float, *, unanswered: bool = False) -> None:
        failures = self._failures(key) + 1
        delay_s = _BACKOFF.delay_s(failures, jitter)
        self._wait(key, now_s, failures=failures, until_s=now_s + delay_s, unanswered=unanswered)

    def _wait(self, key: str, now_s: float, *, failures: int, until_s: float, unanswered: bool = False) -> None:
        if key in self._wanted:
            wait = self._waits.get(key, _NO_WAIT)
            self._waits[key] = replace(wait, failures=failures, since_s=now_s, until_s=until_s, unanswered=unanswered)
        self._requeue(key, now_s)

    # -- what is told of it ----------------------------------------------------------------------------------------------------

    @property
    def failing(self) -> list[str]:
        """Those to whom a dial has failed since they were last linked, in order."""
        return sorted(key for key, wait in self._waits.items() if wait.reason is not None)

    def why_unlinked(self, key: str, now_s: float) -> Unlinked:
        """Return what came of the dials to a peer that is not linked, and when the next one is."""
        wait = self._waits.get(key, _NO_WAIT)
        next_s = None if key not in self._wanted or self._draining else max(0.0, wait.until_s - now_s)
        return Unlinked(key, wait.reason, wait.tries, next_s)

    # -- what is to be done ----------------------------------------------------------------------------------------------------

    def _unqueue(self, key: str) -> None:
        for lane in self._lanes:
            lane.unqueue(key)

    def _requeue(self, key: str, now_s: float) -> None:
        """Have the command that is needed for ``key`` start when its wait is over."""
        self._unqueue(key)
        if any(key in lane for lane in self._lanes):
            return
        wait = self._waits.get(key, _NO_WAIT)
        at_s = max(now_s, wait.until_s)
        if key in self._wanted:
            if key not in self._settled and not self._draining:
                is_doubtful = wait.unanswered and at_s >= wait.lively_until_s
                (self._doubtful if is_doubtful else self._hopeful).queue(key, at_s)
        elif key in self._told:
            self._farewells.queue(key, at_s)
