"""Discovery with the connector that holds no links: known is up, and every new run is an event."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.abc import Found, Gone, Seen
from cluster_kit.connectors.none import NoneConnector
from cluster_kit.events import NodeDown, NodeUp, NodeUpdated, Reason
from cluster_kit.membership.membership import Membership
from cluster_kit.membership.reconciler import Connect
from cluster_kit.membership.reports import (
    Connected,
    Disconnected,
    LinkDown,
    LinkUp,
    LinkUpdated,
    Observed,
)
from cluster_kit.membership.settings import Settings
from cluster_kit.node import BootId, Node, is_other_run
from cluster_kit.topologies.full_mesh import FullMeshTopology

LOCAL = Node("me@here", boot_id=BootId(1, 1))
QUIET_S = 10.0

names = st.sampled_from(["b@there", "c@there"])
addresses = st.sampled_from(["10.0.0.2:1", "10.0.0.3:1"])
boots = st.none() | st.builds(BootId, st.integers(0, 2), st.just(0))
metadata = st.dictionaries(st.just("zone"), st.sampled_from("ab"))
nodes = st.builds(Node, names, st.none() | addresses, metadata, boots) | st.builds(
    Node, st.none(), addresses
)
observations = (
    st.lists(nodes, unique_by=lambda node: node.key).map(Found)
    | st.builds(Seen, nodes, st.just(1000.0))
    | st.builds(Gone, names)
)
histories = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.1, 2.0]),
        st.sampled_from(["one", "two"]),
        observations,
        st.booleans(),
    ),
    max_size=25,
)


class Reports:
    """Takes the connector's reports to the membership, and keeps what is up and the events."""

    def __init__(self):
        options = {"name": "t", "prune": True, "max_nodes": 100, "remember_s": 60.0}
        connector = NoneConnector
        holding = {"keeps_links": connector.holds_links, "introduces": connector.introduces}
        self.membership = Membership(LOCAL, FullMeshTopology(), Settings(**options, **holding))
        self.connector = connector()
        self.now_s = 0.0
        self.reports = []
        self.events = []
        self.wake_at_s = None
        at_once(self.connector.start(LOCAL, self))

    def up(self, node):
        self.reports.append(LinkUp(node))

    def down(self, node, reason):
        self.reports.append(LinkDown(node, reason))

    def updated(self, node):
        self.reports.append(LinkUpdated(node))

    def settle(self):
        """Carry out what is to be done now."""
        while True:
            reports, self.reports = self.reports, []
            effects = self.membership.step(reports, self.now_s)
            self.events += effects.events
            self.wake_at_s = effects.wake_at_s
            if not effects.commands:
                return
            for command in effects.commands:
                if isinstance(command, Connect):
                    peer = at_once(self.connector.connect(command.node))
                    self.reports.append(Connected(command.node, peer))
                else:
                    at_once(self.connector.disconnect(command.node))
                    self.reports.append(Disconnected(command.node))

    def rest(self):
        """Let time pass until there is nothing left to do."""
        until_s = self.now_s + QUIET_S
        while self.wake_at_s is not None and self.wake_at_s <= until_s:
            self.now_s = max(self.now_s, self.wake_at_s)
            self.settle()


def at_once(coroutine):
    """Return what a coroutine that never waits returns."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


def played(history):
    world = Reports()
    for seconds, source, observation, settles in history:
        world.now_s += seconds
        world.reports.append(Observed(source, observation))
        if settles:
            world.settle()
    world.settle()
    world.rest()
    return world


@settings(deadline=None)
@given(histories)
def test_known_nodes_are_up(history):
    membership = played(history).membership
    assert membership.up == membership.known


@settings(deadline=None)
@given(histories)
def test_a_node_is_down_and_up_between_two_runs(history):
    up = {}
    for event in played(history).events:
        match event:
            case NodeUp(node=node):
                assert node.key not in up
                up[node.key] = node
            case NodeDown(node=node, reason=reason):
                assert up.pop(node.key) == node
                assert reason in (Reason.GONE, Reason.REPLACED)
            case NodeUpdated(node=node) if node.key in up:
                assert not is_other_run(up[node.key], node)
                up[node.key] = node
