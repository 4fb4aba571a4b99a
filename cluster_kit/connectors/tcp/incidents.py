"""Logs peers that are turned away or break the protocol.

Anybody who can dial this node can cause such lines without end, so each kind is throttled.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from cluster_kit.node import Node
from cluster_kit.throttle import REPEAT_S, Throttle

log = logging.getLogger("cluster_kit.connectors.tcp")

MOST_HOSTS = 16  # named per minute, so that an attacker with many addresses can't fill the log


class Incidents:
    """Logs incidents, each kind once in a while.

    Args:
        now_s: The clock.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._kinds = Throttle()
        self._hosts = Throttle()
        self._named_s: deque[float] = deque(maxlen=MOST_HOSTS)

    def untrusted(self, host: str, why: str) -> None:
        """Log that a node is not let in; each host is named once a minute, and few in all."""
        now_s = self._now_s()
        if len(self._named_s) == MOST_HOSTS and now_s - self._named_s[0] < REPEAT_S:
            if self._hosts.passes("others", now_s):
                log.warning("tcp: refused nodes at further hosts; check who dials this node")
        elif self._hosts.passes(host, now_s):
            self._named_s.append(now_s)
            more = self._hosts.more(host)
            log.warning("tcp: refused the node at %s: %s%s", host, why, more)

    def never_up(self, host: str, why: object) -> None:
        """Log that a connection was closed before it became a link."""
        if self.passes("never up"):
            log.debug("connection with %s closed: %s", host, why)

    def no_room(self, host: str, peer: Node) -> None:
        """Log that there is no room for a link to ``peer``, which is not known."""
        if self.passes("full"):
            log.warning(
                "too many links to peers unknown to discovery; refused %s from %s: raise the "
                "limit of open files (ulimit -n), or let a strategy find these peers",
                peer,
                host,
            )

    def broken(self, peer: Node, why: object) -> None:
        """Log that the peer of a link broke the protocol."""
        if self.passes("broken link"):
            log.warning("link to %s closed: %s", peer, why)

    def passes(self, kind: str) -> bool:
        """Whether an incident of this kind is to be reported now."""
        return self._kinds.passes(kind, self._now_s())
