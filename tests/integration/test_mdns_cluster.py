"""Clusters by mdns on loopback: ``cluster-kit run`` processes find each other, link, leave, die."""

import signal

import pytest
from mdns_process import a_type

pytestmark = pytest.mark.once


def start(cluster, names, **topology):
    """Return one cluster's configuration and its running nodes by name, all linked to all."""
    config = {"service_type": a_type(), "ttl_s": 5}
    file = cluster.write("mdns.yaml", {"lan": {"strategy": "mdns", "config": config} | topology})
    runs = {name: cluster.run(name, file=file) for name in names}
    for name, run in runs.items():
        for other in runs.keys() - {name}:
            # one that dialled first is linked, and not known yet
            run.wait_for("node_found", node=other)
            run.wait_for("node_up", node=other)
    return file, runs


def test_cluster_forms_one_leaves_and_one_is_killed(cluster):
    ann, bob, cat, dan = names = [f"{name}@127.0.0.1" for name in ("ann", "bob", "cat", "dan")]
    file, runs = start(cluster, names)
    runs[cat].signal(signal.SIGTERM)
    assert runs[cat].wait() == 0
    for name in (ann, bob):
        assert runs[name].wait_for("node_down", node=cat)["reason"] == "left"
        assert runs[name].wait_for("node_lost", node=cat)["reason"] == "left"
    runs[dan].signal_all(signal.SIGKILL)
    for name in (ann, bob):
        assert runs[name].wait_for("node_down", node=dan)["reason"] in ("closed", "silent")
        assert runs[name].wait_for("node_lost", node=dan)["reason"] == "silent"
    again = cluster.run(dan, file=file)
    for name in (ann, bob):
        again.wait_for("node_up", node=name)
        runs[name].wait_for("node_up", node=dan, times=2)
    assert runs[ann].heard("node_down", "node_lost").count(("node_down", bob)) == 0
    assert runs[bob].heard("node_down", "node_lost").count(("node_down", ann)) == 0


def test_without_links_a_crashed_node_is_down_when_its_time_has_passed(cluster):
    ann, bob, cat = names = [f"{name}@127.0.0.1" for name in ("ann", "bob", "cat")]
    _, runs = start(cluster, names, connector="none")
    runs[cat].signal_all(signal.SIGKILL)
    for name in (ann, bob):
        assert runs[name].wait_for("node_lost", node=cat)["reason"] == "silent"
        runs[name].wait_for("node_down", node=cat)
        assert runs[name].heard("node_down") == [("node_down", cat)]


def test_without_links_a_goodbye_is_noticed(cluster):
    ann, bob = names = [f"{name}@127.0.0.1" for name in ("ann", "bob")]
    _, runs = start(cluster, names, connector="none")
    runs[bob].signal(signal.SIGTERM)
    assert runs[ann].wait_for("node_lost", node=bob)["reason"] == "left"
    runs[ann].wait_for("node_down", node=bob)
