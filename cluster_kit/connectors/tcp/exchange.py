"""Peer exchange: linked nodes send each other hints about the nodes that they are linked to.

So one known address leads to the whole cluster. When a link comes up, its peer gets a hint about
each of our other links, and they get one about the peer. Hints expire, so each round repeats a few.

A hint says which node to dial, never that it is there: only a link proves that. And only links are
passed on, never hints, or two nodes could keep a third one known that is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cluster_kit.abc import LinkReport
from cluster_kit.events import Reason
from cluster_kit.host import is_loopback, is_unspecified
from cluster_kit.node import BootId, Node, host_and_port
from cluster_kit.rate_limit import TokenBucket
from cluster_kit.wire.frames import MAX_HINTS, Hint, Hints

FEATURE = "exchange"  # in the identity of a node that wants hints
REPEAT_S = 5.0  # from one round to the next
HINT_TTL_S = 3 * REPEAT_S
LOST_TTL_S = 1.5 * REPEAT_S  # of a peer whose link broke, so that others have time to confirm it
BATCH_S = 0.25  # between two batches, so that links that come up together are sent together
_REPEATED = 8  # hints that each peer gets again in a round
_MAX_BURST = 1024  # hints that one peer may give at once
_REFILL_PER_S = 64.0
_MAX_HINTED = 4096  # bounds the memory that made-up nodes cost
_MAX_LEFT = 1024  # the same for nodes that have left


@dataclass(slots=True, eq=False)
class _ExchangeLink:
    """A link, and the hints that its peer is owed.

    Attributes:
        conn: Its connection.
        peer: The other end.
        owed: Names of the nodes about which the peer is owed a hint; ``None`` if it wants none.
        allowance: Limits how many hints the peer may give.
    """

    conn: int
    peer: Node
    owed: dict[str, None] | None
    allowance: TokenBucket


@dataclass(slots=True)
class Exchange:
    """The links of one node, as far as exchange goes. Pure.

    Args:
        local: This node, which ignores hints of itself.
    """

    local: Node
    _links: dict[str, _ExchangeLink] = field(default_factory=dict)
    _hinted: dict[str, float] = field(default_factory=dict)  # until when, by name
    _left: dict[str, BootId | None] = field(default_factory=dict)
    _round: int = 0

    @property
    def peers(self) -> Iterator[Node]:
        """The nodes that we are linked to."""
        return (link.peer for link in self._links.values())

    @property
    def owes(self) -> bool:
        """Whether any peer is owed a hint."""
        return any(link.owed for link in self._links.values())

    def up(self, conn: int, peer: Node, *, wants_hints: bool) -> None:
        """Add a link that is up."""
        for link in self._links.values():
            if link.owed is not None:
                link.owed[peer.key] = None
        owed = dict.fromkeys(self._links) if wants_hints else None
        allowance = TokenBucket(_REFILL_PER_S, _MAX_BURST)
        self._links[peer.key] = _ExchangeLink(conn, peer, owed, allowance)

    def down(self, peer: Node, *, left: bool) -> None:
        """Remove a link that is down; hints of a run that has ``left`` are ignored from now on."""
        self._links.pop(peer.key, None)
        if left:
            self._left[peer.key] = peer.boot_id
            if len(self._left) > _MAX_LEFT:
                del self._left[next(iter(self._left))]

    def repeat(self) -> None:
        """Begin the next round: owe each peer hints about another few of our links again."""
        names = list(self._links)
        start = self._round * _REPEATED
        self._round += 1
        count = min(_REPEATED + 1, len(names))  # one more, as a peer gets no hint about itself
        window = [names[(start + i) % len(names)] for i in range(count)]
        for name, link in self._links.items():
            if link.owed is not None:
                link.owed |= {each: None for each in window if each != name}

    def take(self) -> list[tuple[int, Hints]]:
        """Return the frames to send now, each with the number of its connection."""
        frames: list[tuple[int, Hints]] = []
        for link in self._links.values():
            owed, link.owed = link.owed, None if link.owed is None else {}
            hints = [hint for name in owed or () if (hint := self._hint(name))]
            for start in range(0, len(hints), MAX_HINTS):
                frames.append((link.conn, Hints(hints[start : start + MAX_HINTS])))
        return frames

    def _hint(self, name: str) -> Hint | None:
        link = self._links.get(name)
        return Hint.of(link.peer) if link and link.peer.address else None

    def receive(self, sender: Node, frame: Hints, *, nearby: bool, now_s: float) -> list[Node]:
        """Return the nodes of ``frame`` that are worth a dial.

        Args:
            sender: The peer that sent the frame.
            frame: The hints.
            nearby: Whether the sender is on this machine, so that its loopback is ours.
            now_s: The time.
        """
        link = self._links.get(sender.key)
        if link is None:
            return []
        allowed = link.allowance.take(now_s, len(frame.hints))
        nodes = [hint.node() for hint in frame.hints[:allowed]]
        useful = [node for node in nodes if self._is_of_use(node, nearby)]
        return [node for node in useful if self._admits(node, now_s)]

    def _is_of_use(self, node: Node, nearby: bool) -> bool:
        host, port = host_and_port(node.address) or ("", 0)
        reachable = port > 0 and not is_unspecified(host) and (nearby or not is_loopback(host))
        is_us = node.name == self.local.name or node.address == self.local.address
        has_left = node.key in self._left and self._left[node.key] == node.boot_id
        return reachable and not is_us and not has_left

    def _admits(self, node: Node, now_s: float) -> bool:
        if node.key not in self._hinted and len(self._hinted) >= _MAX_HINTED:
            self._hinted = {name: at_s for name, at_s in self._hinted.items() if at_s > now_s}
            if len(self._hinted) >= _MAX_HINTED:
                return False
        self._hinted[node.key] = now_s + HINT_TTL_S
        return True


class Exchanger:
    """Runs the exchange of one node, from its creation to ``stop``.

    Args:
        local: This node.
        report: The worker, which gets the hints.
        send: Sends a frame on the connection of this number.
    """

    def __init__(self, local: Node, report: LinkReport, send: Callable[[int, Hints], None]) -> None:
        self._exchange = Exchange(local)
        self._report = report
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._sent_at_s = -BATCH_S
        self._due: asyncio.TimerHandle | None = None
        self._next_round = self._loop.call_later(REPEAT_S, self._repeat)

    def up(self, conn: int, peer: Node, *, wants_hints: bool) -> None:
        """Exchange hints about the peer of a new link and about the peers of the others."""
        self._exchange.up(conn, peer, wants_hints=wants_hints)
        self._report.hint(peer, HINT_TTL_S)
        self._send_soon()

    def down(self, peer: Node, reason: Reason) -> None:
        """Stop passing on a peer; one whose link broke stays a hint for a while."""
        self._exchange.down(peer, left=reason is Reason.LEFT)
        if reason in (Reason.CLOSED, Reason.SILENT):
            self._report.hint(peer, LOST_TTL_S)

    def receive(self, sender: Node, frame: Hints, *, nearby: bool) -> None:
        """Give the worker the hints of a peer."""
        now_s = self._loop.time()
        for node in self._exchange.receive(sender, frame, nearby=nearby, now_s=now_s):
            self._report.hint(node, HINT_TTL_S)

    def stop(self) -> None:
        """Send nothing more."""
        self._next_round.cancel()
        if self._due is not None:
            self._due.cancel()

    def _repeat(self) -> None:
        self._next_round = self._loop.call_later(REPEAT_S, self._repeat)
        for peer in self._exchange.peers:
            self._report.hint(peer, HINT_TTL_S)
        self._exchange.repeat()
        self._send_soon()

    def _send_soon(self) -> None:
        if self._due is None and self._exchange.owes:
            at_s = max(self._loop.time(), self._sent_at_s + BATCH_S)
            self._due = self._loop.call_at(at_s, self._send_batch)

    def _send_batch(self) -> None:
        self._due = None
        self._sent_at_s = self._loop.time()
        for conn, frame in self._exchange.take():
            self._send(conn, frame)
