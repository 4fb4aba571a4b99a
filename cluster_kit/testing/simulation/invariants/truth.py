"""The view that every node should have once nothing changes, and differences from it. Pure.

A view may differ if the truth leaves something open: ``knows`` and ``is_linked`` answer ``None``
for a pair of nodes whose path is open but not fair, as nothing is promised there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from cluster_kit.abc import Topology
from cluster_kit.node import Node

Reaches = Callable[[int, int], bool]
Picks = Mapping[int, frozenset[str]]
"""The keys that each node's topology selects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """How things are.

    Attributes:
        there: The nodes that run, by number, as they introduce themselves.
        numbers: The number of each node that ever existed, by key.
        listed: The keys that the configuration lists: every node knows them, running or not.
        is_open: Whether the path from one node to another is open; see ``connectivity``.
        is_fair: Whether it is fair.
        is_whole: Whether every path is open and fair.
        links: Which nodes each node should be linked to, as ``expected_links`` returns them.
    """

    there: Mapping[int, Node]
    numbers: Mapping[str, int]
    listed: frozenset[str]
    is_open: Reaches
    is_fair: Reaches
    is_whole: bool
    links: Mapping[int, frozenset[int]]

    def with_links(self, links: Mapping[int, frozenset[int]]) -> Truth:
        """Return a copy with ``links``."""
        return replace(self, links=links)

    def knows(self, one: int, key: str) -> bool | None:
        """Return whether a node should know ``key``; ``None`` if either is right."""
        other = self.numbers.get(key)
        if other == one or other is None:
            return False
        if key in self.listed:
            return True
        if other not in self.there:
            return False
        if self.is_whole:
            return True
        return self.is_open(other, one) if self.is_fair(other, one) else None

    def is_linked(self, one: int, key: str) -> bool | None:
        """Return whether a node should be linked to ``key``; ``None`` if either is right."""
        other = self.numbers.get(key)
        if other is None or other not in self.there:
            return False
        if not self.is_whole and not (self.is_fair(one, other) and self.is_fair(other, one)):
            return None
        return other in self.links[one]


def picks_of(
    there: Mapping[int, Node],
    topology: Topology,
    rosters: Mapping[int, frozenset[Node]],
    report: Callable[[str], object],
) -> dict[int, frozenset[str]]:
    """Return the keys that each node selects; if that raises, none, and ``report`` is called."""
    picks = {}
    for number, node in there.items():
        try:
            picks[number] = frozenset(each.key for each in topology.select(node, rosters[number]))
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - a bug of the topology is a finding
            picks[number] = frozenset()
            report(f"select of {node} raised {exc!r}")
    return picks


def expected_links(
    there: Mapping[int, Node], picks: Picks, reaches: Reaches
) -> dict[int, frozenset[int]]:
    """Return the links of each node: to all it picks or that pick it, if both reach each other."""
    number_of = {node.key: number for number, node in there.items()}
    links: dict[int, set[int]] = {number: set() for number in there}
    for one, picked in picks.items():
        for key in picked:
            other = number_of.get(key)
            if other is not None and reaches(one, other) and reaches(other, one):
                links[one].add(other)
                links[other].add(one)
    return {number: frozenset(others) for number, others in links.items()}


def faults_of_topology(there: Mapping[int, Node], picks: Picks) -> Iterator[str]:
    """Yield what is wrong with picks from complete rosters: one-sided ones, or nodes left apart."""
    picked = {node.key: picks[number] for number, node in there.items()}
    for key in sorted(picked):
        for other in sorted(picked[key]):
            if key not in picked.get(other, ()):
                yield f"{key} selects {other}, and {other} doesn't select {key}, of the same roster"
    if apart := sorted(picked.keys() - _component(picked)):
        yield f"all links together don't connect {apart[0]} to {min(picked)}"


def _component(links: Mapping[str, frozenset[str]]) -> set[str]:
    """Return the first node and all that are connected to it."""
    reached: set[str] = set()
    ahead = [min(links)] if links else []
    while ahead:
        key = ahead.pop()
        if key not in reached:
            reached.add(key)
            ahead += links.get(key, ())
    return reached


class Disagreement:
    """Where the view of one node differs from the truth.

    Args:
        number: The node.
        truth: What it should see.
        known: The nodes it knows; the view itself, which changes.
        up: The nodes it is linked to; likewise.

    Attributes:
        about: The keys that it is wrong about.
    """

    def __init__(
        self, number: int, truth: Truth, known: Mapping[str, Node], up: Mapping[str, Node]
    ) -> None:
        self._number = number
        self._truth = truth
        self._known = known
        self._up = up
        self.about = {key for key in truth.numbers.keys() | known.keys() if self._is_wrong(key)}

    def update(self, key: str) -> None:
        """Compare again after the view of ``key`` has changed."""
        if self._is_wrong(key):
            self.about.add(key)
        else:
            self.about.discard(key)

    def describe(self) -> str:
        """Describe the faults of the first few keys."""
        keys = sorted(self.about)
        more = f", and {len(keys) - 3} more are wrong" if len(keys) > 3 else ""
        return "; ".join(map(self._describe, keys[:3])) + more

    def _is_wrong(self, key: str) -> bool:
        truth, number = self._truth, self._number
        # ``is``, as None (either is right) must equal neither
        return (
            truth.knows(number, key) is (key not in self._known)
            or truth.is_linked(number, key) is (key not in self._up)
            or self._is_outdated(self._up.get(key))
            or (self._is_outdated(self._known.get(key)) and not self._is_only_listed(key))
        )

    def _is_only_listed(self, key: str) -> bool:
        """Whether the node can't learn which run there is: a list of names has no boots."""
        return key in self._truth.listed and not self._truth.is_linked(self._number, key)

    def _is_outdated(self, node: Node | None) -> bool:
        """Whether a node is shown as another run than the one that is there."""
        if node is None or node.boot_id is None:
            return False
        there = self._truth.there.get(self._truth.numbers.get(node.key, 0))
        return there is not None and there.boot_id != node.boot_id

    def _describe(self, key: str) -> str:
        truth, number = self._truth, self._number
        faults = []
        if truth.knows(number, key) is (key not in self._known):
            faults.append("is known, and should not be" if key in self._known else "is not known")
        if truth.is_linked(number, key) is (key not in self._up):
            faults.append("is up, and should not be" if key in self._up else "is not up")
        return f"{key} {' and '.join(faults) or 'is seen as an earlier run'}"
