"""Counts accepted connections that aren't links yet, and bounds them. Pure."""

from __future__ import annotations

from collections import Counter

from cluster_kit.host import is_loopback

MAX_HALF_OPEN = 256  # some hundred nodes may dial a newcomer at once
MAX_PER_HOST = 32  # one host can't take all places; processes of this machine share one address, so loopback may


class HalfOpen:
    """The connections in their handshake, by number, with the host that each came from."""

    def __init__(self) -> None:
        self._host_of: dict[int, str] = {}
        self._count: Counter[str] = Counter()

    def admit(self, conn: int, host: str) -> bool:
        """Count a new connection; False if it is one too many."""
        if len(self._host_of) >= MAX_HALF_OPEN or (self._count[host] >= MAX_PER_HOST and not is_loopback(host)):
            return False
        self._host_of[conn] = host
        self._count[host] += 1
        return True

    def release(self, conn: int) -> None:
        """Count a connection no longer: it is a link now, or gone."""
        host = self._host_of.pop(conn, None)
        if host is not None:
            self._count[host] -= 1
            if not self._count[host]:
                del self._count[host]
