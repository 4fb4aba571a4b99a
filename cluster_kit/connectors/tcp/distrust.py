"""Says who was not let in because the two ends don't trust each other. Pure, but for the log."""

from __future__ import annotations

import logging
from collections import deque

from cluster_kit.throttle import REPEAT_S, Throttle

log = logging.getLogger("cluster_kit.connectors.tcp")

MOST_HOSTS = 16  # a minute: whoever has many addresses must not fill the log


class Distrust:
    """Speaks of each host once a minute, and of a few in all."""

    def __init__(self) -> None:
        self._throttle = Throttle()
        self._told_s: deque[float] = deque(maxlen=MOST_HOSTS)

    def tell(self, host: str, why: str, now_s: float) -> None:
        """Tell why a connection with ``host`` was closed, unless that was said lately."""
        is_full = len(self._told_s) == MOST_HOSTS and now_s - self._told_s[0] < REPEAT_S
        if is_full:
            if self._throttle.passes("others", now_s):
                log.warning("tcp: there are more hosts that are not let in than are told of; see who dials this node")
        elif self._throttle.passes(host, now_s):
            self._told_s.append(now_s)
            more = self._throttle.more(host)
            log.warning("tcp: a node at %s is not let in: %s%s", host, why, more)
