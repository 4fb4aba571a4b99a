"""A partition on a real bridge: reported once by each side, healed, and without false alarms."""

import pytest
from cli_process import Cluster, Hosted
from netns_lab import Lab

pytestmark = [pytest.mark.once, pytest.mark.netns]

LINKS = ("node_up", "node_down")


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path) as cluster:
        yield cluster


def until_linked(nodes, times):
    for node in nodes:
        for other in nodes:
            if other is not node:
                node.wait_for(
                    "node_up", times=times[other is nodes[0] or node is nodes[0]], node=other.name
                )


def test_node_cut_off_for_longer_than_any_judge_waits_is_reported_once_and_heals(cluster):
    file = cluster.write("hosts.yaml", {"lan": {"strategy": "gossip"}}, insecure=True)
    with Lab(4) as lab:
        nodes = [cluster.keep(Hosted(place, file)) for place in lab.nodes]
        cut, *others = nodes
        until_linked(nodes, times={True: 1, False: 1})
        lab.nodes[0].cut()
        for other in others:
            assert other.wait_for("node_down", node=cut.name)["reason"] == "silent"
            assert cut.wait_for("node_down", node=other.name)["reason"] == "silent"
            other.wait_for("node_lost", node=cut.name)
        lab.nodes[0].heal()
        until_linked(nodes, times={True: 2, False: 1})
        told = [("node_up", cut.name), ("node_down", cut.name), ("node_up", cut.name)]
        for other in others:
            assert [event for event in other.heard(*LINKS) if event[1] == cut.name] == told
            assert not [event for event in other.heard("node_down") if event[1] != cut.name]
