"""``cluster-kit run`` processes form a cluster by Debian's EPMD and keep it whatever EPMD does."""

import signal

import pytest
from cli_process import Cluster, cluster_kit
from epmd_server import EpmdServer, Erl

pytestmark = pytest.mark.once

NAMES = ("a", "b", "c")
STRATEGIES = {
    "epmd": {"strategy": "epmd", "config": {"hosts": [f"{name}@127.0.0.1" for name in NAMES]}},
    "local_epmd": {"strategy": "local_epmd"},
}


@pytest.fixture
def server(require, monkeypatch):
    require("epmd")
    with EpmdServer() as server:
        monkeypatch.setenv("ERL_EPMD_PORT", str(server.port))
        yield server


@pytest.fixture
def cluster(server, tmp_path):
    with Cluster(tmp_path) as cluster:
        yield cluster


def start(cluster, strategy, names=NAMES, **config):
    """Start a node for each name, and wait until each is linked with all others."""
    topology = {**STRATEGIES[strategy], "config": STRATEGIES[strategy].get("config", {}) | config}
    file = cluster.write("epmd.yaml", {"lan": topology})
    runs = {name: cluster.run(name, file=file) for name in names}
    for name, run in runs.items():
        for other in set(names) - {name}:
            run.wait_for("node_up", node=f"{other}@127.0.0.1")
    return runs


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_cluster_forms_and_learns_of_every_departure(cluster, server, strategy):
    runs = start(cluster, strategy)
    assert server.names().keys() == set(NAMES)
    runs["b"].signal_all(signal.SIGKILL)
    for name in ("a", "c"):
        assert runs[name].wait_for("node_down", node="b@127.0.0.1")["reason"] == "closed"
    server.until(lambda names: names.keys() == {"a", "c"}, "a and c alone")
    runs["c"].signal(signal.SIGTERM)
    assert runs["a"].wait_for("node_down", node="c@127.0.0.1")["reason"] == "left"
    assert runs["c"].wait() == 0
    server.until(lambda names: names.keys() == {"a"}, "a alone")
    again = cluster.run("b", file=cluster.folder / "epmd.yaml")
    again.wait_for("node_up", node="a@127.0.0.1")
    runs["a"].wait_for("node_up", times=2, node="b@127.0.0.1")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_newcomer_joins_without_waiting_for_anybodys_interval(cluster, strategy):
    runs = start(cluster, strategy, ("a", "b"), interval_s=3600.0)
    newcomer = cluster.run("c", file=cluster.folder / "epmd.yaml")
    for name in ("a", "b"):
        newcomer.wait_for("node_up", node=f"{name}@127.0.0.1")
        runs[name].wait_for("node_up", node="c@127.0.0.1")


def test_links_outlive_epmd_and_registrations_return(cluster, server):
    runs = start(cluster, "local_epmd", ("a", "b"), interval_s=0.2)
    for _ in range(2):
        server.kill()
        server.start()
        server.until(lambda names: names.keys() == {"a", "b"}, "both to register again")
    newcomer = cluster.run("c", file=cluster.folder / "epmd.yaml")
    for name in ("a", "b"):
        newcomer.wait_for("node_up", node=f"{name}@127.0.0.1")
        runs[name].wait_for("node_up", node="c@127.0.0.1")
        assert runs[name].heard("node_down", "node_lost") == []


def test_nodes_start_without_epmd_and_link_when_it_comes(cluster, server):
    server.kill()
    file = cluster.write(
        "epmd.yaml", {"lan": STRATEGIES["local_epmd"] | {"config": {"interval_s": 0.2}}}
    )
    runs = [cluster.run(name, file=file) for name in ("a", "b")]
    for run in runs:
        run.wait_for("ready")
        run.until(lambda run=run: any("-daemon" in line for line in run.errors), "the cure")
    server.start()
    runs[0].wait_for("node_up", node="b@127.0.0.1")
    runs[1].wait_for("node_up", node="a@127.0.0.1")


def test_second_process_with_a_name_learns_that_it_is_taken(cluster):
    start(cluster, "local_epmd", ("a", "b"))
    twin = cluster.run("a@127.0.0.9", file=cluster.folder / "epmd.yaml")
    twin.until(lambda: any("refuses our name 'a'" in line for line in twin.errors), "the conflict")


def test_other_clusters_are_not_seen(cluster, server, tmp_path):
    start(cluster, "local_epmd", ("a", "b"))
    with Cluster(tmp_path) as other:
        stranger = other.run("x", file=other.write("other.yaml", {"lan": STRATEGIES["local_epmd"]}))
        server.until(lambda names: "x" in names, "x")
        done = cluster_kit("nodes", cluster.folder / "epmd.yaml", "--wait", "2")
        names = [line.split()[1] for line in done.stdout.splitlines()[1:]]
        assert names == ["a@127.0.0.1", "b@127.0.0.1"], done.stderr
        stranger.wait_for("ready")
        assert stranger.heard("node_found", "node_up") == []


def test_erlang_node_is_known_and_left_in_peace(cluster, server, require, tmp_path):
    require("erl")
    with Erl(server, "erl@127.0.0.1", tmp_path) as erl:
        runs = start(cluster, "local_epmd", ("a", "b"))
        for run in runs.values():
            run.wait_for("node_found", node="erl@127.0.0.1")
        assert erl.evaluate("net_adm:ping('a@127.0.0.1')") == "pang"
        assert erl.evaluate("nodes(connected)") == "[]"
        assert runs["a"].heard("node_down") == runs["b"].heard("node_down") == []
