"""Carries out the peer exchange of one node: says what is to be said, soon but not all the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cluster_kit.abc import LinkReport
from cluster_kit.connectors.tcp.exchange import HINT_TTL_S, LOST_TTL_S, REPEAT_S, Exchange
from cluster_kit.events import Reason
from cluster_kit.node import Node
from cluster_kit.wire.frames import Peers

TELL_S = 0.25  # between two words to the same peers: many links that come up together are told together


class Telling:
    """Exchange at work, until ``stop``.

    Args:
        local: This node.
        links: Whom to give hints.
        send: Says a frame on the connection of this number.
    """

    def __init__(self, local: Node, links: LinkReport, send: Callable[[int, Peers], None]) -> None:
        self._exchange = Exchange(local)
        self._links = links
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._told_at_s = -TELL_S
        self._due: asyncio.TimerHandle | None = None
        self._next_round = self._loop.call_later(REPEAT_S, self._repeat)

    def up(self, conn: int, peer: Node, *, listens: bool) -> None:
        """Tell the peer of a new link of the others, and the others of it."""
        self._exchange.up(conn, peer, listens=listens)
        self._links.hint(peer, HINT_TTL_S)
        self._tell_soon()

    def down(self, peer: Node, reason: Reason) -> None:
        """Tell nobody of this peer any more, and count on it no longer unless others tell of it."""
        self._exchange.down(peer, left=reason is Reason.LEFT)
        if reason in (Reason.CLOSED, Reason.SILENT):
            self._links.hint(peer, LOST_TTL_S)

    def hear(self, teller: Node, peers: Peers, *, nearby: bool) -> None:
        """Pass on what a peer tells."""
        for node in self._exchange.hear(teller, peers, nearby=nearby, now_s=self._loop.time()):
            self._links.hint(node, HINT_TTL_S)

    def stop(self) -> None:
        """Say nothing more."""
        self._next_round.cancel()
        if self._due is not None:
            self._due.cancel()

    def _repeat(self) -> None:
        self._next_round = self._loop.call_later(REPEAT_S, self._repeat)
        for peer in self._exchange.peers:
            self._links.hint(peer, HINT_TTL_S)
        self._exchange.repeat()
        self._tell_soon()

    def _tell_soon(self) -> None:
        if self._due is None and self._exchange.owes:
            self._due = self._loop.call_at(max(self._loop.time(), self._told_at_s + TELL_S), self._tell)

    def _tell(self) -> None:
        self._due = None
        self._told_at_s = self._loop.time()
        for conn, peers in self._exchange.take():
            self._send(conn, peers)
