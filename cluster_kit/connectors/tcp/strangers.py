"""Bounds the links that peers open to us, so that no peer can take every file descriptor. Pure.

Peers that nobody has vouched for share a part of the room, and those of one host a small part of that. The rest is a reserve
for the peers that discovery or memory knows.
"""

from __future__ import annotations

import resource
from collections.abc import Callable

from cluster_kit.host import is_loopback
from cluster_kit.node import Node

SPARE = 256  # descriptors for handshakes, dials, sources and plugins
LEAST = 16  # links, where there are hardly any descriptors at all
MAX_PER_HOST = 64  # strangers; processes of this machine share one address, so loopback has all of the strangers' room


def max_links() -> int:
    """Return how many links this process can have, by its limit of open files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if soft == resource.RLIM_INFINITY else max(LEAST, soft - SPARE)


class Strangers:
    """The accepted connections of peers that nobody had vouched for, each until it is closed.

    Args:
        most: How many links there may be in all; strangers may have half of them.
        knows: Whether discovery or memory vouches for a peer now.
    """

    def __init__(self, most: int, knows: Callable[[Node], bool]) -> None:
        self._most = most
        self._knows = knows
        self._from: dict[int, tuple[str, Node]] = {}
        self._vouched_by: dict[int, str] = {}  # the addresses that connections were let in for

    def admit(self, conn: int, host: str, peer: Node, links: int) -> bool:
        """Count a connection that would become a link to ``peer``; return whether there is room for it.

        Args:
            conn: Its number.
            host: The address that it comes from.
            peer: The other end, as it introduces itself.
            links: How many connections there are, links or not yet.
        """
        if links >= self._most:
            return False
        if self._knows(peer.evolve(address=None)) or self._vouches(conn, peer.address):
            return True
        if self._is_crowded(host):
            self._from = {each: stranger for each, stranger in self._from.items() if not self._knows(stranger[1])}
            if self._is_crowded(host):
                return False
        self._from[conn] = (host, peer.evolve(address=None))
        return True

    def _vouches(self, conn: int, address: str | None) -> bool:
        """Whether discovery knows an address at which nobody else claims to be; a peer can claim any, under any name."""
        if address is None or address in self._vouched_by.values() or not self._knows(Node(address=address)):
            return False
        self._vouched_by[conn] = address
        return True

    def release(self, conn: int) -> None:
        """Count a connection no longer."""
        self._from.pop(conn, None)
        self._vouched_by.pop(conn, None)

    def _is_crowded(self, host: str) -> bool:
        if len(self._from) >= self._most // 2:
            return True
        if len(self._from) < MAX_PER_HOST or is_loopback(host):
            return False
        return sum(each == host for each, _ in self._from.values()) >= MAX_PER_HOST
