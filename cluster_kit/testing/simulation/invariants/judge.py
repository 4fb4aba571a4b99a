"""Judges every view: against the truth at the end, and for false alarms on the way.

``settle`` works out the truth after each change once the script is over, and compares all views
with it. From then on ``view_changed`` keeps the comparison up to date, key by key: comparing whole
views again would take longer than the simulation itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import inf

from cluster_kit.abc import Topology
from cluster_kit.events import Reason
from cluster_kit.node import Node
from cluster_kit.testing.simulation.connectivity import Connectivity
from cluster_kit.testing.simulation.identity import label_of, node_of
from cluster_kit.testing.simulation.invariants.findings import Findings, Law
from cluster_kit.testing.simulation.invariants.truth import (
    Disagreement,
    Truth,
    expected_links,
    faults_of_topology,
    picks_of,
)
from cluster_kit.testing.simulation.node import SimulatedNode
from cluster_kit.testing.simulation.outcome import FalseAlarm

_HARMLESS = frozenset({Reason.UNWANTED, Reason.SHUTDOWN})  # they don't mean that a node is gone


class Judge:
    """Compares views with the truth.

    Args:
        nodes: All nodes that ever appear, by number.
        connectivity: What keeps them apart, and when.
        topology: Selects the nodes to link to.
        listed: The keys of the nodes that the configuration lists.
        aftermath_s: For how long a disturbance may have effects after its end.
        bound_s: Within how many seconds all views must agree.
        goodbyes: The events that must report it when a node has left: ``lost``, ``down``, both, or
            none if packets get lost.
        findings: Where breaches are added.

    Attributes:
        false_alarms: Nodes reported as down or lost although they were there.
    """

    def __init__(
        self,
        nodes: Mapping[int, SimulatedNode],
        connectivity: Connectivity,
        *,
        topology: Topology,
        listed: frozenset[str],
        aftermath_s: float,
        bound_s: float,
        goodbyes: Collection[str],
        findings: Findings,
    ) -> None:
        self.false_alarms: list[FalseAlarm] = []
        self._nodes = nodes
        self._connectivity = connectivity
        self._topology = topology
        self._listed = listed
        self._aftermath_s = aftermath_s
        self.bound_s = bound_s
        self._goodbyes = goodbyes
        self._findings = findings
        self._numbers = {node_of(number).key: number for number in nodes}
        self._disagreements: dict[int, Disagreement] = {}  # of all nodes that run, perhaps empty
        self._agreed_s: dict[int, float] = {}  # when each node first agreed
        self._settled_s = 0.0
        self._wrong: set[int] = set()  # the nodes that disagree now

    def view_changed(
        self, number: int, what: str, key: str, reason: Reason | None, now_s: float
    ) -> None:
        """Judge a change of a node's view."""
        other = self._numbers.get(key)
        if other is not None and reason is not None and reason not in _HARMLESS:
            self._judge_alarm(number, other, what, reason, now_s)
            self._judge_goodbye(number, other, what, reason, now_s)
        disagreement = self._disagreements.get(number)
        if disagreement is not None:
            disagreement.update(key)
            self._compare(number, disagreement, now_s)

    def _judge_alarm(
        self, number: int, other: int, what: str, reason: Reason, now_s: float
    ) -> None:
        # A node that was absent itself received nothing, and must know that: its own absence
        # excuses any other reason than silence.
        is_of_both = reason is not Reason.SILENT
        undisturbed_since_s = self._connectivity.undisturbed_since_s(
            number, other, self._aftermath_s, is_of_both=is_of_both
        )
        if undisturbed_since_s <= now_s:
            key = node_of(other).key
            self.false_alarms.append(FalseAlarm(now_s, label_of(number), key, what, reason))

    def _judge_goodbye(
        self, number: int, other: int, what: str, reason: Reason, now_s: float
    ) -> None:
        left_at_s = self._nodes[other].left_at_s
        if left_at_s is None or reason is Reason.LEFT or what not in self._goodbyes:
            return
        if self._connectivity.was_quiet(number, other, left_at_s, self._aftermath_s):
            ago = f"{now_s - left_at_s:.3f} s before"
            text = f"{what} {node_of(other).key}: {reason}, though it said goodbye {ago}"
            self._findings.add(Law.GOODBYES, now_s, label_of(number), text)

    # -- the truth ---------------------------------------------------------------------------------

    def settle(self, now_s: float) -> None:
        """Work out what all nodes should see from now on, and compare their views with that."""
        there = {number: each.node for number, each in self._nodes.items() if each.is_running}
        truth = self._truth(there, now_s)
        self._settled_s = now_s
        self._disagreements.clear()
        self._agreed_s.clear()
        self._wrong.clear()
        for number in there:
            process = self._nodes[number].process
            assert process is not None
            disagreement = Disagreement(number, truth, process.view.known, process.view.up)
            self._disagreements[number] = disagreement
            self._compare(number, disagreement, now_s)

    def _truth(self, there: Mapping[int, Node], now_s: float) -> Truth:
        connectivity = self._connectivity
        truth = Truth(
            there=there,
            numbers=self._numbers,
            listed=self._listed,
            is_open=connectivity.is_open,
            is_fair=connectivity.is_fair,
            is_whole=connectivity.is_whole,
            links={},
        )
        rosters = {number: self._roster(truth, number) for number in there}
        raised: list[str] = []
        picks = picks_of(there, self._topology, rosters, raised.append)
        for fault in raised:
            self._findings.add(Law.TOPOLOGY, now_s, "topology", fault)
        # both ends have the same roster only if all is connected and every listed node runs
        if not raised and truth.is_whole and self._listed <= {node.key for node in there.values()}:
            for fault in faults_of_topology(there, picks):
                self._findings.add(Law.TOPOLOGY, 0.0, "topology", fault)
        return truth.with_links(expected_links(there, picks, connectivity.is_open))

    def _roster(self, truth: Truth, number: int) -> frozenset[Node]:
        if truth.is_whole:
            listed = sorted(self._numbers[key] for key in self._listed if key in self._numbers)
            everyone = {**{each: node_of(each) for each in listed}, **truth.there}
            return frozenset(node for each, node in everyone.items() if each != number)
        known = [each for key, each in self._numbers.items() if truth.knows(number, key)]
        return frozenset(truth.there.get(each) or node_of(each) for each in known)

    # -- agreement ---------------------------------------------------------------------------------

    def _compare(self, number: int, disagreement: Disagreement, now_s: float) -> None:
        if disagreement.about:
            self._wrong.add(number)
        else:
            self._wrong.discard(number)
            self._agreed_s.setdefault(number, now_s)

    @property
    def agreed_s(self) -> float:
        """When the last view first agreed with the truth; infinity while some never have."""
        if len(self._agreed_s) < len(self._disagreements):
            return inf
        return max(self._agreed_s.values(), default=self._settled_s)

    @property
    def is_agreed(self) -> bool:
        """Whether all views agree with the truth now."""
        return not self._wrong

    def conclude(self, now_s: float, *, is_lossy: bool) -> None:
        """Report the nodes that disagree at the end, or that agreed too late.

        Where packets get lost it is enough to have agreed once.
        """
        end_s = self._settled_s + self.bound_s
        for number, agreed_s in sorted(self._agreed_s.items()):
            if agreed_s > end_s:
                late = f"agrees only {agreed_s - self._settled_s:.1f} s after the last disturbance"
                what = f"{late}, the bound is {self.bound_s:.1f} s"
                self._findings.add(Law.AGREEMENT, agreed_s, label_of(number), what)
        for number in sorted(self._wrong):
            if not (is_lossy and number in self._agreed_s):
                what = self._disagreements[number].describe()
                self._findings.add(Law.AGREEMENT, now_s, label_of(number), what)
