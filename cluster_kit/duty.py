"""Which of several nodes has a duty: the oldest boot of the candidates that see each other. Pure.

A node that wants the duty is a candidate, and announces that to all its peers before anything else.
The oldest candidate that a node sees may claim; the others wait. A claimant asks every linked node,
candidate or not, whether it is free, and has the duty once all have said so. There is no election,
no term and no log.

=========== ===================================================== ==================================
stage       meaning                                               left when
=========== ===================================================== ==================================
``WAITING`` not the oldest candidate in sight, or too few nodes   that changes: ``ASKING``
            are linked
``ASKING``  the oldest; some linked nodes have not said yet that  all have: ``HELD``; no longer the
            they are free                                         oldest, or too few: ``WAITING``
``HELD``    this node has the duty                                no longer the oldest, or too few:
                                                                  ``LOST``
``LOST``    it must stop its work, and has not reported that yet  it reports that: ``WAITING``, or
                                                                  ``ASKING``
=========== ===================================================== ==================================

Why two nodes that see each other never both have it: messages arrive in order, and a candidacy is
announced before the question. So a node that answers knows that the asker is a candidate.

- If the asker is the older one, the answerer doesn't claim as long as it sees the asker.
- If the asker is the younger one, it has yet to learn of the answerer's candidacy, whose own
  question comes after that announcement. The answerer says that it is free only while it has no
  duty: in ``HELD`` and ``LOST``, no node is free.

For the same reason, an answer stays true as long as the link is up and the asker is a candidate.

The limit: two nodes that don't see each other, as in a partition, may both have the duty. When they
meet, the younger one loses it at once. An application that can't bear that uses ``min_nodes``, more
than half of all nodes, or takes a lease from a store.
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
    """One candidate's view of one duty.

    Args:
        min_nodes: How many nodes, including this one, must be linked for anybody to have it.
    """

    def __init__(self, min_nodes: int = 1) -> None:
        self.stage = Stage.WAITING
        self._min_nodes = min_nodes
        self._neighbours: Mapping[int, Neighbour] = {}
        self._free: set[int] = set()
        self._may_have = False

    def see(self, own: BootId | None, neighbours: Mapping[int, Neighbour]) -> None:
        """Note the current links.

        Args:
            own: The boot of this node; ``None`` while its worker is being replaced.
            neighbours: The linked nodes by link number; numbers are never reused.
        """
        self._neighbours = neighbours
        self._free &= neighbours.keys()  # an answer counts as long as its link is up
        candidates = [each.boot for each in neighbours.values() if each.is_candidate]
        is_oldest = own is not None and all(own <= boot for boot in candidates)
        self._may_have = is_oldest and len(neighbours) + 1 >= self._min_nodes
        self._judge()

    @property
    def is_held(self) -> bool:
        """Whether this node has the duty."""
        return self.stage is Stage.HELD

    @property
    def to_ask(self) -> frozenset[int]:
        """The links to the nodes that have to be asked whether they are free."""
        if self.stage is not Stage.ASKING:
            return frozenset()
        return frozenset(self._neighbours.keys() - self._free)

    def is_free(self, link: int) -> None:
        """Note that the node at the end of ``link`` is free, or no candidate."""
        if link in self._neighbours:
            self._free.add(link)
            self._judge()

    @property
    def says_free(self) -> bool:
        """What to answer when asked."""
        return self.stage in (Stage.WAITING, Stage.ASKING)

    def release(self) -> None:
        """Note that this node has stopped the work of the duty."""
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
