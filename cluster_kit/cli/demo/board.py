"""What the nodes of the demo have told, and when: who sees whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_SHOWN = 5  # of what is missing; the rest is more of the same

Pair = tuple[str, str]
"""An observer and the node that it speaks of."""


@dataclass(frozen=True, slots=True)
class Told:
    """The last that an observer told about another node's link."""

    event: str
    reason: str
    at_s: float


class Board:
    """Filled by the threads that read the nodes' output, read by the show and the view."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._told: dict[Pair, Told] = {}

    def hear(self, observer: str, event: Mapping[str, Any]) -> None:
        """Take in an event that ``observer`` printed."""
        if event["event"] in ("node_up", "node_down"):
            with self._changed:
                self._told[observer, event["node"]] = Told(event["event"], event.get("reason", ""), time.monotonic())
                self._changed.notify_all()

    def forget(self, observer: str) -> None:
        """Drop what ``observer`` told: it starts anew."""
        with self._changed:
            self._told = {pair: told for pair, told in self._told.items() if pair[0] != observer}

    def wait_for(self, event: str, pairs: Iterable[Pair], since_s: float, timeout_s: float) -> float:
        """Wait until each observer has told ``event`` of its node after ``since_s``; return how long the last one took.

        Raises:
            TimeoutError: Some have not; the message names them.
        """
        open_pairs = list(pairs)
        last_s = since_s

        def all_told() -> bool:
            nonlocal last_s
            for pair in open_pairs.copy():
                told = self._told.get(pair)
                if told is not None and told.event == event and told.at_s >= since_s:
                    open_pairs.remove(pair)
                    last_s = max(last_s, told.at_s)
            return not open_pairs

        with self._changed:
            if not self._changed.wait_for(all_told, timeout_s):
                missing = [f"{observer} has not told {event} of {node}" for observer, node in open_pairs]
                more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
                raise TimeoutError(f"{', '.join(missing[:_SHOWN])}{more} within {timeout_s:g} s")
        return last_s - since_s

    def view_of(self, observer: str) -> dict[str, Told]:
        """Return the last that ``observer`` told about each node."""
        with self._changed:
            return {node: told for (who, node), told in self._told.items() if who == observer}
