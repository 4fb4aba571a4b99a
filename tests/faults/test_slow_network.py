"""Packets take 60 to 140 ms and overtake each other: no false event is reported."""

import signal

import pytest
from cli_process import Cluster, Hosted
from slow_lan import TUN, slow_lan

pytestmark = [
    pytest.mark.once,
    pytest.mark.netns,
    pytest.mark.skipif(not TUN.exists(), reason=f"there is no {TUN}"),
]

LINKS = ("node_leaving", "node_up", "node_down")


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path) as cluster:
        yield cluster


def test_rolling_restart_on_a_slow_network_touches_no_other_link(cluster):
    file = cluster.write("hosts.yaml", {"lan": {"strategy": "gossip"}}, insecure=True)
    with slow_lan(5, 0.1, 0.04) as lab:
        nodes = [cluster.keep(Hosted(place, file)) for place in lab.nodes]
        for node in nodes:
            for other in nodes:
                if other is not node:
                    node.wait_for("node_up", node=other.name)
        for number, place in enumerate(lab.nodes):
            before, others = nodes[number], [node for node in nodes if node is not nodes[number]]
            heard = {other.name: len(other.heard(*LINKS)) for other in others}
            before.signal(signal.SIGTERM)
            assert before.wait() == 0
            after = nodes[number] = cluster.keep(Hosted(place, file))
            for other in others:
                after.wait_for("node_up", node=other.name)
                other.wait_for("node_up", times=2, node=after.name)
            for other in others:
                changes = other.heard(*LINKS)[heard[other.name] :]
                changes = [change for change in changes if change[0] != "node_leaving"]
                assert changes == [("node_down", after.name), ("node_up", after.name)]
                assert other.errors == []
        downs = [
            event["reason"]
            for node in nodes
            for event in node.events
            if event["event"] == "node_down"
        ]
        assert set(downs) <= {"left", "closed"}  # a reset may overtake a goodbye; never "silent"
