"""Which of several nodes has a duty: the oldest boot among the candidates that see each other. Pure.

A node that wants the duty is a candidate, and says so to everybody that it is linked to before anything else. The oldest
candidate that a node sees may claim; all others wait. Who claims asks every linked node whether it is free, candidate or not,
and has the duty once all have said that they are. Nobody else sees to that: there is no election, no term and no log.

=========== ========================================================= ==========================================
stage       meaning                                                   left when
=========== ========================================================= ==========================================
``WAITING`` not the oldest candidate in sight, or too few nodes are   that changes: ``ASKING``
``ASKING``  the oldest; some of those linked have not said yet that   all have: ``HELD``; no longer the oldest, or
            they are free                                             too few: ``WAITING``
``HELD``    this node has the duty                                    no longer the oldest, or too few: ``LOST``
``LOST``    it must stop what it does, and has not said so yet        it says so: ``WAITING``, or ``ASKING``
=========== ========================================================= ==========================================

Why two that see each other never both get it: words arrive in order, and being a candidate is said
before the question. So whoever answers a question knows the asker as a candidate. If the asker is the
older one, the answerer won't claim from then on, for as long as it sees the asker. If the asker is the
younger one, it has still to hear of the answerer, whose own question comes behind that word, and which
itself says that it is free only while it has no duty. In ``HELD`` and ``LOST`` nobody is free. For the
same reason an answer stays true for as long as the link is there and the asker is a candidate.

What this can't do: two nodes that don't see each other, as in a partition, may both have the duty. When they meet again, the
younger one loses it at once. Whoever can't bear that asks for ``min_nodes``, more than half of all nodes there are, or takes a
lease from a store that has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import NamedTuple

from cluster_kit.node import BootId


class Stage(Enum):
    """How far a candidate has come."""

    WAITING = auto()
    ASKING = auto()
    HELD = auto()
    LOST = auto()


class Neighbour(NamedTuple):
    """A linked node."""

    boot: BootId
    is_candidate: bool


class Candidacy:
    """One duty, as one candidate for it sees things.

    Args:
        min_nodes: How many nodes, this one included, must be linked for anybody to have it.
    """

    def __init__(self, min_nodes: int = 1) -> None:
        self.stage = Stage.WAITING
        self._min_nodes = min_nodes
        self._neighbours: Mapping[int, Neighbour] = {}
        self._free: set[int] = set()
        self._may_have = False

    def see(self, own: BootId | None, neighbours: Mapping[int, Neighbour]) -> None:
        """Note who is there now.

        Args:
            own: The boot of this node, ``None`` while it has none, as its worker is being replaced.
            neighbours: The linked nodes, each by the number of its link, which no other link ever has.
        """
        self._neighbours = neighbours
        self._free &= neighbours.keys()  # for no longer than the links
        older = own is not None and any(each.is_candidate and each.boot < own for each in neighbours.values())
        self._may_have = own is not None and not older and len(neighbours) + 1 >= self._min_nodes
        self._judge()

    @property
    def is_held(self) -> bool:
        """Whether this node has the duty."""
        return self.stage is Stage.HELD

    @property
    def to_ask(self) -> frozenset[int]:
        """The links to nodes that have to be asked whether they are free."""
        return frozenset(self._neighbours.keys() - self._free) if self.stage is Stage.ASKING else frozenset()

    def is_free(self, link: int) -> None:
        """Note that the node at the other end of ``link`` has said that it is free, or that it is no candidate."""
        if link in self._neighbours:
            self._free.add(link)
            self._judge()

    @property
    def says_free(self) -> bool:
        """What to answer to whoever asks."""
        return self.stage in (Stage.WAITING, Stage.ASKING)

    def release(self) -> None:
        """Note that this node does nothing any more that takes the duty."""
        if not self.says_free:
            self.stage = Stage.WAITING
            self._judge()

    def _judge(self) -> None:
        match self.stage:
            case Stage.HELD if not self._may_have:
                self.stage = Stage.LOST
            case Stage.WAITING | Stage.ASKING if not self._may_have:
                self.stage = Stage.WAITING
            case Stage.WAITING:
                self.stage = Stage.ASKING
                self._judge()
            case Stage.ASKING if self._free >= self._neighbours.keys():
                self.stage = Stage.HELD
