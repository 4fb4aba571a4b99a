"""Bounds how many connections of peers this node accepts, and how fast.

A peer that dials costs this node something before it has proved anything. Four bounds keep each
cost small, whatever the dialler does:

=================  ==============================================================
``HalfOpen``       connections that are not links yet, in total and per host
``KeyExchanges``   key exchanges per second; each costs us a signature
``HandshakeQueue`` TLS handshakes at a time; each takes about 50 KB
``StrangerLinks``  links to peers that neither discovery nor memory knows
=================  ==============================================================

All processes of this machine share one address, so loopback is exempt from the bounds per host.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from cluster_kit.abc import LinkReport
from cluster_kit.connectors.tcp.handshake_queue import HandshakeQueue
from cluster_kit.host import is_loopback
from cluster_kit.network import Stream
from cluster_kit.node import Node, host_and_port
from cluster_kit.wire.frames import Identity

MAX_HALF_OPEN = 256  # some hundred nodes may dial a newcomer at once
MAX_HALF_OPEN_PER_HOST = 32  # so that one host can't take all places
KEY_EXCHANGES_PER_S = 20.0  # per host, beyond the first ``MAX_HALF_OPEN_PER_HOST``
MAX_HOSTS = 1024  # whose key exchanges are remembered; slow hosts are forgotten at once

SPARE = 256  # streams that are kept for handshakes, dials, sources and plugins
LEAST = 16  # links, even where the process can hold hardly any streams
MAX_STRANGERS_PER_HOST = 64


class Admission:
    """Admits connections that others open, by the bounds of this module.

    Args:
        report: The worker, which knows the network, the security, and which peers are known.
    """

    def __init__(self, report: LinkReport) -> None:
        self._security = report.security
        self._half_open = HalfOpen()
        self._key_exchanges = KeyExchanges()
        self._queue = HandshakeQueue()
        self._strangers = StrangerLinks(max_links(report.network.most_streams), report.knows)

    def admit(self, conn: int, host: str) -> bool:
        """Count a new connection from ``host``; return False if it is one too many."""
        return self._half_open.admit(conn, host)

    def protect(self, conn: int, stream: Stream) -> tuple[Stream, float]:
        """Return a stream under our security, and by how many seconds to delay its start.

        The delay spreads key exchanges.
        """
        if not self._security.protects:
            return stream, 0.0
        wait_s = self._key_exchanges.wait_s(stream.there.host, asyncio.get_running_loop().time())
        queued = self._queue.enqueue(conn, stream)
        return self._security.protect(queued, dialled=False), wait_s

    def proved(self, conn: int) -> None:
        """Note that the TLS handshake of a connection is over. Idempotent."""
        self._queue.release(conn)

    def has_room(self, conn: int, host: str, identity: Identity, open_streams: int) -> bool:
        """Whether a link to the peer that introduces itself by ``identity`` is admitted; counts it.

        Args:
            conn: The connection.
            host: Where it comes from.
            identity: How the peer introduces itself; of our fence.
            open_streams: How many connections are open, links or not yet.
        """
        peer = identity.node()
        if (host_and_port(peer.address) or ("",))[0] != host:
            peer = peer.evolve(address=None)  # another host's address proves nothing
        return self._strangers.admit(conn, host, peer, open_streams)

    def linked(self, conn: int) -> None:
        """Note that a connection is a link now."""
        self._half_open.release(conn)

    def release(self, conn: int) -> None:
        """Forget a connection that is closed."""
        self._half_open.release(conn)
        self._queue.release(conn)
        self._strangers.release(conn)


def max_links(most_streams: int) -> int:
    """Return how many links a process may have that can hold ``most_streams`` streams."""
    return max(LEAST, most_streams - SPARE)


class HalfOpen:
    """Bounds the accepted connections that are not links yet."""

    def __init__(self) -> None:
        self._host_of: dict[int, str] = {}
        self._count: Counter[str] = Counter()

    def admit(self, conn: int, host: str) -> bool:
        """Count a new connection from ``host``; return False if it is one too many."""
        is_crowded = self._count[host] >= MAX_HALF_OPEN_PER_HOST and not is_loopback(host)
        if len(self._host_of) >= MAX_HALF_OPEN or is_crowded:
            return False
        self._host_of[conn] = host
        self._count[host] += 1
        return True

    def release(self, conn: int) -> None:
        """Stop counting a connection: it is a link now, or closed. Idempotent."""
        host = self._host_of.pop(conn, None)
        if host is not None:
            self._count[host] -= 1
            if not self._count[host]:
                del self._count[host]


class KeyExchanges:
    """Spreads the key exchanges that others start: each costs us a signature, and them nothing.

    A token bucket per host, of which only the time is kept at which it will be full again. Each
    exchange puts that off by ``interval_s``, in which one token comes back. A connection waits
    until less than ``burst`` tokens are missing. Source: the generic cell rate algorithm, ITU-T
    I.371.
    """

    def __init__(self) -> None:
        self._full_at_s: dict[str, float] = {}

    def wait_s(self, host: str, now_s: float) -> float:
        """Return by how many seconds a new connection from ``host`` must be delayed."""
        burst, per_s = MAX_HALF_OPEN_PER_HOST, KEY_EXCHANGES_PER_S
        if is_loopback(host):
            burst, per_s = MAX_HALF_OPEN, per_s * MAX_HALF_OPEN / MAX_HALF_OPEN_PER_HOST
        interval_s = 1.0 / per_s
        if len(self._full_at_s) >= MAX_HOSTS:
            self._full_at_s = {each: at_s for each, at_s in self._full_at_s.items() if at_s > now_s}
        full_at_s = max(self._full_at_s.get(host, now_s), now_s)
        self._full_at_s[host] = full_at_s + interval_s
        return max(0.0, full_at_s - now_s - (burst - 1) * interval_s)


class StrangerLinks:
    """Bounds the links to peers that nobody vouches for, so that they can't use up all streams.

    Such strangers share half of the room, and those of one host a small part of that. The rest is
    reserved for peers that discovery or memory knows. A connection counts until it is closed.

    Args:
        most: How many links there may be in all.
        knows: Whether discovery or memory vouches for a peer now.
    """

    def __init__(self, most: int, knows: Callable[[Node], bool]) -> None:
        self._most = most
        self._knows = knows
        self._strangers: dict[int, tuple[str, Node]] = {}  # host and peer, by connection
        self._vouched_by: dict[int, str] = {}  # the address that let a connection in

    def admit(self, conn: int, host: str, peer: Node, open_streams: int) -> bool:
        """Count a connection that would become a link to ``peer``; return whether there is room.

        Args:
            conn: Its number.
            host: The address that it comes from.
            peer: The other end, as it introduces itself.
            open_streams: How many connections are open, links or not yet.
        """
        if open_streams >= self._most:
            return False
        if self._knows(peer.evolve(address=None)) or self._vouches(conn, peer.address):
            return True
        if self._is_crowded(host):
            for each, (_, stranger) in list(self._strangers.items()):
                if self._knows(stranger):  # by now
                    del self._strangers[each]
            if self._is_crowded(host):
                return False
        self._strangers[conn] = (host, peer.evolve(address=None))
        return True

    def _vouches(self, conn: int, address: str | None) -> bool:
        """Whether discovery knows ``address``, and no other connection was let in for it.

        A peer can claim any address, under any name, so each address lets in one peer at a time.
        """
        if address is None or address in self._vouched_by.values():
            return False
        if not self._knows(Node(address=address)):
            return False
        self._vouched_by[conn] = address
        return True

    def release(self, conn: int) -> None:
        """Stop counting a connection. Idempotent."""
        self._strangers.pop(conn, None)
        self._vouched_by.pop(conn, None)

    def _is_crowded(self, host: str) -> bool:
        if len(self._strangers) >= self._most // 2:
            return True
        if is_loopback(host):
            return False
        return sum(each == host for each, _ in self._strangers.values()) >= MAX_STRANGERS_PER_HOST
