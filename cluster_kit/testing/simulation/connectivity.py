"""What keeps two simulated nodes apart, and when: the truth against which views and alarms are
judged. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from math import inf

from cluster_kit.testing.simulation.scripts.steps import (
    Cut,
    Packets,
    Partition,
    RingCut,
    SlowReader,
    Step,
)

# more than that of the packets lost, and TCP may be silent for as long as a dead peer
FAIR_LOSS = 0.1
FAIR_DELAY_S = 0.25  # the same for what is added to the latency

Ways = Callable[[int, int], bool]
"""Whether the way from one node to another is one of them."""


@dataclass(slots=True, eq=False)
class Disturbance:
    """Something that keeps nodes apart for a while.

    Attributes:
        ways: Which ways are closed, or open to nothing that is promised; ``None`` for all.
        closes: Whether nothing at all gets through.
        has_aftermath: Whether something may still come of it when it is over.
        since_s: When it began.
        until_s: When it ended; infinity while it lasts.
    """

    ways: Ways | None
    closes: bool
    since_s: float
    has_aftermath: bool = True
    until_s: float = inf

    def befalls(self, one: int, other: int) -> bool:
        """Whether the way from one node to another is disturbed."""
        return self.ways is None or self.ways(one, other)


def ways_of(step: Step, numbers: Collection[int]) -> Ways | None:
    """Return the ways among ``numbers`` that a step befalls; ``None`` for all."""
    match step:
        case Partition():
            group_of = {node: index for index, group in enumerate(step.groups) for node in group}
            return lambda one, other: group_of.get(one) != group_of.get(other)
        case Cut():
            return _between(step.nodes, step.to, one_way=step.one_way)
        case RingCut():
            return _beyond(step.reach, numbers)
        case Packets() if step.nodes or step.to:
            return _between(step.nodes, step.to, one_way=True)
        case SlowReader() if step.nodes:
            return _between((), step.nodes, one_way=True)
        case _:
            return None


def closes(step: Step) -> bool:
    """Whether nothing gets through on the ways that a step befalls."""
    return isinstance(step, Partition | Cut | RingCut) or (
        isinstance(step, Packets) and step.loss == 1
    )


def is_fair(step: Step, loss: float = 0.0) -> bool:
    """Whether all that is promised still holds on the ways of a step, where ``loss`` of the packets
    gets lost anyway.
    """
    if not isinstance(step, Packets) or step.delay_s + step.jitter_s > FAIR_DELAY_S:
        return False
    return step.loss == 0 or 1 - (1 - step.loss) * (1 - loss) <= FAIR_LOSS


def _beyond(reach: int, numbers: Collection[int]) -> Ways:
    """Return the ways between those who stand further apart than ``reach`` in a ring of all."""
    place_of = {node: place for place, node in enumerate(sorted(numbers))}

    def are_apart(one: int, other: int) -> bool:
        places = abs(place_of[one] - place_of[other])
        return min(places, len(place_of) - places) > reach

    return are_apart


def _between(senders: Collection[int], receivers: Collection[int], *, one_way: bool) -> Ways:
    """Return whether a way leads from one set to the other, each of which may stand for everybody
    else.
    """
    from_set, to_set = frozenset(senders), frozenset(receivers)

    def leads(one: int, other: int) -> bool:
        is_from = one in from_set if from_set else other in to_set and one not in to_set
        is_to = other in to_set if to_set else one in from_set and other not in from_set
        return (is_from and is_to) or not (from_set or to_set)

    return leads if one_way else lambda one, other: leads(one, other) or leads(other, one)


class History:
    """All disturbances of one simulation."""

    def __init__(self) -> None:
        self._of_node: dict[int, list[Disturbance]] = defaultdict(list)
        self._of_ways: list[Disturbance] = []

    def node_gone(self, node: int, at_s: float, *, was_there: bool = True) -> Disturbance:
        """Note that a node is not there from now on, or as good as not there."""
        gone = Disturbance(None, True, at_s, has_aftermath=was_there)
        self._of_node[node].append(gone)
        return gone

    def ways_disturbed(self, ways: Ways | None, *, closes: bool, at_s: float) -> Disturbance:
        """Note that ways are disturbed from now on."""
        disturbance = Disturbance(ways, closes, at_s)
        self._of_ways.append(disturbance)
        return disturbance

    def is_open(self, one: int, other: int) -> bool:
        """Whether something gets from one node to another now."""
        return not any(
            each.closes and each.befalls(one, other)
            for each in self._of_ways
            if each.until_s == inf
        )

    def is_fair(self, one: int, other: int) -> bool:
        """Whether all that is promised holds on the way from one node to another now, unless it is
        closed.
        """
        return not any(
            not each.closes and each.befalls(one, other)
            for each in self._of_ways
            if each.until_s == inf
        )

    @property
    def is_whole(self) -> bool:
        """Whether no way is disturbed now."""
        return all(each.until_s < inf for each in self._of_ways)

    def undisturbed_since_s(
        self, one: int, other: int, aftermath_s: float, *, is_of_both: bool = True
    ) -> float:
        """Return since when nothing should keep two nodes apart; infinity while something does.

        Args:
            one: A node.
            other: Another.
            aftermath_s: For how long something may still come of what is over.
            is_of_both: Whether it counts that ``one`` was not there itself.
        """
        pair = self._of_pair(one, other, is_of_both)
        untils = (each.until_s + aftermath_s * each.has_aftermath for each in pair)
        return max(untils, default=0.0)

    def was_quiet(self, one: int, other: int, at_s: float, aftermath_s: float) -> bool:
        """Whether nothing kept ``one`` from hearing what ``other`` said as it went at that
        moment.
        """
        going = self._of_node[other][-1]
        pair = (each for each in self._of_pair(one, other, is_of_both=True) if each is not going)
        return all(each.until_s + aftermath_s * each.has_aftermath <= at_s for each in pair)

    def _of_pair(self, one: int, other: int, is_of_both: bool) -> Iterator[Disturbance]:
        yield from self._of_node.get(one, ()) if is_of_both else ()
        yield from self._of_node.get(other, ())
        for each in self._of_ways:
            if each.befalls(one, other) or each.befalls(other, one):
                yield each
