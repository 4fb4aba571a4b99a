"""Compares the links that are wanted with those that exist, and issues commands to the connector.

The topology's selection, the state of the links and the ends of commands come in; commands go out
when they are due. ``Connect`` is issued even if the peer has opened the link already, because it
also says that this end wants the link: a link stays while either end wants it.

A peer has one command in flight at most. What it needs is worked out anew (``_requeue``) whenever
something about it changes and nothing is in flight for it, so no command is ever based on an
outdated state.

When a dial fails, the next one follows after a back-off with full jitter. A black hole, an address
that neither answers nor refuses, holds a dial until its deadline, so dials run in parallel. They
run in two queues, since a thousand black holes would otherwise take the slots of reachable peers:

- *Hopeful* dials go to peers that are dialled for the first time, that refuse promptly, or that
  were alive lately. This queue is wide. When it is full, the oldest dial makes way after
  ``PROMPT_S``.
- *Doubtful* dials go to peers that left a dial unanswered. This queue is narrow, so the more of
  them there are, the less often each is dialled. A dial makes way after ``RENEW_S``.

A dial that makes way fails like any other and is tried again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.membership.command_queue import CommandQueue
from cluster_kit.membership.peer import Dials, Peer, Peers
from cluster_kit.membership.retry import Backoff
from cluster_kit.membership.unlinked import Unlinked
from cluster_kit.node import Node

FIRST_RETRY_S = 0.1
LAST_RETRY_S = 5.0  # so a partition that ends is healed within this time
FINAL_RETRY_S = 30.0  # after errors that need somebody to mend something, such as a wrong name
CROSSED_RETRY_S = 1.0  # the peer's own dial is about to arrive; only if it fails is ours needed
DETOUR_EVERY = 2  # every second dial goes to another address, if there is one
# A link that ends sooner counts as a failure. Otherwise a peer that accepts every link and closes
# it at once would be dialled without any back-off.
STABLE_S = LAST_RETRY_S
PROMPT_S = 0.25  # a peer that is there has answered or refused by then; RFC 8305 (5) waits as long
RENEW_S = 1.0  # a lost SYN is repeated after this time, then ever more slowly (RFC 6298, 2)
LIVELY_S = 60.0  # a peer that was alive this recently may well answer, though it just did not
MAX_HOPEFUL = 512  # dials in flight; each takes a file descriptor
MAX_DOUBTFUL = 64  # dials in flight to peers that don't answer
MAX_FAREWELLS = 64  # withdrawals in flight

_BACKOFF = Backoff(FIRST_RETRY_S, LAST_RETRY_S)


@dataclass(frozen=True, slots=True)
class Connect:
    """Asks the connector for a link to ``node``, or for this end to want the link that is up."""

    node: Node


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Tells the connector that this end no longer wants the link to ``node``."""

    node: Node


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Makes the ``Connect`` to the peer called ``key`` fail now, as it would at its deadline."""

    key: str


Command = Connect | Disconnect | GiveUp


class Reconciler:
    """Schedules the commands for each peer; the module's docstring says how."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._hopeful = CommandQueue(peers, MAX_HOPEFUL, PROMPT_S)
        self._doubtful = CommandQueue(peers, MAX_DOUBTFUL, RENEW_S)
        self._farewells = CommandQueue(peers, MAX_FAREWELLS)
        self._queues = (self._hopeful, self._doubtful, self._farewells)
        self._draining = False

    def drain(self) -> None:
        """Stop dialling; links that are up stay."""
        self._draining = True
        for key, peer in self._peers.items():
            if peer.wanted:
                self._unqueue(key)

    def reconsider(self, changed: Iterable[str], now_s: float) -> None:
        """React to a change of ``wanted`` of these peers."""
        for key in changed:
            peer = self._peers[key]
            if not peer.wanted:
                peer.dials = peer.detour = None
            self._requeue(peer, now_s)

    def plan(self, now_s: float) -> list[Command]:
        """Return the commands to start now; each is in flight until its end is reported."""
        due = [key for queue in (self._hopeful, self._doubtful) for key in queue.start(now_s)]
        dials = [Connect(self._dialled(self._peers[key])) for key in due]
        ended = (self._peers[key].requested for key in self._farewells.start(now_s))
        farewells = [Disconnect(node) for node in ended if node]
        given_up = [GiveUp(key) for queue in self._queues for key in queue.evict(now_s)]
        return [*farewells, *dials, *given_up]

    def next_s(self) -> float | None:
        """Return when ``plan`` next has something to return, if nothing else happens."""
        times = (queue.next_s() for queue in self._queues)
        return min((at_s for at_s in times if at_s is not None), default=None)

    # -- links -------------------------------------------------------------------------------------

    def linked(self, key: str, now_s: float) -> None:
        """Handle that a link is up, whichever end opened it."""
        peer = self._peers[key]
        peer.up_since_s = now_s
        peer.settled = False
        peer.detour = None
        self._schedule(peer, now_s, failures=_failures(peer), until_s=now_s)
        if peer.dials:
            peer.dials.tries, peer.dials.reason = 0, None

    def unlinked(self, key: str, now_s: float) -> None:
        """Handle that a link is down; one that did not last counts as a failure."""
        peer = self._peers[key]
        since_s, peer.up_since_s = peer.up_since_s, None
        peer.settled = peer.outdated = False
        self.alive(key, now_s)
        if since_s is not None and now_s - since_s < STABLE_S:
            self._back_off(peer, now_s, jitter=1.0)
        else:
            self._schedule(peer, now_s, failures=0, until_s=now_s)

    def renew(self, key: str, now_s: float) -> None:
        """Issue ``Connect`` to a linked peer again, because the peer has changed."""
        peer = self._peers[key]
        if peer.up:
            peer.outdated = True
            peer.settled = False
            self._requeue(peer, now_s)

    # -- ends of commands --------------------------------------------------------------------------

    def connected(self, key: str, node: Node, now_s: float) -> None:
        """Handle that ``Connect`` of ``key`` reached ``node``."""
        self._end(key)
        self._peers[node.key].requested = node
        for each in sorted({key, node.key}):
            peer = self._peers[each]
            if peer.up:
                peer.settled = peer.settled or not peer.outdated
                self._requeue(peer, now_s)
            else:
                self._back_off(peer, now_s, jitter=1.0)

    def failed(
        self,
        key: str,
        error: ConnectError,
        now_s: float,
        jitter: float,
        elsewhere: Sequence[Node] = (),
    ) -> None:
        """Handle that ``Connect`` of ``key`` failed, which leaves the connector with no request.

        If the peer is also known at other addresses (``elsewhere``), every second dial goes to one
        of them, in turn: the preferred address may be forged, and never answer.
        """
        peer = self._peers[key]
        unanswered = now_s - self._end(key) >= PROMPT_S
        peer.requested = None
        peer.settled = False
        if error.reason is ConnectReason.CROSSED:
            until_s = now_s + CROSSED_RETRY_S
            self._schedule(peer, now_s, failures=_failures(peer), until_s=until_s)
        elif error.retryable or elsewhere:
            self._back_off(peer, now_s, jitter, unanswered=unanswered)
        else:
            until_s = now_s + FINAL_RETRY_S * (1 + jitter) / 2
            self._schedule(peer, now_s, failures=_failures(peer) + 1, until_s=until_s)
        if dials := peer.dials:
            dials.tries += 1
            dials.reason = error.reason
            if elsewhere and dials.tries % DETOUR_EVERY == DETOUR_EVERY - 1:
                peer.detour = elsewhere[dials.tries // DETOUR_EVERY % len(elsewhere)]

    def disconnected(self, key: str, now_s: float) -> None:
        """Handle that ``Disconnect`` of ``key`` was carried out."""
        self._end(key)
        peer = self._peers[key]
        peer.requested = None
        peer.settled = False
        self._requeue(peer, now_s)

    def _end(self, key: str) -> float:
        """Remove the command of ``key`` from those in flight, and return when it started."""
        started_s = (queue.end(key) for queue in self._queues)
        return next(since_s for since_s in started_s if since_s is not None)

    # -- when to dial ------------------------------------------------------------------------------

    def alive(self, key: str, now_s: float) -> None:
        """Record a sign of life of a peer."""
        peer = self._peers[key]
        if peer.dials and not peer.up:
            peer.dials.lively_until_s = now_s + LIVELY_S

    def encourage(self, key: str, now_s: float) -> None:
        """Dial a peer soon that has just shown up.

        The shortest back-off is kept, because the claim to have seen the peer may be false. A dial
        that has been in flight for some time may have sent its latest SYN before the peer was
        there, and the next one is seconds away: that dial starts anew.
        """
        peer = self._peers[key]
        if dials := peer.dials:
            dials.failures = 0
            dials.until_s = min(dials.until_s, max(now_s, dials.since_s + FIRST_RETRY_S))
            dials.unanswered = False
            dials.lively_until_s = now_s + LIVELY_S
            self._requeue(peer, now_s)
        for queue in (self._hopeful, self._doubtful):
            queue.dismiss(key, now_s - RENEW_S)

    def postpone(self, key: str, until_s: float, now_s: float) -> None:
        """Don't dial before ``until_s``."""
        peer = self._peers[key]
        self._schedule(peer, now_s, failures=_failures(peer), until_s=until_s)

    def _back_off(
        self, peer: Peer, now_s: float, jitter: float, *, unanswered: bool = False
    ) -> None:
        failures = _failures(peer) + 1
        until_s = now_s + _BACKOFF.delay_s(failures, jitter)
        self._schedule(peer, now_s, failures=failures, until_s=until_s, unanswered=unanswered)

    def _schedule(
        self, peer: Peer, now_s: float, *, failures: int, until_s: float, unanswered: bool = False
    ) -> None:
        if peer.wanted:
            dials = peer.dials = peer.dials or Dials()
            dials.failures = failures
            dials.since_s, dials.until_s = now_s, until_s
            dials.unanswered = unanswered
        self._requeue(peer, now_s)

    def why_unlinked(self, now_s: float, *, only_failing: bool = False) -> list[Unlinked]:
        """Return why the known peers that are not linked are not, by key.

        Args:
            now_s: The time.
            only_failing: Leave out peers to which no dial has failed since they were last linked.
        """
        known = (peer for peer in self._peers.values() if peer.reported_known)
        peers = [peer for peer in known if not peer.reported_up]
        if only_failing:
            peers = [peer for peer in peers if peer.dials and peer.dials.reason]
        peers.sort(key=lambda peer: peer.key)
        return [self._why_unlinked(peer, now_s) for peer in peers]

    def _why_unlinked(self, peer: Peer, now_s: float) -> Unlinked:
        dials = peer.dials or Dials()
        next_s = None if not peer.wanted or self._draining else max(0.0, dials.until_s - now_s)
        return Unlinked(peer.key, dials.reason, dials.tries, next_s)

    # -- what is to be done ------------------------------------------------------------------------

    def _unqueue(self, key: str) -> None:
        for queue in self._queues:
            queue.unqueue(key)

    def _requeue(self, peer: Peer, now_s: float) -> None:
        """Queue the command that a peer needs, unless one is in flight for it."""
        self._unqueue(peer.key)
        if peer.is_busy:
            return
        dials = peer.dials
        at_s = max(now_s, dials.until_s) if dials else now_s
        if not peer.wanted:
            if peer.requested:
                self._farewells.queue(peer.key, at_s)
        elif not peer.settled and not self._draining:
            is_doubtful = dials and dials.unanswered and at_s >= dials.lively_until_s
            (self._doubtful if is_doubtful else self._hopeful).queue(peer.key, at_s)

    def _dialled(self, peer: Peer) -> Node:
        """Return where the dial that starts now goes; it carries any change to the connector."""
        node = peer.detour or peer.offer.known or peer.offer.missed
        assert node is not None, f"{peer.key} is wanted, but not on offer"
        peer.detour = None
        peer.outdated = False
        return node


def _failures(peer: Peer) -> int:
    return peer.dials.failures if peer.dials else 0
