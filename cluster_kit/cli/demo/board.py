"""What the nodes of the demo have reported, and when: which one sees which."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_SHOWN = 5  # of what is missing; the rest is more of the same

Pair = tuple[str, str]
"""An observer and the node that it speaks of."""


class NotSeen(Exception):  # noqa: N818 - it names an outcome
    """An expected event was not reported."""


@dataclass(frozen=True, slots=True)
class Told:
    """The last event that an observer reported about its link to another node."""

    event: str
    reason: str
    at_s: float


class Board:
    """Filled by the threads that read the nodes' output, read by the show and the view."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._told: dict[Pair, Told] = {}
        self._ended: set[str] = set()

    def start(self, observer: str) -> None:
        """Forget what ``observer`` reported in an earlier run."""
        with self._changed:
            self._ended.discard(observer)
            self._told = {pair: told for pair, told in self._told.items() if pair[0] != observer}

    def hear(self, observer: str, event: Mapping[str, Any]) -> None:
        """Record an event that ``observer`` printed."""
        if event["event"] in ("node_up", "node_down"):
            with self._changed:
                self._told[observer, event["node"]] = Told(
                    event["event"], event.get("reason", ""), time.monotonic()
                )
                self._changed.notify_all()

    def end(self, observer: str) -> None:
        """Record that ``observer`` has ended."""
        with self._changed:
            self._ended.add(observer)
            self._changed.notify_all()

    def wait_for(
        self, event: str, pairs: Iterable[Pair], since_s: float, timeout_s: float
    ) -> float:
        """Wait until each observer has reported ``event`` of its node; return how long that took.

        Raises:
            NotSeen: Some have not; the message names them.
        """
        pairs = list(pairs)

        def missing() -> list[Pair]:
            return [pair for pair in pairs if not self._has_told(event, pair, since_s)]

        def settled() -> bool:
            left = missing()
            return not left or any(observer in self._ended for observer, _ in left)

        with self._changed:
            self._changed.wait_for(settled, timeout_s)
            if left := missing():
                raise NotSeen(self._shortcoming(event, left, timeout_s))
            return max(self._told[pair].at_s for pair in pairs) - since_s

    def view_of(self, observer: str) -> dict[str, Told]:
        """Return the last event that ``observer`` reported about each node."""
        with self._changed:
            return {node: told for (who, node), told in self._told.items() if who == observer}

    def _has_told(self, event: str, pair: Pair, since_s: float) -> bool:
        told = self._told.get(pair)
        return told is not None and told.event == event and told.at_s >= since_s

    def _shortcoming(self, event: str, missing: list[Pair], timeout_s: float) -> str:
        ended = sorted({observer for observer, _ in missing} & self._ended)
        if ended:
            return f"{', '.join(ended)} ended too early"
        shown = ", ".join(
            f"{observer} has not reported {event} of {node}" for observer, node in missing[:_SHOWN]
        )
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        return f"{shown}{more} within {timeout_s:g} s"
