"""Logs, at intervals, why this node is not linked to nodes that it knows."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator

from cluster_kit.membership.membership import Membership
from cluster_kit.membership.unlinked import Unlinked
from cluster_kit.throttle import REPEAT_S, Throttle
from cluster_kit.worker.connector_runner import LASTING_S

log = logging.getLogger("cluster_kit.worker")

# How long something must last before the log mentions it.
ALONE_S = 10.0  # this node has found nobody but itself
LISTED_S = 5.0  # a node from a list can't be linked
FOUND_S = 20.0  # the same for a node that was seen: one that has just died is forgotten by then
MISSED_S = 60.0  # the same for a node that has been linked: the application knows that it went

_SHOWN = 5  # unlinked nodes, each with its reason


class IsolationWarnings:
    """Watches one membership; ``check`` is called regularly.

    Args:
        membership: What it watches.
        now_s: The time.
        partial: Whether a list of seeds should lead to other nodes.
        sources: The names of all sources.
    """

    def __init__(
        self, membership: Membership, now_s: float, *, partial: bool, sources: Iterable[str]
    ) -> None:
        self._membership = membership
        self._partial = partial
        self._sources = tuple(sources)
        self._alone_since_s = now_s
        self._throttle = Throttle(LASTING_S)
        self._failing_since_s: dict[str, float] = {}
        self._mentioned: set[str] = set()
        self._mentioned_at_s = -math.inf
        self._next_check_s = now_s

    def check(self, now_s: float) -> None:
        """Log what is worth mentioning now."""
        self._warn_if_alone(now_s)
        if now_s >= self._next_check_s:
            self._check_failing(self._membership.failing(now_s), now_s)

    def _warn_if_alone(self, now_s: float) -> None:
        """Warn if a list of seeds leads to nobody, after others have had time to dial."""
        if not (self._partial and self._membership.finds_only_itself):
            self._alone_since_s = now_s
        elif now_s - self._alone_since_s >= ALONE_S and self._throttle.passes("alone", now_s):
            text = "%s: lists only this node: add the address of another one"
            log.warning(text, ", ".join(self._sources))

    def _check_failing(self, failing: list[Unlinked], now_s: float) -> None:
        """Warn about nodes that are newly not linked, and repeat all of them once a minute."""
        before_s = self._failing_since_s
        self._failing_since_s = {each.key: before_s.get(each.key, now_s) for each in failing}
        self._mentioned.intersection_update(self._failing_since_s)
        if failing:
            self._next_check_s = now_s + LISTED_S
        lasting = [each for each in failing if self._is_lasting(each.key, now_s)]
        new = [each for each in lasting if each.key not in self._mentioned]
        if now_s - self._mentioned_at_s < (FOUND_S if new else REPEAT_S):
            return
        for line in _lines(new or lasting):
            log.log(logging.WARNING if new else logging.INFO, "%s", line)
        self._mentioned.update(each.key for each in new)
        if lasting:
            self._mentioned_at_s = now_s

    def _is_lasting(self, key: str, now_s: float) -> bool:
        if self._membership.is_missed(key):
            patience_s = MISSED_S
        else:
            patience_s = LISTED_S if self._membership.is_listed(key) else FOUND_S
        return now_s - self._failing_since_s[key] >= patience_s


def _lines(failing: list[Unlinked]) -> Iterator[str]:
    """Yield a line for each of the first nodes, and one that sums up the others."""
    for each in failing[:_SHOWN]:
        yield f"{each.key} is {each}"
    if others := failing[_SHOWN:]:
        reasons = Counter(each.reason for each in others if each.reason)
        counted = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
        yield f"{len(others)} more are not linked: {counted}"
