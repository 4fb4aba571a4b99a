"""Which of several nodes has a duty: the oldest candidate, by boot, of those that see each other.

A node that wants the duty is a *candidate*, and announces that to all its peers before anything
else. If it sees no older candidate, it asks every linked node, candidate or not, whether that node
is free, and has the duty once all have said so. There is no election, no term and no log.

=========== ==================================================== ===================================
stage       meaning                                              left when
=========== ==================================================== ===================================
``WAITING`` an older candidate is in sight, or too few nodes are that changes: ``ASKING``
            linked
``ASKING``  no older candidate is in sight, but some linked      all have: ``HELD``; an older
            nodes have not said yet that they are free           candidate, or too few: ``WAITING``
``HELD``    this node has the duty                               an older candidate, or too few:
                                                                 ``LOST``
``LOST``    it must stop its work, and has not reported that it  it reports that: ``WAITING``, or
            has stopped                                          ``ASKING``
=========== ==================================================== ===================================

Two nodes that see each other never both have the duty, because messages arrive in order and a node
announces its candidacy before it asks. So a node that answers knows that the asker is a candidate.

- If the asker is the older one, the answerer stays in ``WAITING`` while it sees the asker.
- If the asker is the younger one, it has not yet received the announcement of the answerer, whose
  own question follows that announcement. The answerer says that it is free only while it has no
  duty: in ``HELD`` and ``LOST``, no node is free.

For the same reason, an answer stays true as long as the link is up and the asker is a candidate.

The limit: two nodes that don't see each other, as in a partition, may both have the duty. When they
meet, the younger one loses it at once. An application that cannot tolerate that uses ``min_nodes``,
more than half of all nodes, or takes a lease from a store.
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
        min_nodes: How many nodes, including this one, must be linked for any node to have it.
    """

    def __init__(self, min_nodes: int = 1) -> None:
        self.stage = Stage.WAITING
        self._min_nodes = min_nodes
        self._neighbours: Mapping[int, Neighbour] = {}
        self._free: set[int] = set()
        self._may_have = False

    def see(self, own: BootId | None, neighbours: Mapping[int, Neighbour]) -> None:
        """Record the current links.

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
        """The links to the nodes that this node has to ask whether they are free."""
        if self.stage is not Stage.ASKING:
            return frozenset()
        return frozenset(self._neighbours.keys() - self._free)

    def is_free(self, link: int) -> None:
        """Record that the node at the end of ``link`` has said that it is free."""
        if link in self._neighbours:
            self._free.add(link)
            self._judge()

    @property
    def says_free(self) -> bool:
        """What to answer when another node asks."""
        return self.stage in (Stage.WAITING, Stage.ASKING)

    def release(self) -> None:
        """Record that this node has stopped the work of the duty."""
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
