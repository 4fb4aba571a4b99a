"""What a simulation finds wrong, in bounded memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

_KEPT = 20  # of each law; the rest is more of the same, and counted


class Law(StrEnum):
    """What has to hold in every simulation; a closed list."""

    AGREEMENT = "in the end, the view of every node agrees with the truth"
    EVENTS = "found and lost, up and down alternate for each node"
    RUNS = (
        "nobody is found as a run that is over, or said to leave or to have left who was not told "
        "to"
    )
    GOODBYES = "who leaves with a goodbye is told to have left, where everything gets through"
    ROSTER = "no more than max_nodes are known, and nobody knows itself"
    LINKS = "each link is reported up once, before connect returns, and down once"
    COMMANDS = "there is one command in flight for a peer at most, and dials back off"
    TOPOLOGY = "a topology selects only of the roster, the same each time, and both ends agree"
    MESSAGES = (
        "a message arrives once at most, in the order of its sender and topic, and never at its "
        "sender"
    )
    GAPS = "messages that are lost are told in a gap, in their place"
    REACH = "who is up is reached: what there is room for arrives unless the link breaks"
    ROOM = "no more waits for a reader, or is on its way, than there is room for"
    QUESTIONS = "each question ends once, and an end that says whether it ran is right"
    SERVING = "a node serves as long as nobody stops it"
    EXCEPTIONS = "no exception is left to the event loop"
    TIME = "nobody keeps time from passing"
    LOG = "nothing is logged as an error"
    REPEATS = "the same seed gives the same trace, in every process"
    REAL_WORLD = "nothing gets past the network, its clock and its randomness"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong.

    Attributes:
        law: What is broken.
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


_CAUSES = (Law.REAL_WORLD, Law.EXCEPTIONS)  # of what else is found at the same moment


class Findings:
    """All that a simulation finds wrong; of each law the first ones."""

    def __init__(self) -> None:
        self._kept: list[Finding] = []
        self.counts: Counter[Law] = Counter()

    def add(self, law: Law, at_s: float, who: str, what: str) -> None:
        """Note that something is wrong."""
        self.counts[law] += 1
        if self.counts[law] <= _KEPT:
            self._kept.append(Finding(law, at_s, who, what))

    def in_order(self) -> tuple[Finding, ...]:
        """Return them in the order of their times, as causes come before effects."""
        return tuple(
            sorted(self._kept, key=lambda finding: (finding.at_s, finding.law not in _CAUSES))
        )
