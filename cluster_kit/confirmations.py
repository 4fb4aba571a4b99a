"""Confirms removals: a node is gone once enough answers in a row lack it. Pure.

Sources that answer are not always right: a name server may know half a zone, and an EPMD that was
restarted knows nobody until all have registered again. So an answer adds nodes at once, but removes
them only when later answers agree. A source that fails to answer removes none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from math import inf

from cluster_kit.node import Node


@dataclass(slots=True)
class _Held:
    """A node that the source vouches for; ``missing`` answers lack it, since ``since_s``."""

    node: Node
    missing: int = 0
    since_s: float = inf


class Confirmations:
    """The nodes that one source vouches for, or one part of it.

    Args:
        answers: How many answers in a row must lack a node before it is gone.
        period_s: For how many seconds they must have lacked it.
        earlier: Nodes from an earlier run; they count as if the last answer had them.
    """

    def __init__(
        self, answers: int, *, period_s: float = 0.0, earlier: Iterable[Node] = ()
    ) -> None:
        self._answers = answers
        self._period_s = period_s
        self._held = {node.key: _Held(node) for node in earlier}

    @property
    def nodes(self) -> Collection[Node]:
        """The nodes that count as present, each once."""
        return [held.node for held in self._held.values()]

    def answered(
        self, nodes: Iterable[Node], now_s: float = 0.0, *, complete: bool = True, at_least: int = 1
    ) -> None:
        """Handle an answer.

        Args:
            nodes: The nodes in the answer.
            now_s: When it arrived.
            complete: Whether there are no others. An answer that is not complete confirms nothing.
            at_least: How many answers in a row are needed at least, whatever was configured.
        """
        needed = max(self._answers, at_least)
        present = {node.key: _Held(node) for node in nodes}
        for key, held in self._held.items():
            if key in present:
                continue
            if complete:
                held.missing += 1
                held.since_s = min(held.since_s, now_s)
            if held.missing < needed or now_s - held.since_s < self._period_s:
                present[key] = held
        self._held = present

    def forget(self, keys: Collection[str]) -> None:
        """Drop the nodes of these keys."""
        for key in self._held.keys() & keys:
            del self._held[key]


def merged(parts: Iterable[Confirmations]) -> Collection[Node]:
    """Return the nodes of all parts, each once; where parts differ about it, the first decides."""
    by_key: dict[str, Node] = {}
    for part in parts:
        for node in part.nodes:
            by_key.setdefault(node.key, node)
    return by_key.values()
