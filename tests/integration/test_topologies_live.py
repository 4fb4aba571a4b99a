"""Real nodes link to those that their topology picks, and relink when one leaves, dies or joins."""

import re
import signal
import socket
import time

import pytest

from cluster_kit import ConfigError, Node, Supervisor, WaitTimeoutError
from cluster_kit.topologies.k_regular import KRegularTopology
from cluster_kit.topologies.ring import RingTopology
from cluster_kit.topologies.star import StarTopology

pytestmark = pytest.mark.once

NAMES = [f"n{number}" for number in range(1, 9)]
DEADLINE_S = 30.0


def full(name):
    return f"{name}@127.0.0.1"


def meant(topology, names):
    """Return the links that each node is to have when all know each other."""
    everybody = frozenset(Node(name=full(name)) for name in names)
    return {
        node.name: {peer.name for peer in topology.select(node, everybody - {node})}
        for node in everybody
    }


def up(node):
    """Return who is linked, by what the node has printed."""
    linked = set()
    for kind, name in node.heard("node_up", "node_down"):
        (linked.add if kind == "node_up" else linked.discard)(name)
    return linked


def settle(nodes, topology):
    """Wait until each node is linked as meant."""
    for name, peers in meant(topology, nodes).items():
        node = nodes[name.partition("@")[0]]
        node.until(
            lambda node=node, peers=peers: up(node) == peers,
            f"{name} linked to {sorted(peers)} only",
        )


def stop_all(nodes):
    for node in nodes.values():
        node.signal(signal.SIGTERM)
    assert [node.wait() for node in nodes.values()] == [0] * len(nodes)
    assert [node.errors for node in nodes.values()] == [[]] * len(nodes)


@pytest.mark.parametrize(
    ("configured", "topology", "leaves"),
    [
        ({"name": "k_regular", "k": 4}, KRegularTopology(k=4), "n5"),
        ("ring", RingTopology(), "n5"),
        ({"name": "star", "hubs": [full("n3")]}, StarTopology(hubs=(full("n3"),)), "n3"),
    ],
    ids=["k_regular", "ring", "star"],
)
def test_eight_nodes_link_as_meant_and_anew_when_one_leaves_dies_or_joins(
    cluster, configured, topology, leaves
):
    cluster.file = cluster.write(
        "other.yaml", {"lan": {"strategy": "gossip", "topology": configured}}
    )
    nodes = {name: cluster.run(name) for name in NAMES}
    settle(nodes, topology)

    leaving = nodes.pop(leaves)
    leaving.signal(signal.SIGTERM)
    assert leaving.wait() == 0
    settle(nodes, topology)

    killed = nodes.pop("n7")
    killed.signal_all(signal.SIGKILL)
    settle(nodes, topology)

    nodes["n9"] = cluster.run("n9")
    settle(nodes, topology)
    stop_all(nodes)


def test_nodes_listed_by_address_only_learn_all_names_and_keep_the_links_that_are_meant(cluster):
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in NAMES]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    source = {
        "strategy": "static",
        "config": {"nodes": [f"127.0.0.1:{port}" for port in ports]},
        "topology": "ring",
    }
    nodes = {}
    for name, port in zip(NAMES, ports, strict=True):
        file = cluster.write(
            f"{name}.yaml", {"lan": source | {"connector": {"name": "tcp", "port": port}}}
        )
        nodes[name] = cluster.run(name, file=file)
    settle(nodes, RingTopology())
    stop_all(nodes)


@pytest.fixture
def start(cluster):
    running = []

    def start(name, topology, **options):
        topologies = {"lan": {"strategy": "gossip", "topology": topology, **options}}
        config = {"node": full(name), "cluster": cluster.name, "topologies": topologies}
        running.append(Supervisor(config).start())
        return running[-1]

    yield start
    for supervisor in reversed(running):
        supervisor.stop()


def names(nodes):
    return [node.name for node in nodes]


def test_wait_for_in_a_ring_counts_neighbours_or_everybody(start):
    ring = [start(name, "ring") for name in "abcde"]
    for node in ring:
        node.wait_for(5, state="known", timeout_s=DEADLINE_S)
        node.wait_for(3, timeout_s=DEADLINE_S)
    assert names(ring[0].nodes(state="known")) == [full(name) for name in "bcde"]
    with pytest.raises(
        ConfigError, match=r"4 nodes can never be up: .* allows 3, this one .*state='known'"
    ):
        ring[0].wait_for(4)
    with pytest.raises(
        ConfigError, match=r"20000 nodes can never be up: .* allows 3, this one included$"
    ):
        ring[0].wait_for(20_000)


def test_wait_for_in_k_regular_is_bounded_by_k(start):
    nodes = [start(name, {"name": "k_regular", "k": 2}) for name in "abcd"]
    for node in nodes:
        node.wait_for(3, timeout_s=DEADLINE_S)
    with pytest.raises(ConfigError, match="4 nodes can never be up"):
        nodes[0].wait_for(4)


def wait_timeout_text(node, n):
    """Wait for unintended links, until none is left from before all knew each other."""
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        try:
            node.wait_for(n, timeout_s=0.3)
        except WaitTimeoutError as error:
            return str(error)
    return "nothing"


@pytest.mark.parametrize("connector", ["tcp", "none"])
def test_wait_for_in_a_star_counts_spokes_at_the_hub_and_hubs_at_a_spoke(start, connector):
    star = {"name": "star", "hubs": [full("b")]}
    spoke, hub, other = (start(name, star, connector=connector) for name in "abc")
    hub.wait_for(3, timeout_s=DEADLINE_S)
    for node in (spoke, other):
        node.wait_for(3, state="known", timeout_s=DEADLINE_S)
        node.wait_for(2, timeout_s=DEADLINE_S)
    shown = r"2 of 3 nodes are up after .*; 3 are known, linked or not: state='known'"
    assert re.search(shown, wait_timeout_text(spoke, 3))
