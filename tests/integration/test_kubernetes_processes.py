"""Processes on loopback addresses of their own, as pods are, find each other by the API server."""

import socket

import pytest
from cli_process import Cluster
from kubernetes_api import SLICES, KubernetesApi, in_thread
from kubernetes_objects import endpoint, endpoint_slice

pytestmark = pytest.mark.once

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


@pytest.fixture
def port():
    """Return a port that is free on every host."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return probe.getsockname()[1]


@pytest.fixture
def api(monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    api = KubernetesApi()
    with in_thread(api) as run:
        api.run = run
        yield api


@pytest.fixture
def cluster(tmp_path, api, port):
    """Return a function that starts the node of a pod."""
    with Cluster(tmp_path) as cluster:

        def start(host, **config):
            options = {
                "service_name": "web",
                "kubeconfig": str(api.kubeconfig(tmp_path / "kubeconfig")),
                "port": "cluster",
            }
            topology = {
                "strategy": "kubernetes",
                "config": options | config,
                "connector": {"name": "tcp", "port": port},
            }
            return cluster.run(
                f"web@{host}", file=cluster.write(f"{host}.json", {"pods": topology})
            )

        yield start


def pods(port, *endpoints):
    return endpoint_slice("s", *endpoints, ports=[("http", 80), ("cluster", port)])


def knows(node, name):
    """Whether discovery vouches for a node."""
    told = node.heard("node_found", "node_lost")
    return ("node_found", name) in told and told[-1] != ("node_lost", name)


@pytest.mark.parametrize("config", [{}, {"node_basename": "web"}], ids=["names told", "names made"])
def test_pods_find_each_other(api, cluster, port, config):
    api.run(api.put(SLICES, pods(port, *HOSTS)))
    nodes = [cluster(host, **config) for host in HOSTS]
    for node, host in zip(nodes, HOSTS, strict=True):
        for other in HOSTS:
            if other != host:
                node.wait_for("node_up", node=f"web@{other}")
    assert not [line for node in nodes for line in node.errors]


@pytest.mark.parametrize("config", [{}, {"node_basename": "web"}], ids=["names told", "names made"])
def test_a_terminating_pod_is_leaving_until_it_is_gone(api, cluster, port, config):
    one, two, _ = HOSTS
    api.run(api.put(SLICES, pods(port, one, two)))
    node, other = cluster(one, **config), cluster(two, **config)
    node.wait_for("node_up", node=f"web@{two}")
    other.wait_for("node_up", node=f"web@{one}")
    # a link that the peer has dialled may be up before
    for each, peer in ((node, two), (other, one)):
        each.until(lambda each=each, peer=peer: knows(each, f"web@{peer}"), f"to find {peer}")
    api.run(api.put(SLICES, pods(port, one, endpoint(two, terminating=True))))
    node.wait_for("node_leaving", node=f"web@{two}")
    assert not node.heard("node_down")
    api.run(api.put(SLICES, pods(port, one)))
    assert node.wait_for("node_lost", node=f"web@{two}")["reason"] == "gone"


def test_links_outlive_the_api_server(api, cluster, port):
    one, two, three = HOSTS
    api.run(api.put(SLICES, pods(port, one, two)))
    node, other = cluster(one, node_basename="web"), cluster(two, node_basename="web")
    node.wait_for("node_up", node=f"web@{two}")
    other.wait_for("node_up", node=f"web@{one}")
    api.run(api.stop())
    node.until(lambda: any("connection refused" in line for line in node.errors), "the outage")
    api.run(api.put(SLICES, pods(port, one, two, three)))
    api.run(api.compact())
    api.run(api.start())
    third = cluster(three)
    node.wait_for("node_up", node=f"web@{three}")
    third.wait_for("node_up", node=f"web@{two}")
    assert not node.heard("node_down", "node_lost")
    assert not other.heard("node_down", "node_lost")


def test_a_forbidden_list_is_reported_with_its_cure_and_heals(api, cluster, port):
    one, two, _ = HOSTS
    api.denied = {("list", SLICES), ("watch", SLICES)}
    api.run(api.put(SLICES, pods(port, one, two)))
    node, _ = cluster(one), cluster(two)
    node.until(
        lambda: any("kubectl create role cluster-kit -n default" in line for line in node.errors),
        "the cure",
    )
    api.denied = set()
    node.wait_for("node_up", node=f"web@{two}")
