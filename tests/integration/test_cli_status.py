"""``cluster-kit status`` with real nodes: what it prints, and which nodes it asks."""

import json
import os
import signal
import socket

import pytest
from cli_process import cluster_kit
from control_sockets import GOSSIP, statuses
from waiting import until

from cluster_kit import Supervisor
from cluster_kit.supervisor.control_client import ask_all

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("control_folder")]


@pytest.fixture
def run(cluster, control_folder):
    """Return a function that starts a node and waits until it is ready for questions."""

    def run(name):
        node = cluster.run(name)
        node.wait_for("ready")
        file = f"{node.process.pid}-*.sock"
        until(lambda: list(control_folder.glob(file)), f"the socket of {name}")
        return node

    return run


def test_running_nodes_are_reported_with_their_links(run):
    a, b = run("a"), run("b")
    a.wait_for("node_up", node="b@127.0.0.1")
    b.wait_for("node_up", node="a@127.0.0.1")
    assert sorted(each["node"] for each in statuses()) == ["a@127.0.0.1", "b@127.0.0.1"]
    [status] = statuses("a")
    assert status["pid"] == a.process.pid
    lan = status["topologies"]["lan"]
    assert (lan["state"], lan["restarts"], lan["sources"]) == ("ready", 0, {"gossip": None})
    assert lan["address"] == a.wait_for("ready")["address"]
    for peers in (lan["links"], lan["known"]):
        assert [each["node"] for each in peers] == ["b@127.0.0.1"]
    assert lan["links"][0]["age_s"] >= 0


def test_nodes_that_cannot_be_linked_are_reported_with_the_reason(cluster, run):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        dead = f"127.0.0.1:{unused.getsockname()[1]}"
        topologies = {"lan": {"strategy": "static", "config": {"nodes": [f"dead@{dead}"]}}}
        a = cluster.run("a", file=cluster.write("dead.yaml", topologies))
        a.until(
            lambda: any("dead@127.0.0.1 is not linked: refused, " in line for line in a.errors),
            "the reason in the log",
        )
        [status] = statuses("a")
        [unlinked] = status["topologies"]["lan"]["unlinked"]
        assert (unlinked["node"], unlinked["reason"]) == ("dead@127.0.0.1", "refused")
        assert unlinked["tries"] >= 3
        assert 0 <= unlinked["next_s"] <= 5
        assert status["topologies"]["lan"]["failing"] == {"refused": 1}
        text = cluster_kit("status", "a").stdout
        assert "not linked: refused, " in text
        assert " tries, " in text


def test_text_is_for_people(cluster, run):
    a, _ = run("a"), run("b")
    a.wait_for("node_up", node="b@127.0.0.1")
    done = cluster_kit("status", a.process.pid)
    lines = done.stdout.splitlines()
    assert lines[0] == f"a@127.0.0.1: process {a.process.pid}, cluster {cluster.name!r}"
    assert lines[1].startswith("  lan: ready at 127.0.0.1:")
    assert lines[2] == "    gossip: works"
    assert lines[3].split() == ["NODE", "ADDRESS", "LINKED", "FOR", "ROUND", "TRIP", "METADATA"]
    assert lines[4].startswith("    b@127.0.0.1  127.0.0.1:")


def test_no_supervisor_is_a_failure_with_the_cure():
    done = cluster_kit("status")
    assert done.returncode == 1
    assert "start one with 'cluster-kit run'" in done.stderr


def test_unknown_node_is_a_failure_that_names_those_that_are_there(run):
    run("a")
    done = cluster_kit("status", "z")
    assert done.returncode == 1
    assert "no supervisor of yours is 'z'; running: a@127.0.0.1" in done.stderr


def test_killed_process_leaves_no_socket_for_long(run, control_folder):
    a = run("a")
    a.signal(signal.SIGKILL)
    a.wait()
    assert len(list(control_folder.iterdir())) == 1
    run("b")
    until(
        lambda: [each["node"] for each in ask_all([])] == ["b@127.0.0.1"],
        "b answers, and a is gone",
    )
    assert len(list(control_folder.iterdir())) == 1


def test_suspended_supervisor_is_reported_and_hides_no_other(run):
    a, _ = run("a"), run("b")
    a.signal(signal.SIGSTOP)
    done = cluster_kit("status", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["node"] == "b@127.0.0.1"
    assert f"process {a.process.pid} does not answer: it hangs, or is suspended" in done.stderr


def test_supervisor_from_a_file_answers(cluster):
    with Supervisor.from_file(
        cluster.write("x.yaml", GOSSIP["topologies"], node="x@127.0.0.1"), control=True
    ):
        assert [each["node"] for each in statuses()] == ["x@127.0.0.1"]


def test_several_names_and_a_cluster_choose(cluster, run):
    a, b = run("a"), run("b")
    with Supervisor(GOSSIP | {"node": "a@127.0.0.1", "cluster": f"{cluster.name}-2"}, control=True):
        assert sorted(each["pid"] for each in statuses("a")) == sorted([a.process.pid, os.getpid()])
        assert [each["pid"] for each in statuses("a", "--cluster", cluster.name)] == [a.process.pid]
        pids = [each["pid"] for each in statuses("b", a.process.pid, "--cluster", cluster.name)]
        assert pids == [a.process.pid, b.process.pid]
        done = cluster_kit("status", "a", "z", "--cluster", cluster.name)
        assert done.returncode == 1
        assert done.stdout.startswith("a@127.0.0.1: process")
        cause = f"no supervisor of yours is 'z' in cluster {cluster.name!r}"
        assert f"{cause}; running: a@127.0.0.1 (" in done.stderr
        done = cluster_kit("status", "--cluster", "nowhere")
        assert done.returncode == 1
        assert (
            "no supervisor of yours is in cluster 'nowhere'; running: a@127.0.0.1 (" in done.stderr
        )


def test_stopped_node_that_was_asked_for_is_reported_and_is_a_failure(run):
    a, b = run("a"), run("b")
    a.signal(signal.SIGSTOP)
    done = cluster_kit("status", "b", "a@127.0.0.1")
    assert done.returncode == 1
    assert done.stdout.startswith("b@127.0.0.1: process")
    why = f"process {a.process.pid} does not answer: it hangs, or is suspended"
    assert done.stderr == f"cluster-kit: status: {why}\n"
    assert cluster_kit("status", b.process.pid).stderr == ""


def test_gone_node_is_shown_with_time_and_reason(run):
    a, b = run("a"), run("b")
    a.wait_for("node_up", node="b@127.0.0.1")
    b.signal_all(signal.SIGKILL)
    a.wait_for("node_down", node="b@127.0.0.1")
    [status] = statuses("a")
    [gone] = status["topologies"]["lan"]["gone"]
    assert (gone["node"], gone["reason"]) == ("b@127.0.0.1", "closed")
    assert "s ago: closed" in cluster_kit("status", "a").stdout
    run("b")
    a.wait_for("node_up", times=2, node="b@127.0.0.1")
    assert statuses("a")[0]["topologies"]["lan"]["gone"] == []
