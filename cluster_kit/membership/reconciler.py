"""What to tell the connector, so that the links that exist become the links that are wanted.

The wish comes in as a whole; the state of links and the ends of commands come in one by one; commands go out when they are due.
A wish has to be told even where the link is up already, because the peer opened it: a link stays while either end wants it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.membership.backoff import Backoff
from cluster_kit.membership.deadlines import Deadlines
from cluster_kit.node import Node

MAX_IN_FLIGHT = 64  # commands; a black hole holds each dial until its deadline, so some must run side by side
FIRST_RETRY_S = 0.1
LAST_RETRY_S = 5.0
FINAL_RETRY_S = 30.0  # after errors that don't pass by themselves, such as a wrong name
CROSSED_RETRY_S = 1.0  # the peer's own dial is on its way; only if that fails is it our turn again
STABLE_S = LAST_RETRY_S  # a link that lasted this long ends the row of failures

_BACKOFF = Backoff(FIRST_RETRY_S, LAST_RETRY_S)


@dataclass(frozen=True, slots=True)
class Connect:
    """Tell the connector that a link to ``node`` is wanted."""

    node: Node


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Tell the connector that the link to ``node`` is wanted no longer."""

    node: Node


Command = Connect | Disconnect


@dataclass(frozen=True, slots=True)
class _Wait:
    """A peer that is not dialled before ``until_s``, after so many failures in a row, the last one at ``since_s``."""

    failures: int
    since_s: float
    until_s: float


_NO_WAIT = _Wait(0, 0.0, 0.0)


class Reconciler:
    """Has one command in flight per peer and ``MAX_IN_FLIGHT`` in all; who has been due longest goes first."""

    def __init__(self) -> None:
        self._wanted: Mapping[str, Node] = {}
        self._told: dict[str, Node] = {}  # whom the connector may believe to be wanted
        self._settled: set[str] = set()  # who is linked, and the wish told since
        self._up_since_s: dict[str, float] = {}
        self._in_flight: set[str] = set()
        self._waits: dict[str, _Wait] = {}  # only of those wanted
        self._due: Deadlines[str] = Deadlines()  # exactly those for whom there is something to do
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether no more links are wanted."""
        return self._draining

    def drain(self) -> None:
        """Start no more links."""
        self._draining = True
        for key in self._wanted:
            self._due.discard(key)

    def want(self, wanted: Mapping[str, Node], now_s: float) -> None:
        """Replace the wish."""
        changed = self._wanted.keys() ^ wanted.keys()
        self._wanted = wanted
        for key in changed:
            if key not in wanted:
                self._waits.pop(key, None)
            self._requeue(key, now_s)

    def plan(self, now_s: float) -> list[Command]:
        """Return the commands to start now; each is in flight until its end is reported."""
        due = self._due.pop_due(now_s, MAX_IN_FLIGHT - len(self._in_flight))
        commands = {key: command for key in due if (command := self._needed(key))}
        self._in_flight.update(commands)
        return list(commands.values())

    def next_s(self) -> float | None:
        """Return when ``plan`` has something to return, as far as that is only a matter of time."""
        return self._due.next_s() if len(self._in_flight) < MAX_IN_FLIGHT else None

    # -- links -----------------------------------------------------------------------------------------------------------------

    def linked(self, key: str, now_s: float) -> None:
        """Take in that a link is up, whoever opened it."""
        self._up_since_s[key] = now_s
        self._settled.discard(key)
        self._wait(key, now_s, failures=self._failures(key), until_s=now_s)

    def unlinked(self, key: str, now_s: float) -> None:
        """Take in that a link is down; one that didn't last counts as a failure."""
        lasted_s = now_s - self._up_since_s.pop(key)
        self._settled.discard(key)
        if lasted_s < STABLE_S:
            self._fail(key, now_s, jitter=1.0)
        else:
            self._wait(key, now_s, failures=0, until_s=now_s)

    # -- ends of commands ------------------------------------------------------------------------------------------------------

    def connected(self, key: str, peer: Node, now_s: float) -> None:
        """Take in that ``Connect`` of ``key`` succeeded, and with whom."""
        self._in_flight.discard(key)
        self._told[peer.key] = peer
        for each in sorted({key, peer.key}):
            if each in self._up_since_s:
                self._settled.add(each)
                self._requeue(each, now_s)
            else:
                self._fail(each, now_s, jitter=1.0)

    def failed(self, key: str, error: ConnectError, now_s: float, jitter: float) -> None:
        """Take in that ``Connect`` of ``key`` failed, which leaves no wish with the connector."""
        self._forget_told(key)
        if error.reason is ConnectReason.CROSSED:
            self._wait(key, now_s, failures=self._failures(key), until_s=now_s + CROSSED_RETRY_S)
        elif error.retryable:
            self._fail(key, now_s, jitter)
        else:
            self._wait(key, now_s, failures=self._failures(key) + 1, until_s=now_s + FINAL_RETRY_S * (1 + jitter) / 2)

    def _forget_told(self, key: str) -> None:
        self._in_flight.discard(key)
        self._told.pop(key, None)
        self._settled.discard(key)

    def disconnected(self, key: str, now_s: float) -> None:
        """Take in that ``Disconnect`` of ``key`` was carried out."""
        self._forget_told(key)
        self._requeue(key, now_s)

    # -- patience --------------------------------------------------------------------------------------------------------------

    def encourage(self, key: str, now_s: float) -> None:
        """End a wait early, because the peer has just been seen alive; the shortest wait is kept, whoever claims that."""
        wait = self._waits.get(key)
        if wait is not None:
            until_s = min(wait.until_s, max(now_s, wait.since_s + FIRST_RETRY_S))
            self._waits[key] = _Wait(0, wait.since_s, until_s)
            self._requeue(key, now_s)

    def postpone(self, key: str, until_s: float, now_s: float) -> None:
        """Don't dial before ``until_s``."""
        self._wait(key, now_s, failures=self._failures(key), until_s=until_s)

    def _failures(self, key: str) -> int:
        return self._waits.get(key, _NO_WAIT).failures

    def _fail(self, key: str, now_s: float, jitter: float) -> None:
        failures = self._failures(key) + 1
        self._wait(key, now_s, failures=failures, until_s=now_s + _BACKOFF.delay_s(failures, jitter))

    def _wait(self, key: str, now_s: float, *, failures: int, until_s: float) -> None:
        if key in self._wanted:
            self._waits[key] = _Wait(failures, now_s, until_s)
        self._requeue(key, now_s)

    # -- what is to be done ----------------------------------------------------------------------------------------------------

    def _needed(self, key: str) -> Command | None:
        if key in self._in_flight:
            return None
        if key in self._wanted:
            return None if key in self._settled or self._draining else Connect(self._wanted[key])
        return Disconnect(self._told[key]) if key in self._told else None

    def _requeue(self, key: str, now_s: float) -> None:
        if self._needed(key) is None:
            self._due.discard(key)
        else:
            self._due.set(key, max(now_s, self._waits.get(key, _NO_WAIT).until_s))
