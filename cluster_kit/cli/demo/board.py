"""Records which nodes of the demo are linked, as each of them reports it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cluster_kit.diagnosis import listed

_SHOWN = 5  # of the missing reports

Pair = tuple[str, str]
"""An observer and the node that it reports about."""


class NotSeen(Exception):  # noqa: N818 - it names an outcome
    """An expected event was not reported."""


@dataclass(frozen=True, slots=True)
class LinkChange:
    """The last change that an observer reported of its link to another node."""

    event: str
    reason: str
    at_s: float


class Board:
    """Written by the threads that read the nodes' output, read by the show and the view."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._latest: dict[Pair, LinkChange] = {}
        self._ended: set[str] = set()

    def start(self, observer: str) -> None:
        """Forget what ``observer`` reported in an earlier run."""
        with self._changed:
            self._ended.discard(observer)
            for pair in [pair for pair in self._latest if pair[0] == observer]:
                del self._latest[pair]

    def record(self, observer: str, event: Mapping[str, Any]) -> None:
        """Record an event that ``observer`` printed."""
        if event["event"] in ("node_up", "node_down"):
            change = LinkChange(event["event"], event.get("reason", ""), time.monotonic())
            with self._changed:
                self._latest[observer, event["node"]] = change
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
            return [pair for pair in pairs if not self._has_reported(event, pair, since_s)]

        def settled() -> bool:
            left = missing()
            return not left or any(observer in self._ended for observer, _ in left)

        with self._changed:
            self._changed.wait_for(settled, timeout_s)
            if left := missing():
                raise NotSeen(self._why_not_seen(event, left, timeout_s))
            return max(self._latest[pair].at_s for pair in pairs) - since_s

    def links_of(self, observer: str) -> dict[str, LinkChange]:
        """Return the last change that ``observer`` reported of each link."""
        with self._changed:
            latest = self._latest.items()
            return {node: change for (reporter, node), change in latest if reporter == observer}

    def _has_reported(self, event: str, pair: Pair, since_s: float) -> bool:
        change = self._latest.get(pair)
        return change is not None and change.event == event and change.at_s >= since_s

    def _why_not_seen(self, event: str, missing: list[Pair], timeout_s: float) -> str:
        ended = sorted({observer for observer, _ in missing} & self._ended)
        if ended:
            return f"{', '.join(ended)} ended too early"
        reports = listed([f"{observer}: {event} of {node}" for observer, node in missing], _SHOWN)
        return f"not reported within {timeout_s:g} s: {reports}"
