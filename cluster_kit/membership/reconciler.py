"""What to tell the connector, so that the links that exist become the links that are wanted.

The wish comes in as a whole; the state of links and the ends of commands come in one by one;
commands go out when they are due. A wish has to be told even where the link is up already, because
the peer opened it: a link stays while either end wants it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.membership.command_queue import CommandQueue
from cluster_kit.membership.peer import Peer, Peers, Wait
from cluster_kit.membership.retry import Backoff
from cluster_kit.membership.unlinked import Unlinked
from cluster_kit.node import Node

FIRST_RETRY_S = 0.1
LAST_RETRY_S = 5.0
FINAL_RETRY_S = 30.0  # after errors that don't pass by themselves, such as a wrong name
CROSSED_RETRY_S = 1.0  # the peer's own dial is on its way; only if that fails is it our turn again
DETOUR_EVERY = 2  # dials, where there is another address
STABLE_S = LAST_RETRY_S  # a link that lasted this long ends the row of failures
# a peer that is there answers or refuses by then, most of the time; RFC 8305 (5) waits as long
PROMPT_S = 0.25
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


class Reconciler:
    """Has one command in flight per peer, and keeps those who don't answer out of the way of those
    who may.

    A black hole holds its dial until the deadline, so dials run side by side, in two lanes. The
    hopeful lane is for peers that are dialled for the first time, that refuse promptly, or that
    were alive lately: it is wide, and when it is full the oldest dial makes way after ``PROMPT_S``.
    Peers that left a dial unanswered share the doubtful lane: it is narrow, so the more of them
    there are, the more seldom each is dialled. What makes way fails like any other dial and is
    tried again.
    """

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._hopeful = CommandQueue(peers, MAX_HOPEFUL, PROMPT_S)
        self._doubtful = CommandQueue(peers, MAX_DOUBTFUL, RENEW_S)
        self._farewells = CommandQueue(peers, MAX_FAREWELLS)
        self._lanes = (self._hopeful, self._doubtful, self._farewells)
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether no more links are wanted."""
        return self._draining

    def drain(self) -> None:
        """Start no more links."""
        self._draining = True
        for key, peer in self._peers.items():
            if peer.wanted:
                self._unqueue(key)

    def reconsider(self, changed: Iterable[str], now_s: float) -> None:
        """React to that it has changed whether these are wanted."""
        for key in changed:
            peer = self._peers[key]
            if not peer.wanted:
                peer.wait = peer.detour = None
            self._requeue(peer, now_s)

    def plan(self, now_s: float) -> list[Command]:
        """Return the commands to start now; each is in flight until its end is reported, which
        ``GiveUp`` brings forward.
        """
        due = [key for lane in (self._hopeful, self._doubtful) for key in lane.start(now_s)]
        dials = [Connect(self._dialled(self._peers[key])) for key in due]
        farewells = [
            Disconnect(node)
            for key in self._farewells.start(now_s)
            if (node := self._peers[key].told)
        ]
        given_up = [GiveUp(key) for lane in self._lanes for key in lane.evict(now_s)]
        return [*farewells, *dials, *given_up]

    def next_s(self) -> float | None:
        """Return when ``plan`` has something to return, as far as that is only a matter of time."""
        return min(
            (next_s for lane in self._lanes if (next_s := lane.next_s()) is not None), default=None
        )

    # -- links -------------------------------------------------------------------------------------

    def linked(self, key: str, now_s: float) -> None:
        """Take in that a link is up, whoever opened it."""
        peer = self._peers[key]
        peer.up_since_s = now_s
        peer.settled = False
        peer.detour = None
        self._wait(peer, now_s, failures=_failures(peer), until_s=now_s)
        if peer.wait:
            peer.wait.tries, peer.wait.reason = 0, None

    def unlinked(self, key: str, now_s: float) -> None:
        """Take in that a link is down; one that didn't last counts as a failure."""
        peer = self._peers[key]
        since_s, peer.up_since_s = peer.up_since_s, None
        peer.settled = peer.outdated = False
        self.alive(key, now_s)
        if since_s is not None and now_s - since_s < STABLE_S:
            self._fail(peer, now_s, jitter=1.0)
        else:
            self._wait(peer, now_s, failures=0, until_s=now_s)

    def renew(self, key: str, now_s: float) -> None:
        """Have the wish for a linked peer told again, because the peer has changed."""
        peer = self._peers[key]
        if peer.up:
            peer.outdated = True
            peer.settled = False
            self._requeue(peer, now_s)

    # -- ends of commands --------------------------------------------------------------------------

    def connected(self, key: str, node: Node, now_s: float) -> None:
        """Take in that ``Connect`` of ``key`` succeeded, and with whom."""
        self._end(key)
        self._peers[node.key].told = node
        for each in sorted({key, node.key}):
            peer = self._peers[each]
            if peer.up:
                peer.settled = peer.settled or not peer.outdated
                self._requeue(peer, now_s)
            else:
                self._fail(peer, now_s, jitter=1.0)

    def failed(
        self,
        key: str,
        error: ConnectError,
        now_s: float,
        jitter: float,
        elsewhere: Sequence[Node] = (),
    ) -> None:
        """Take in that ``Connect`` of ``key`` failed, which leaves no wish with the connector.

        Where the peer is also told to be ``elsewhere``, every other dial goes there, in turns: at
        the address that is taken for right nobody may ever answer, such as at a forged one.
        """
        peer = self._peers[key]
        unanswered = now_s - self._end(key) >= PROMPT_S
        peer.told = None
        peer.settled = False
        if error.reason is ConnectReason.CROSSED:
            self._wait(peer, now_s, failures=_failures(peer), until_s=now_s + CROSSED_RETRY_S)
        elif error.retryable or elsewhere:
            self._fail(peer, now_s, jitter, unanswered=unanswered)
        else:
            until_s = now_s + FINAL_RETRY_S * (1 + jitter) / 2
            self._wait(peer, now_s, failures=_failures(peer) + 1, until_s=until_s)
        if peer.wait:
            peer.wait.tries += 1
            peer.wait.reason = error.reason
            if elsewhere and peer.wait.tries % DETOUR_EVERY == DETOUR_EVERY - 1:
                peer.detour = elsewhere[peer.wait.tries // DETOUR_EVERY % len(elsewhere)]

    def disconnected(self, key: str, now_s: float) -> None:
        """Take in that ``Disconnect`` of ``key`` was carried out."""
        self._end(key)
        peer = self._peers[key]
        peer.told = None
        peer.settled = False
        self._requeue(peer, now_s)

    def _end(self, key: str) -> float:
        """Note that the command of ``key`` is in flight no longer, and return when it started."""
        return next(since_s for lane in self._lanes if (since_s := lane.end(key)) is not None)

    # -- patience ----------------------------------------------------------------------------------

    def alive(self, key: str, now_s: float) -> None:
        """Note a sign of life of a peer."""
        peer = self._peers[key]
        if peer.wait and not peer.up:
            peer.wait.lively_until_s = now_s + LIVELY_S

    def encourage(self, key: str, now_s: float) -> None:
        """Dial a peer soon that has just shown up; the shortest wait is kept, whoever claims to
        have seen it.

        A dial that has been in flight for some time may have sent its latest SYN before the peer
        was there: it starts anew.
        """
        peer = self._peers[key]
        if wait := peer.wait:
            wait.failures = 0
            wait.until_s = min(wait.until_s, max(now_s, wait.since_s + FIRST_RETRY_S))
            wait.unanswered = False
            wait.lively_until_s = now_s + LIVELY_S
            self._requeue(peer, now_s)
        for lane in (self._hopeful, self._doubtful):
            if key in lane:
                lane.dismiss(key, now_s - RENEW_S)

    def postpone(self, key: str, until_s: float, now_s: float) -> None:
        """Don't dial before ``until_s``."""
        peer = self._peers[key]
        self._wait(peer, now_s, failures=_failures(peer), until_s=until_s)

    def _fail(self, peer: Peer, now_s: float, jitter: float, *, unanswered: bool = False) -> None:
        failures = _failures(peer) + 1
        delay_s = _BACKOFF.delay_s(failures, jitter)
        self._wait(peer, now_s, failures=failures, until_s=now_s + delay_s, unanswered=unanswered)

    def _wait(
        self, peer: Peer, now_s: float, *, failures: int, until_s: float, unanswered: bool = False
    ) -> None:
        if peer.wanted:
            wait = peer.wait = peer.wait or Wait()
            wait.failures, wait.since_s, wait.until_s, wait.unanswered = (
                failures,
                now_s,
                until_s,
                unanswered,
            )
        self._requeue(peer, now_s)

    def why_unlinked(self, now_s: float, *, only_failing: bool = False) -> list[Unlinked]:
        """Return what came of the dials to known peers that are not linked, by key.

        Args:
            now_s: The time.
            only_failing: Leave out those to whom no dial has failed since they were last linked.
        """
        peers = [
            peer for peer in self._peers.values() if peer.reported_known and not peer.reported_up
        ]
        if only_failing:
            peers = [peer for peer in peers if peer.wait and peer.wait.reason]
        return [
            self._why_unlinked(peer, now_s) for peer in sorted(peers, key=lambda peer: peer.key)
        ]

    def _why_unlinked(self, peer: Peer, now_s: float) -> Unlinked:
        wait = peer.wait or Wait()
        next_s = None if not peer.wanted or self._draining else max(0.0, wait.until_s - now_s)
        return Unlinked(peer.key, wait.reason, wait.tries, next_s)

    # -- what is to be done ------------------------------------------------------------------------

    def _unqueue(self, key: str) -> None:
        for lane in self._lanes:
            lane.unqueue(key)

    def _requeue(self, peer: Peer, now_s: float) -> None:
        """Have the command that is needed for a peer start when its wait is over."""
        key = peer.key
        self._unqueue(key)
        if any(key in lane for lane in self._lanes):
            return
        wait = peer.wait
        at_s = max(now_s, wait.until_s) if wait else now_s
        if peer.wanted:
            if not peer.settled and not self._draining:
                is_doubtful = wait is not None and wait.unanswered and at_s >= wait.lively_until_s
                (self._doubtful if is_doubtful else self._hopeful).queue(key, at_s)
        elif peer.told:
            self._farewells.queue(key, at_s)

    def _dialled(self, peer: Peer) -> Node:
        """Return the node that the dial which starts now goes to, which tells the connector of any
        change.
        """
        node = peer.detour or peer.offer.known or peer.offer.missed
        assert node is not None, f"nothing is offered of {peer.key}, who is wanted"
        peer.detour = None
        peer.outdated = False
        return node


def _failures(peer: Peer) -> int:
    return peer.wait.failures if peer.wait else 0
