"""The laws of the topologies that come with cluster_kit, on rosters of any shape."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.node import BootId, Node
from cluster_kit.topologies.full_mesh import FullMeshTopology
from cluster_kit.topologies.k_regular import KRegularTopology
from cluster_kit.topologies.ring import RingTopology
from cluster_kit.topologies.star import StarTopology

TOPOLOGIES = [
    FullMeshTopology(),
    RingTopology(),
    StarTopology(),
    StarTopology(hubs=("n3@there", "n7@there"), metadata={"role": "a"}),
    KRegularTopology(k=2),
    KRegularTopology(k=4),
    KRegularTopology(k=8),
]

each_topology = pytest.mark.parametrize("topology", TOPOLOGIES, ids=str)

names = st.integers(0, 50).map(lambda number: f"n{number}@there")
nodes = st.builds(
    Node,
    names,
    st.none() | st.just("10.0.0.1:1"),
    st.dictionaries(st.sampled_from(["zone", "role"]), st.sampled_from(["a", "b"])),
    st.none() | st.builds(BootId, st.integers(0, 9), st.integers(0, 9)),
)
clusters = st.frozensets(nodes, min_size=1, max_size=20).map(
    lambda many: list({node.key: node for node in many}.values())
)


class InOrder(frozenset):
    """A roster that is gone through in the order in which it was given."""

    def __new__(cls, nodes):
        roster = super().__new__(cls, nodes)
        roster.order = list(nodes)
        return roster

    def __iter__(self):
        return iter(self.order)


def links(topology, cluster):
    """Return what each node selects when all know each other."""
    return {
        local: topology.select(local, InOrder([node for node in cluster if node != local]))
        for local in cluster
    }


@each_topology
@settings(deadline=None)
@given(cluster=clusters)
def test_selects_from_the_roster_and_never_itself(topology, cluster):
    for node, picked in links(topology, cluster).items():
        assert picked <= frozenset(cluster) - {node}


@each_topology
@settings(deadline=None)
@given(cluster=clusters, random=st.randoms())
def test_order_of_the_roster_changes_no_answer(topology, cluster, random):
    shuffled = random.sample(cluster, len(cluster))
    assert links(topology, cluster) == links(topology, shuffled)


@each_topology
@settings(deadline=None)
@given(cluster=clusters)
def test_links_are_symmetric_on_equal_rosters(topology, cluster):
    picked = links(topology, cluster)
    assert all(node in picked[other] for node in cluster for other in picked[node])


@each_topology
@settings(deadline=None)
@given(cluster=clusters)
def test_links_connect_the_cluster(topology, cluster):
    picked = links(topology, cluster)
    reached, frontier = set(), {cluster[0]}
    while frontier:
        reached |= frontier
        frontier = set().union(*(picked[node] for node in frontier)) - reached
    assert reached == set(cluster)


@each_topology
@settings(deadline=None)
@given(cluster=clusters)
def test_no_node_has_more_links_than_promised(topology, cluster):
    most = topology.most_links()
    assert most is None or all(len(picked) <= most for picked in links(topology, cluster).values())


@each_topology
@settings(deadline=None)
@given(cluster=clusters, ports=st.sets(st.integers(1, 99), min_size=1, max_size=20))
def test_all_nodes_without_a_name_are_selected_and_change_nothing_for_the_others(
    topology, cluster, ports
):
    bare = frozenset(Node(address=f"10.0.0.2:{port}") for port in ports)
    for node, picked in links(topology, cluster).items():
        assert topology.select(node, frozenset(cluster) - {node} | bare) == picked | bare
