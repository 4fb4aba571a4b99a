"""One known address leads to the whole cluster: linked peers exchange the names of their peers."""

import asyncio
import signal

import pytest
from tcp_stage import DEADLINE_S, Local

from cluster_kit import Node
from cluster_kit.topologies.full_mesh import FullMeshTopology
from cluster_kit.topologies.ring import RingTopology

pytestmark = pytest.mark.once

NAMES = [f"n{number}" for number in range(1, 8)]


def full(name):
    return f"{name}@127.0.0.1"


@pytest.fixture
def start(cluster):
    def start(name, *seeds, port=0, topology="full_mesh", **options):
        lan = {
            "strategy": {"name": "static", "nodes": list(seeds)},
            "connector": {"name": "tcp", "port": port, **options},
            "topology": topology,
        }
        node = cluster.run(name, file=cluster.write(f"{name}.yaml", {"lan": lan}))
        node.address = node.wait_for("ready")["address"]
        return node

    return start


def linked(node):
    """Return who is linked, by what the node has printed."""
    peers = set()
    for kind, name in node.heard("node_up", "node_down"):
        (peers.add if kind == "node_up" else peers.discard)(name)
    return peers


def settle(nodes, topology):
    """Wait until each node has exactly the links that ``topology`` picks."""
    everybody = {Node(name=full(name)) for name in nodes}
    for name, node in nodes.items():
        us = Node(name=full(name))
        peers = {peer.name for peer in topology.select(us, frozenset(everybody - {us}))}
        node.until(
            lambda node=node, peers=peers: linked(node) == peers,
            f"{name} linked to {sorted(peers)} only",
        )


def stop_all(nodes):
    for node in nodes:
        node.signal(signal.SIGTERM)
    assert [node.wait() for node in nodes] == [0] * len(nodes)
    assert [node.errors for node in nodes] == [[]] * len(nodes)


@pytest.mark.parametrize(
    ("topology", "meant", "killed"),
    # the list of seeds keeps a dead one known
    [("full_mesh", FullMeshTopology(), "n1"), ("ring", RingTopology(), "n4")],
)
def test_seed_leads_to_all_nodes_and_is_not_needed_afterwards(start, topology, meant, killed):
    nodes = {"n1": start("n1", topology=topology)}
    seed = nodes["n1"].address
    nodes |= {name: start(name, seed, topology=topology) for name in NAMES[1:]}
    settle(nodes, meant)

    nodes.pop(killed).signal_all(signal.SIGKILL)
    settle(nodes, meant)
    nodes["n9"] = start("n9", nodes["n3"].address, topology=topology)
    settle(nodes, meant)
    stop_all(nodes.values())


def test_restarted_seed_that_knows_no_node_is_linked_to_all_again(start):
    seed = start("n1")
    others = {name: start(name, seed.address) for name in NAMES[1:4]}
    settle({"n1": seed} | others, FullMeshTopology())

    seed.signal_all(signal.SIGKILL)
    settle(others, FullMeshTopology())
    again = start("n1", port=int(seed.address.rpartition(":")[2]))
    settle({"n1": again} | others, FullMeshTopology())
    stop_all([again, *others.values()])


def test_node_that_leaves_is_lost_at_once_although_others_advertised_it(start):
    seed = start("n1")
    others = {name: start(name, seed.address) for name in NAMES[1:4]}
    settle({"n1": seed} | others, FullMeshTopology())

    leaving = others.pop("n3")
    leaving.signal(signal.SIGTERM)
    assert leaving.wait() == 0
    for node in others.values():
        lost = node.wait_for("node_lost", node=full("n3"))
        assert lost["reason"] == "left"
    stop_all([seed, *others.values()])
    for node in others.values():
        assert node.heard("node_found").count(("node_found", full("n3"))) == 1


def test_without_exchange_each_node_knows_its_own_list_only(start):
    seed = start("n1", exchange=False)
    others = [start(name, seed.address, exchange=False) for name in NAMES[1:4]]
    seed.until(lambda: len(linked(seed)) == len(others), "linked to all")
    stop_all([seed, *others])
    assert [linked(node) | {full("n1")} for node in others] == [{full("n1")}] * len(others)
    found = {name for node in others for _, name in node.heard("node_found")}
    assert found <= {seed.address, full("n1")}


def test_a_peer_that_does_not_exchange_is_linked_to_all_the_same(start):
    seed = start("n1")
    quiet = start("n2", seed.address, exchange=False)
    other = start("n3", seed.address)
    settle({"n1": seed, "n2": quiet, "n3": other}, FullMeshTopology())
    assert full("n3") not in {name for _, name in quiet.heard("node_found")}
    stop_all([seed, quiet, other])


def test_hints_come_over_the_first_link():
    async def scenario():
        async with (
            asyncio.timeout(DEADLINE_S),
            Local("ann", exchange=True) as ann,
            Local("bob", exchange=True) as bob,
        ):
            await bob.link(ann)
            async with Local("cat", exchange=True) as cat:
                await cat.link(ann)
                about_bob = await cat.links.expect("hint", bob.name)
                about_cat = await bob.links.expect("hint", cat.name)
                assert about_bob.node.address == bob.node.address
                assert about_bob.node.boot_id == bob.node.boot_id
                assert about_cat.node.address == cat.node.address

    asyncio.run(scenario())
