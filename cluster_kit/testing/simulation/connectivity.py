"""Which nodes could reach each other, and when: what views and alarms are judged against. Pure.

Everything that keeps nodes apart is a ``Disturbance``. It lies either on a node, which is absent,
or on paths: a path leads from one node to another, one way. A path is *closed* if nothing gets
through, and *fair* if so little is lost or late that every promise of the product still holds. On
an open path that is not fair, nothing is promised.
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

# beyond these, TCP's retransmissions may leave a link as silent as a dead peer
FAIR_LOSS = 0.1
FAIR_DELAY_S = 0.25  # added to the latency

Paths = Callable[[int, int], bool]
"""A set of paths: whether that from one node to another belongs to it."""


@dataclass(slots=True, eq=False)
class Disturbance:
    """Something that keeps nodes apart for a while.

    Attributes:
        paths: The disturbed paths; ``None`` for all.
        closes: Whether nothing at all gets through.
        has_aftermath: Whether it may still have effects for a while after its end.
        until_s: When it ended; infinity while it lasts.
    """

    paths: Paths | None
    closes: bool
    has_aftermath: bool = True
    until_s: float = inf

    def affects(self, one: int, other: int) -> bool:
        """Whether the path from one node to another is disturbed."""
        return self.paths is None or self.paths(one, other)


def paths_of(step: Step, numbers: Collection[int]) -> Paths | None:
    """Return the paths among nodes ``numbers`` that a step affects; ``None`` for all."""
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
    """Whether nothing gets through on the paths that a step affects."""
    if isinstance(step, Packets):
        return step.loss == 1
    return isinstance(step, Partition | Cut | RingCut)


def is_fair(step: Step, loss: float = 0.0) -> bool:
    """Whether the paths of a step stay fair, on a network that loses ``loss`` of all packets."""
    if not isinstance(step, Packets) or step.delay_s + step.jitter_s > FAIR_DELAY_S:
        return False
    return step.loss == 0 or 1 - (1 - step.loss) * (1 - loss) <= FAIR_LOSS


def _beyond(reach: int, numbers: Collection[int]) -> Paths:
    """Return the paths between nodes further apart than ``reach`` in a ring of all."""
    place_of = {node: place for place, node in enumerate(sorted(numbers))}

    def are_apart(one: int, other: int) -> bool:
        places = abs(place_of[one] - place_of[other])
        return min(places, len(place_of) - places) > reach

    return are_apart


def _between(senders: Collection[int], receivers: Collection[int], *, one_way: bool) -> Paths:
    """Return the paths from one set of nodes to the other; an empty set means all others."""
    from_set, to_set = frozenset(senders), frozenset(receivers)

    def leads(one: int, other: int) -> bool:
        is_from = one in from_set if from_set else other in to_set and one not in to_set
        is_to = other in to_set if to_set else one in from_set and other not in from_set
        return (is_from and is_to) or not (from_set or to_set)

    return leads if one_way else lambda one, other: leads(one, other) or leads(other, one)


class Connectivity:
    """All disturbances of one simulation, past and present."""

    def __init__(self) -> None:
        self._absences: dict[int, list[Disturbance]] = defaultdict(list)
        self._on_paths: list[Disturbance] = []

    def node_absent(self, node: int, *, was_there: bool = True) -> Disturbance:
        """Record that a node is gone, or as good as gone, from now on."""
        absence = Disturbance(None, True, has_aftermath=was_there)
        self._absences[node].append(absence)
        return absence

    def paths_disturbed(self, paths: Paths | None, *, closes: bool) -> Disturbance:
        """Record that paths are disturbed from now on."""
        disturbance = Disturbance(paths, closes)
        self._on_paths.append(disturbance)
        return disturbance

    def is_open(self, one: int, other: int) -> bool:
        """Whether the path from one node to another is not closed now."""
        return not any(each.closes for each in self._present(one, other))

    def is_fair(self, one: int, other: int) -> bool:
        """Whether the path from one node to another is fair now, unless it is closed."""
        return all(each.closes for each in self._present(one, other))

    @property
    def is_whole(self) -> bool:
        """Whether no path is disturbed now."""
        return all(each.until_s < inf for each in self._on_paths)

    def undisturbed_since_s(
        self, one: int, other: int, aftermath_s: float, *, is_of_both: bool = True
    ) -> float:
        """Return since when nothing should keep two nodes apart; infinity while something does.

        Args:
            one: A node.
            other: Another.
            aftermath_s: For how long a disturbance may have effects after its end.
            is_of_both: Whether absences of ``one`` count, too.
        """
        pair = self._of_pair(one, other, is_of_both)
        untils = (each.until_s + aftermath_s * each.has_aftermath for each in pair)
        return max(untils, default=0.0)

    def was_quiet(self, one: int, other: int, at_s: float, aftermath_s: float) -> bool:
        """Whether ``one`` must have received what ``other`` sent at ``at_s``, as it left."""
        leaving = self._absences[other][-1]
        pair = (each for each in self._of_pair(one, other, is_of_both=True) if each is not leaving)
        return all(each.until_s + aftermath_s * each.has_aftermath <= at_s for each in pair)

    def _present(self, one: int, other: int) -> Iterator[Disturbance]:
        return (each for each in self._on_paths if each.until_s == inf and each.affects(one, other))

    def _of_pair(self, one: int, other: int, is_of_both: bool) -> Iterator[Disturbance]:
        yield from self._absences.get(one, ()) if is_of_both else ()
        yield from self._absences.get(other, ())
        for each in self._on_paths:
            if each.affects(one, other) or each.affects(other, one):
                yield each
