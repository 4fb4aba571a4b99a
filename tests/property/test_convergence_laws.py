"""Memberships on a simulated network: soon after the last fault, all intended links are up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.abc import Gone, Seen
from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.events import Reason
from cluster_kit.membership.membership import Membership
from cluster_kit.membership.reconciler import LAST_RETRY_S, Connect, GiveUp
from cluster_kit.membership.reports import (
    Connected,
    ConnectFailed,
    Disconnected,
    LinkDown,
    LinkUp,
    Observed,
)
from cluster_kit.membership.settings import Settings
from cluster_kit.node import BootId, Node
from cluster_kit.topologies.full_mesh import FullMeshTopology
from cluster_kit.topologies.k_regular import KRegularTopology
from cluster_kit.topologies.ring import RingTopology
from cluster_kit.topologies.star import StarTopology

NODES = 4
STEP_S = 0.1
BEAT_STEPS = 10
TTL_S = 5.0
SILENT_S = 3.5
DIAL_S = 0.1
DIAL_TIMEOUT_S = 5.0
HEALED_S = DIAL_TIMEOUT_S + LAST_RETRY_S + BEAT_STEPS * STEP_S + 1.0

TOPOLOGIES = [
    FullMeshTopology(),
    RingTopology(),
    KRegularTopology(k=2),
    StarTopology(),
    StarTopology(hubs=("n2@there",)),
]

each_topology = pytest.mark.parametrize("topology", TOPOLOGIES, ids=str)

partitions = st.tuples(
    st.just("partition"), st.lists(st.integers(0, 1), min_size=NODES, max_size=NODES)
)
crashes = st.tuples(st.just("crash"), st.integers(0, NODES - 1))
leaves = st.tuples(st.just("leave"), st.integers(0, NODES - 1))
scripts = st.lists(
    st.tuples(partitions | crashes | leaves, st.sampled_from([0.1, 1.0, 4.0, 8.0, 20.0])),
    max_size=6,
)


class Network:
    """Gossip by heartbeats, and links that each end may want; between groups everything is lost."""

    def __init__(self, topology):
        self.topology = topology
        self.now_s = 0.0
        self.steps = 0
        self.group = [0] * NODES
        self.boots = [1] * NODES
        self.links = {}  # (lower, higher) -> the ends that want it
        self.silent_since_s = {}
        self.dials = []  # (when it ends, whether it can succeed, who, whose boot, command)
        self.reports = [[] for _ in range(NODES)]  # what each has heard since its last step
        self.events = [[] for _ in range(NODES)]
        self.members = [self.join(each) for each in range(NODES)]

    def node(self, each):
        return Node(f"n{each}@there", f"10.0.0.{each}:1", boot_id=BootId(self.boots[each], each))

    def join(self, each):
        options = {
            "name": "t",
            "prune": True,
            "max_nodes": 100,
            "remember_s": 600.0,
            "keeps_links": True,
        }
        return Membership(self.node(each), self.topology, Settings(**options))

    def meant(self):
        """Return the links that there must be when all nodes know each other."""
        nodes = {self.node(each): each for each in range(NODES)}
        picked = {
            node: self.topology.select(node, frozenset(nodes.keys() - {node})) for node in nodes
        }
        return {
            tuple(sorted((each, nodes[other])))
            for node, each in nodes.items()
            for other in picked[node]
        }

    # -- faults ------------------------------------------------------------------------------------

    def partition(self, groups):
        self.group = groups

    def crash(self, each):
        self.replace(each, Reason.CLOSED)

    def leave(self, each):
        gone = Gone(self.node(each).name, Reason.LEFT, self.node(each).boot_id)
        for other in range(NODES):
            if other != each and self.group[other] == self.group[each]:
                self.reports[other].append(Observed("gossip", gone))
        self.replace(each, Reason.LEFT)

    def replace(self, each, reason):
        for pair in [pair for pair in self.links if each in pair]:
            del self.links[pair]
            self.reports[sum(pair) - each].append(LinkDown(self.node(each), reason))
        self.boots[each] += 1
        self.reports[each] = []
        self.members[each] = self.join(each)

    # -- life --------------------------------------------------------------------------------------

    def run(self, seconds):
        for _ in range(round(seconds / STEP_S)):
            self.now_s += STEP_S
            self.steps += 1
            self.gossip()
            self.judge_silence()
            self.end_dials()
            for each, member in enumerate(self.members):
                reports, self.reports[each] = self.reports[each], []
                effects = member.step(reports, self.now_s)
                self.events[each] += effects.events
                for command in effects.commands:
                    self.carry_out(each, command)

    def gossip(self):
        for each in range(NODES):
            if self.steps % BEAT_STEPS == each:
                for other in range(NODES):
                    if other != each and self.group[other] == self.group[each]:
                        self.reports[other].append(Observed("gossip", Seen(self.node(each), TTL_S)))

    def judge_silence(self):
        for pair in list(self.links):
            if self.group[pair[0]] == self.group[pair[1]]:
                self.silent_since_s.pop(pair, None)
            elif self.now_s - self.silent_since_s.setdefault(pair, self.now_s) > SILENT_S:
                self.close(pair, Reason.SILENT)

    def carry_out(self, each, command):
        if isinstance(command, GiveUp):
            for index, (_, _, whose, boot, dial) in enumerate(self.dials):
                if (whose, dial.node.key) == (each, command.key):
                    self.dials[index] = (self.now_s, False, whose, boot, dial)
            return
        other = int(command.node.name[1])
        if isinstance(command, Connect):
            reachable = self.group[each] == self.group[other]
            ends_s = self.now_s + (DIAL_S if reachable else DIAL_TIMEOUT_S)
            self.dials.append((ends_s, reachable, each, self.boots[each], command))
            return
        pair = min(each, other), max(each, other)
        self.links.get(pair, set()).discard(each)
        self.reports[each].append(Disconnected(command.node))
        if pair in self.links and not self.links[pair]:
            self.close(pair, Reason.UNWANTED)

    def end_dials(self):
        ended = [dial for dial in self.dials if dial[0] <= self.now_s]
        self.dials = [dial for dial in self.dials if dial[0] > self.now_s]
        for _, reachable, each, boot, command in ended:
            if boot == self.boots[each]:
                self.end_dial(each, int(command.node.name[1]), command, reachable)

    def end_dial(self, each, other, command, reachable):
        if not reachable or self.group[each] != self.group[other]:
            error = ConnectError("tcp: no answer", reason=ConnectReason.TIMEOUT)
            self.reports[each].append(ConnectFailed(command.node, error, 0.5))
            return
        pair = min(each, other), max(each, other)
        if pair not in self.links:
            self.links[pair] = set()
            self.reports[each].append(LinkUp(self.node(other)))
            self.reports[other].append(LinkUp(self.node(each)))
        self.links[pair].add(each)
        self.reports[each].append(Connected(command.node, self.node(other)))

    def close(self, pair, reason):
        self.silent_since_s.pop(pair, None)
        del self.links[pair]
        one, other = pair
        self.reports[one].append(LinkDown(self.node(other), reason))
        self.reports[other].append(LinkDown(self.node(one), reason))


@each_topology
@settings(max_examples=100, deadline=None)
@given(script=scripts)
def test_all_are_linked_as_meant_after_the_last_fault(topology, script):
    network = Network(topology)
    network.run(3.0)
    for (fault, subject), seconds in script:
        getattr(network, fault)(subject)
        network.run(seconds)
    network.partition([0] * NODES)
    network.run(HEALED_S)
    meant = network.meant()
    assert network.links.keys() == meant
    for each, member in enumerate(network.members):
        assert member.known == tuple(network.node(other) for other in range(NODES) if other != each)
        assert member.up == tuple(
            network.node(other) for other in range(NODES) if tuple(sorted((each, other))) in meant
        )


@each_topology
@settings(max_examples=50, deadline=None)
@given(script=scripts)
def test_a_settled_cluster_stays_as_it_is(topology, script):
    network = Network(topology)
    for (fault, subject), seconds in script:
        getattr(network, fault)(subject)
        network.run(seconds)
    network.partition([0] * NODES)
    network.run(HEALED_S)
    network.events = [[] for _ in range(NODES)]
    network.run(60.0)
    assert not network.dials
    assert network.events == [[]] * NODES
