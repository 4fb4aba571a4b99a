"""What every node should see once all has calmed down, and how far its view is from that. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from cluster_kit.abc import Topology
from cluster_kit.node import Node

Reaches = Callable[[int, int], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """How things stand.

    Attributes:
        there: The nodes that run, by number, as they introduce themselves.
        numbers: The number of each node that ever was, by key.
        listed: The keys of those whom every node knows whether they run or not, as configuration
            lists them.
        is_open: Whether anything gets from one node to another.
        is_fair: Whether all that is promised holds on that way.
        is_whole: Whether every way is open, and fair.
        links: Whom each node is to be linked to, as ``meant_links`` returns them.
    """

    there: Mapping[int, Node]
    numbers: Mapping[str, int]
    listed: frozenset[str]
    is_open: Reaches
    is_fair: Reaches
    is_whole: bool
    links: Mapping[int, frozenset[int]]

    def with_links(self, links: Mapping[int, frozenset[int]]) -> Truth:
        """Return the same with links."""
        return replace(self, links=links)

    def knows(self, one: int, key: str) -> bool | None:
        """Return whether a node should know ``key``; ``None`` where either is right."""
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
        """Return whether a node should be linked to ``key``; ``None`` where either is right."""
        other = self.numbers.get(key)
        if other is None or other not in self.there:
            return False
        if not self.is_whole and not (self.is_fair(one, other) and self.is_fair(other, one)):
            return None
        return other in self.links[one]


Picks = Mapping[int, frozenset[str]]


def picks_of(
    there: Mapping[int, Node],
    topology: Topology,
    rosters: Mapping[int, frozenset[Node]],
    tell: Callable[[str], object],
) -> dict[int, frozenset[str]]:
    """Return the keys of those whom each node picks: nobody where that fails, which ``tell`` is
    told.
    """
    picks = {}
    for number, node in there.items():
        try:
            picks[number] = frozenset(each.key for each in topology.select(node, rosters[number]))
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - a bug of the topology is a finding
            picks[number] = frozenset()
            tell(f"select of {node} raised {exc!r}")
    return picks


def meant_links(
    there: Mapping[int, Node], picks: Picks, reaches: Reaches
) -> dict[int, frozenset[int]]:
    """Return whom each node is linked to: those it picks or who pick it, as far as both reach each
    other.
    """
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
    """Yield what the ends of a link don't agree on, or what leaves nodes apart, where all know
    all.
    """
    picked = {node.key: picks[number] for number, node in there.items()}
    for key in sorted(picked):
        for other in sorted(picked[key]):
            if key not in picked.get(other, ()):
                yield f"{key} selects {other}, and {other} doesn't select {key}, of the same roster"
    if apart := sorted(picked.keys() - _component(picked)):
        yield f"all links together don't connect {apart[0]} to {min(picked)}"


def _component(links: Mapping[str, frozenset[str]]) -> set[str]:
    """Return the first node, and whoever is connected to it."""
    reached: set[str] = set()
    ahead = [min(links)] if links else []
    while ahead:
        key = ahead.pop()
        if key not in reached:
            reached.add(key)
            ahead += links.get(key, ())
    return reached


class Disagreement:
    """How far the view of one node is from the truth: the keys for which it is wrong.

    Args:
        number: The node.
        truth: What it should see.
        known: Whom it knows; changes as its application is told.
        up: Whom it is linked to; likewise.
    """

    def __init__(
        self, number: int, truth: Truth, known: Mapping[str, Node], up: Mapping[str, Node]
    ) -> None:
        self._number = number
        self._truth = truth
        self._known = known
        self._up = up
        self.about = {key for key in truth.numbers.keys() | known.keys() if self._is_wrong(key)}

    def look(self, key: str) -> None:
        """Take in that the view of ``key`` has changed."""
        if self._is_wrong(key):
            self.about.add(key)
        else:
            self.about.discard(key)

    def describe(self) -> str:
        """Return what is wrong about the first few keys."""
        keys = sorted(self.about)
        more = f", and {len(keys) - 3} more are wrong" if len(keys) > 3 else ""
        return "; ".join(map(self._describe, keys[:3])) + more

    def _is_wrong(self, key: str) -> bool:
        truth, number = self._truth, self._number
        return (
            truth.knows(number, key) is (key not in self._known)
            or truth.is_linked(number, key) is (key not in self._up)
            or self._is_outdated(self._up.get(key))
            or (self._is_outdated(self._known.get(key)) and not self._is_only_listed(key))
        )

    def _is_only_listed(self, key: str) -> bool:
        """Whether nothing tells the node which run of another there is."""
        return key in self._truth.listed and not self._truth.is_linked(self._number, key)

    def _is_outdated(self, node: Node | None) -> bool:
        """Whether it shows another run than the one that is there."""
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
