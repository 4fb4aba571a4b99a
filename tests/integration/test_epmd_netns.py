"""Network namespaces on a bridge, each a host with its own EPMD and ``cluster-kit run``."""

import os

import pytest
from cli_process import Cluster, Hosted
from netns_lab import Lab

pytestmark = [pytest.mark.once, pytest.mark.netns]

ADDRESSES = [f"10.203.0.{number}" for number in (1, 2, 3)]
STRATEGIES = {
    "epmd": {"strategy": "epmd", "config": {"hosts": [f"web@{address}" for address in ADDRESSES]}},
    "erlang_hosts": {"strategy": "erlang_hosts", "config": {"path": "hosts"}},
}


@pytest.fixture
def lab(require):
    require("epmd")
    with Lab(3) as lab:
        yield lab


@pytest.fixture
def cluster(tmp_path):
    (tmp_path / "hosts").write_text("".join(f"'{address}'.\n" for address in ADDRESSES))
    with Cluster(tmp_path) as cluster:
        yield cluster


def start(lab, cluster, strategy, environment=None):
    for place in lab.nodes:
        place.run(["epmd"], env=os.environ | {"ERL_EPMD_PORT": "4369"} | (environment or {}))
    file = cluster.write("epmd.yaml", {"lan": STRATEGIES[strategy]}, insecure=True)
    return [cluster.keep(Hosted(place, file)) for place in lab.nodes]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_hosts_with_an_epmd_each_form_a_cluster(lab, cluster, strategy):
    nodes = start(lab, cluster, strategy)
    for node in nodes:
        for other in nodes:
            if other is not node:
                node.wait_for("node_up", node=other.name)


def test_unreachable_host_is_kept_by_the_others(lab, cluster):
    cut, *others = start(lab, cluster, "epmd")
    for other in others:
        other.wait_for("node_up", node=cut.name)
    lab.nodes[0].cut()
    for other in others:
        assert other.wait_for("node_down", node=cut.name)["reason"] == "silent"
        other.until(
            lambda other=other: any("EPMD at 10.203.0.1:4369: no" in line for line in other.errors),
            "the cause",
        )
    lab.nodes[0].heal()
    for other in others:
        other.wait_for("node_up", times=2, node=cut.name)
        assert other.heard("node_lost") == []


def test_epmd_that_serves_loopback_only_is_named(lab, cluster):
    for node in start(lab, cluster, "epmd", {"ERL_EPMD_ADDRESS": "127.0.0.1"}):
        node.until(
            lambda node=node: any("(ERL_EPMD_ADDRESS)" in line for line in node.errors), "the cause"
        )
