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
from cluster_kit.membership.peer import CommandKind, Dials, Peer, Peers
from cluster_kit.node import Node
from cluster_kit.retry import Backoff

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
MAX_DISCONNECTS = 64  # withdrawals in flight

_BACKOFF = Backoff(FIRST_RETRY_S, LAST_RETRY_S)


@dataclass(frozen=True, slots=True)
class Connect:
    """Asks the connector for a link to ``node``, or for this end to want the link that is up."""

    node: Node


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Withdraws the request for a link to ``node``, which stays up if the peer wants it."""

    node: Node


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Makes the ``Connect`` to the peer called ``key`` fail now, as it would at its deadline."""

    key: str


Command = Connect | Disconnect | GiveUp


class Reconciler:
    """Schedules the commands for each peer; the module's docstring says how.

    Attributes:
        is_draining: Whether no more links are started, because this node is about to leave.
    """

    def __init__(self, peers: Peers) -> None:
        self.is_draining = False
        self._peers = peers
        self._queues = {
            CommandKind.HOPEFUL: CommandQueue(peers, MAX_HOPEFUL, PROMPT_S),
            CommandKind.DOUBTFUL: CommandQueue(peers, MAX_DOUBTFUL, RENEW_S),
            CommandKind.DISCONNECT: CommandQueue(peers, MAX_DISCONNECTS),
        }

    def drain(self) -> None:
        """Stop dialling; links that are up stay."""
        self.is_draining = True
        for peer in self._peers.values():
            if peer.wanted:
                self._unqueue(peer)

    def reconsider(self, changed: Iterable[Peer], now_s: float) -> None:
        """React to a change of ``wanted`` of these peers."""
        for peer in changed:
            if not peer.wanted:
                peer.dials = peer.detour = None
            self._requeue(peer, now_s)

    def plan(self, now_s: float) -> list[Command]:
        """Return the commands to start now; each is in flight until its end is reported."""
        started = {kind: queue.start(now_s) for kind, queue in self._queues.items()}
        due = [*started[CommandKind.HOPEFUL], *started[CommandKind.DOUBTFUL]]
        parting = started[CommandKind.DISCONNECT]
        dials = [Connect(_dialled(peer)) for peer in due]
        farewells = [Disconnect(node) for peer in parting if (node := peer.requested)]
        queues = self._queues.values()
        given_up = [GiveUp(peer.key) for queue in queues for peer in queue.evict(now_s)]
        return [*farewells, *dials, *given_up]

    def next_s(self) -> float | None:
        """Return when ``plan`` next has something to return, if nothing else happens."""
        times = (queue.next_s() for queue in self._queues.values())
        return min((at_s for at_s in times if at_s is not None), default=None)

    # -- links -------------------------------------------------------------------------------------

    def linked(self, peer: Peer, now_s: float) -> None:
        """Handle that a link is up, whichever end opened it."""
        peer.settled = False
        peer.detour = None
        self._schedule(peer, now_s, failures=_failures(peer), until_s=now_s)
        if peer.dials:
            peer.dials.tries, peer.dials.reason = 0, None

    def unlinked(self, peer: Peer, now_s: float, *, since_s: float | None) -> None:
        """Handle that a link that was up ``since_s`` is down; if that is not long, it failed."""
        peer.settled = peer.outdated = False
        self.alive(peer, now_s)
        if since_s is not None and now_s - since_s < STABLE_S:
            self._back_off(peer, now_s, jitter=1.0)
        else:
            self._schedule(peer, now_s, failures=0, until_s=now_s)

    def renew(self, peer: Peer, now_s: float) -> None:
        """Issue ``Connect`` to a linked peer again, because the peer has changed."""
        if peer.up:
            peer.outdated = True
            peer.settled = False
            self._requeue(peer, now_s)

    # -- ends of commands --------------------------------------------------------------------------

    def connected(self, dialled: Peer, node: Node, now_s: float) -> None:
        """Handle that ``Connect`` of a peer reached ``node``, which may have another key."""
        self._end(dialled)
        reached = self._peers[node.key]
        reached.requested = node
        for peer in [reached] if reached is dialled else [reached, dialled]:
            if peer.up:
                peer.settled = not peer.outdated
                self._requeue(peer, now_s)
            else:
                self._back_off(peer, now_s, jitter=1.0)

    def failed(
        self,
        peer: Peer,
        error: ConnectError,
        now_s: float,
        jitter: float,
        elsewhere: Sequence[Node] = (),
    ) -> None:
        """Handle that ``Connect`` of a peer failed, which leaves the connector with no request.

        If the peer is also known at other addresses (``elsewhere``), every second dial goes to one
        of them, in turn: the preferred address may be forged, and never answer.
        """
        unanswered = now_s - self._end(peer) >= PROMPT_S
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

    def disconnected(self, peer: Peer, now_s: float) -> None:
        """Handle that ``Disconnect`` of a peer was carried out."""
        self._end(peer)
        peer.requested = None
        peer.settled = False
        self._requeue(peer, now_s)

    def _end(self, peer: Peer) -> float:
        """Handle the end of the command in flight for a peer; return when it started."""
        assert peer.command is not None, f"no command is in flight for {peer.key}"
        kind, peer.command = peer.command, None
        return self._queues[kind].end(peer)

    # -- when to dial ------------------------------------------------------------------------------

    def alive(self, peer: Peer, now_s: float) -> None:
        """Record a sign of life of a peer."""
        if peer.dials:
            peer.dials.lively_until_s = now_s + LIVELY_S

    def dial_soon(self, peer: Peer, now_s: float) -> None:
        """Dial a peer soon that has just shown up.

        The shortest back-off is kept, because the claim to have seen the peer may be false. A dial
        that has been in flight for some time may have sent its latest SYN before the peer was
        there, and the next one is seconds away: that dial starts anew.
        """
        if dials := peer.dials:
            dials.failures = 0
            dials.until_s = min(dials.until_s, max(now_s, dials.since_s + FIRST_RETRY_S))
            dials.lively_until_s = now_s + LIVELY_S
            self._requeue(peer, now_s)
        if peer.command in (CommandKind.HOPEFUL, CommandKind.DOUBTFUL):
            self._queues[peer.command].dismiss(peer, now_s - RENEW_S)

    def postpone(self, peer: Peer, until_s: float, now_s: float) -> None:
        """Don't dial before ``until_s``."""
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

    # -- what is to be done ------------------------------------------------------------------------

    def _unqueue(self, peer: Peer) -> None:
        if peer.command is not None and not peer.is_busy:
            self._queues[peer.command].unqueue(peer)
            peer.command = None

    def _requeue(self, peer: Peer, now_s: float) -> None:
        """Queue the command that a peer needs, unless one is in flight for it."""
        if peer.is_busy:
            return
        self._unqueue(peer)
        dials = peer.dials
        at_s = max(now_s, dials.until_s) if dials else now_s
        if not peer.wanted:
            if peer.requested:
                self._queue(peer, CommandKind.DISCONNECT, at_s)
        elif not peer.settled and not self.is_draining:
            is_doubtful = dials and dials.unanswered and at_s >= dials.lively_until_s
            kind = CommandKind.DOUBTFUL if is_doubtful else CommandKind.HOPEFUL
            self._queue(peer, kind, at_s)

    def _queue(self, peer: Peer, kind: CommandKind, at_s: float) -> None:
        peer.command = kind
        self._queues[kind].queue(peer, at_s)


def _dialled(peer: Peer) -> Node:
    """Return where the dial that starts now goes; it carries any change to the connector."""
    node = peer.detour or peer.offer.known or peer.offer.missed
    assert node is not None, f"{peer.key} is wanted, but not on offer"
    peer.detour = None
    peer.outdated = False
    return node


def _failures(peer: Peer) -> int:
    return peer.dials.failures if peer.dials else 0
