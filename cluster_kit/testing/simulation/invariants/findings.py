"""The invariants of a simulation, and the findings of violations, in bounded memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

_MAX_KEPT = 20  # of each invariant; further ones are only counted


class Law(StrEnum):
    """The invariants that hold in every simulation; a closed list."""

    AGREEMENT = "in the end, the view of every node agrees with the truth"
    EVENTS = "found and lost, up and down alternate for each node"
    RUNS = "no node is shown as a run that is over, or as leaving, left or replaced unless it is"
    GOODBYES = "a node that says goodbye is reported as left wherever every packet gets through"
    ROSTER = "no more than max_nodes are known, and no node knows itself"
    LINKS = "each link is reported up once, before connect returns, and down once"
    COMMANDS = "at most one command is in flight for a peer, and dials back off"
    TOPOLOGY = "a topology selects from the roster only, the same each time, and both ends agree"
    MESSAGES = "a message arrives at most once, in order by sender and topic, never at its sender"
    GAPS = "lost messages are reported by a gap, in their place"
    REACH = "a node that is up is reached: messages with room arrive unless the link breaks"
    ROOM = "no more waits for a reader, or is in transit, than there is room for"
    QUESTIONS = "each question ends once, and is right about whether it ran"
    SERVING = "a node serves until it is stopped"
    EXCEPTIONS = "no exception is left to the event loop"
    TIME = "nothing keeps time from passing"
    LOG = "nothing is logged as an error"
    REPEATS = "the same seed gives the same trace, in every process"
    REAL_WORLD = "nothing gets past the network, its clock and its randomness"


@dataclass(frozen=True, slots=True)
class Finding:
    """A violation of an invariant.

    Attributes:
        law: The invariant.
        at_s: When, in simulated seconds.
        who: The node.
        what: What it did.
    """

    law: Law
    at_s: float
    who: str
    what: str

    def __str__(self) -> str:
        return f"{self.at_s:.3f} s, {self.who}: {self.what} ({self.law})"


_CAUSES = (Law.REAL_WORLD, Law.EXCEPTIONS)  # of other findings at the same moment


class Findings:
    """The first findings of each invariant, and how many there were."""

    def __init__(self) -> None:
        self._kept: list[Finding] = []
        self.counts: Counter[Law] = Counter()

    def add(self, law: Law, at_s: float, who: str, what: str) -> None:
        """Add a finding."""
        self.counts[law] += 1
        if self.counts[law] <= _MAX_KEPT:
            self._kept.append(Finding(law, at_s, who, what))

    def in_order(self) -> tuple[Finding, ...]:
        """Return the findings in the order of time, so that causes come before effects."""
        return tuple(
            sorted(self._kept, key=lambda finding: (finding.at_s, finding.law not in _CAUSES))
        )
