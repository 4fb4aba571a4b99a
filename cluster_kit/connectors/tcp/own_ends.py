"""The addresses at which this node was seen to reach itself. Pure."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from cluster_kit.connectors.tcp.dial import End

OURS_S = 60.0  # an address may become another machine's
MAX_ENDS = 64  # interfaces and their aliases; what we accept connections at is nobody else's choice


class OwnEnds:
    """Remembers for ``OURS_S`` seconds where our own hello came in; nobody else's word makes an address ours.

    Args:
        now_s: The clock.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._until_s: dict[End, float] = {}

    def add(self, end: End) -> None:
        """Note that a dial of ours arrived at ``end``."""
        if len(self._until_s) >= MAX_ENDS:
            self._until_s = {each: until_s for each, until_s in self._until_s.items() if until_s > self._now_s()}
        if len(self._until_s) < MAX_ENDS:
            self._until_s[end] = self._now_s() + OURS_S

    def include(self, end: End | None) -> bool:
        """Whether ``end`` is ours."""
        return end is not None and self._until_s.get(end, -inf) > self._now_s()
