"""Judges what the applications of a simulation are told: against the truth at the end, and on the
way for false alarms.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import inf

from cluster_kit.abc import Topology
from cluster_kit.events import Reason
from cluster_kit.node import Node
from cluster_kit.testing.simulation.connectivity import History
from cluster_kit.testing.simulation.identity import label_of, node_of
from cluster_kit.testing.simulation.invariants.findings import Findings, Law
from cluster_kit.testing.simulation.invariants.truth import (
    Disagreement,
    Truth,
    faults_of_topology,
    meant_links,
    picks_of,
)
from cluster_kit.testing.simulation.node import Member
from cluster_kit.testing.simulation.outcome import FalseAlarm

_HARMLESS = frozenset({Reason.UNWANTED, Reason.SHUTDOWN})  # nobody is said to be gone


class Judge:
    """Knows the truth.

    Args:
        members: All nodes that ever appear, by number.
        history: What keeps them apart.
        topology: Picks whom to link to.
        listed: The keys of those whom all know for good.
        aftermath_s: For how long something may come of what is over.
        bound_s: Within how many seconds all have to agree.
        goodbyes: The events that tell a goodbye wherever one was said: ``lost``, ``down``, or none
            where packets get lost.
        findings: Is told what is wrong.

    Attributes:
        false_alarms: Whoever was told to be down or lost, and was there.
    """

    def __init__(
        self,
        members: Mapping[int, Member],
        history: History,
        *,
        topology: Topology,
        listed: frozenset[str],
        aftermath_s: float,
        bound_s: float,
        goodbyes: Collection[str],
        findings: Findings,
    ) -> None:
        self.false_alarms: list[FalseAlarm] = []
        self._members = members
        self._history = history
        self._topology = topology
        self._listed = listed
        self._aftermath_s = aftermath_s
        self._bound_s = bound_s
        self._goodbyes = goodbyes
        self._findings = findings
        self._numbers = {node_of(number).key: number for number in members}
        self._apart: dict[int, Disagreement] = {}  # of those who are there
        self._agreed_s: dict[int, float] = {}
        self._settled_s = 0.0
        self._wrong: set[int] = set()

    def heard(self, number: int, what: str, key: str, reason: Reason | None, now_s: float) -> None:
        """Take in what the application of a node hears."""
        if reason is not None and reason not in _HARMLESS:
            self._look_for_false_alarm(number, what, key, reason, now_s)
            self._look_for_missed_goodbye(number, what, key, reason, now_s)
        disagreement = self._apart.get(number)
        if disagreement is not None:
            disagreement.look(key)
            self._note(number, disagreement, now_s)

    def _look_for_false_alarm(
        self, number: int, what: str, key: str, reason: Reason, now_s: float
    ) -> None:
        other = self._numbers.get(key)
        if other is None:
            return
        # who was away himself heard nobody, and is to know that
        is_of_both = reason is not Reason.SILENT
        if (
            self._history.undisturbed_since_s(
                number, other, self._aftermath_s, is_of_both=is_of_both
            )
            <= now_s
        ):
            self.false_alarms.append(FalseAlarm(now_s, label_of(number), key, what, reason))

    def _look_for_missed_goodbye(
        self, number: int, what: str, key: str, reason: Reason, now_s: float
    ) -> None:
        other = self._numbers.get(key)
        left_at_s = None if other is None else self._members[other].left_at_s
        if (
            other is None
            or left_at_s is None
            or reason is Reason.LEFT
            or what not in self._goodbyes
        ):
            return
        if self._history.was_quiet(number, other, left_at_s, self._aftermath_s):
            said = (
                f"{what} {key}: {reason}, though it had left with a goodbye "
                f"{now_s - left_at_s:.3f} s before"
            )
            self._findings.add(Law.GOODBYES, now_s, label_of(number), said)

    # -- the truth ---------------------------------------------------------------------------------

    def settle(self, now_s: float) -> None:
        """Work out what all should see from now on."""
        there = {number: member.node for number, member in self._members.items() if member.is_there}
        truth = self._truth(there, now_s)
        self._settled_s = now_s
        self._apart.clear()
        self._agreed_s.clear()
        self._wrong.clear()
        for number in there:
            life = self._members[number].life
            assert life is not None
            self._apart[number] = Disagreement(number, truth, life.view.known, life.view.up)
            self._note(number, self._apart[number], now_s)

    def _truth(self, there: Mapping[int, Node], now_s: float) -> Truth:
        history = self._history
        truth = Truth(
            there=there,
            numbers=self._numbers,
            listed=self._listed,
            is_open=history.is_open,
            is_fair=history.is_fair,
            is_whole=history.is_whole,
            links={},
        )
        rosters = {number: self._roster(truth, number) for number in there}
        raised: list[str] = []
        picks = picks_of(there, self._topology, rosters, raised.append)
        for fault in raised:
            self._findings.add(Law.TOPOLOGY, now_s, "topology", fault)
        if not raised and truth.is_whole and self._listed <= {node.key for node in there.values()}:
            for fault in faults_of_topology(there, picks):
                self._findings.add(Law.TOPOLOGY, 0.0, "topology", fault)
        return truth.with_links(meant_links(there, picks, history.is_open))

    def _roster(self, truth: Truth, number: int) -> frozenset[Node]:
        if truth.is_whole:
            everybody = {
                **{each: node_of(each) for each in self._numbers_of(self._listed)},
                **truth.there,
            }
            return frozenset(node for each, node in everybody.items() if each != number)
        known = [each for key, each in self._numbers.items() if truth.knows(number, key)]
        return frozenset(truth.there.get(each) or node_of(each) for each in known)

    def _numbers_of(self, keys: frozenset[str]) -> list[int]:
        return sorted(self._numbers[key] for key in keys if key in self._numbers)

    # -- agreement ---------------------------------------------------------------------------------

    def _note(self, number: int, disagreement: Disagreement, now_s: float) -> None:
        if disagreement.about:
            self._wrong.add(number)
        else:
            self._wrong.discard(number)
            self._agreed_s.setdefault(number, now_s)

    @property
    def agreed_s(self) -> float:
        """When the last view came to agree with the truth; infinity while some never have."""
        if len(self._agreed_s) < len(self._apart):
            return inf
        return max(self._agreed_s.values(), default=self._settled_s)

    @property
    def is_agreed(self) -> bool:
        """Whether all views agree with the truth now."""
        return not self._wrong

    def conclude(self, now_s: float, *, is_lossy: bool) -> None:
        """Note who doesn't agree with the truth at the end, or came to too late.

        Where packets get lost it is enough to have agreed once.
        """
        end_s = self._settled_s + self._bound_s
        for number, agreed_s in sorted(self._agreed_s.items()):
            if agreed_s > end_s:
                late_s = agreed_s - self._settled_s
                late = (
                    f"agrees only {late_s:.1f} s after the last disturbance, the bound is "
                    f"{self._bound_s:.1f} s"
                )
                self._findings.add(Law.AGREEMENT, agreed_s, label_of(number), late)
        for number in sorted(self._wrong):
            if not (is_lossy and number in self._agreed_s):
                self._findings.add(
                    Law.AGREEMENT, now_s, label_of(number), self._apart[number].describe()
                )
