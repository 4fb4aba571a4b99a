"""``cluster-kit run``: what it prints, and every way in which it ends."""

import fcntl
import os
import signal
import socket
import subprocess
from pathlib import Path

import psutil
import pytest
from cli_process import COMMAND, DEADLINE_S, Cluster, Process, cluster_kit

PARTS = """
import os
import time

from cluster_kit import Connector, Strategy


class Stays(Connector):
    async def start(self, local, links):
        return local

    async def connect(self, node):
        raise AssertionError

    async def disconnect(self, node):
        raise AssertionError

    async def stop(self):
        print("stopping")
        time.sleep(3600)


class NeverStarts(Stays):
    async def start(self, local, links):
        print("starting")
        time.sleep(3600)


class Exits(Strategy):
    async def discover(self, ctx):
        yield os._exit(3)
"""


@pytest.fixture
def cluster(tmp_path):
    (tmp_path / "parts.py").write_text(PARTS)
    with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_ready_is_reported_with_the_address(cluster):
    ready = cluster.run("a").wait_for("ready")
    assert ready.keys() == {"t", "event", "topology", "address"}
    assert ready["topology"] == "lan"
    host, port = ready["address"].split(":")
    assert host == "127.0.0.1"
    assert int(port) > 0


def test_nodes_of_one_file_report_each_other(cluster):
    a, b = cluster.run("a"), cluster.run("b@127.0.0.1")
    up = a.wait_for("node_up", node="b@127.0.0.1")
    assert up.keys() == {"t", "event", "topology", "node", "address", "metadata"}
    assert up["address"] == b.wait_for("ready")["address"]
    b.wait_for("node_up", node="a@127.0.0.1")
    assert a.errors == b.errors == []


def test_text_is_for_people(cluster):
    a = cluster.keep(Process(COMMAND, "run", cluster.file, "--name", "a"))
    b = cluster.run("b")
    a.until_printed("lan: ready at 127.0.0.1:")
    a.until_printed(f"lan: b@127.0.0.1 is up at {b.wait_for('ready')['address']}")
    b.signal(signal.SIGTERM)
    a.until_printed("lan: b@127.0.0.1 is down: left")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_makes_it_leave_gracefully(cluster, number):
    a, b = cluster.run("a"), cluster.run("b")
    a.wait_for("node_up", node="b@127.0.0.1")
    b.wait_for("node_up", node="a@127.0.0.1")
    b.signal(number)
    assert b.wait() == 0
    assert b.wait_for("node_down", node="a@127.0.0.1")["reason"] == "shutdown"
    assert a.wait_for("node_down", node="b@127.0.0.1")["reason"] == "left"


def test_hangup_has_the_file_read_again(cluster):
    path = Path(cluster.write("live.yaml", {"lan": {"strategy": "gossip"}}))
    a = cluster.run("a", file=str(path))
    a.wait_for("ready", topology="lan")
    cluster.write("live.yaml", {"lan": {"strategy": "gossip"}, "wan": {"strategy": "gossip"}})
    a.signal(signal.SIGHUP)
    a.wait_for("ready", topology="wan")
    a.until(lambda: any("added wan" in line for line in a.errors), "what has changed")
    path.write_text(path.read_text().replace("gossip", "gosip"))
    a.signal(signal.SIGHUP)
    a.until(lambda: any("'gosip'" in line for line in a.errors), "the fault, with its place")
    cluster.write("live.yaml", {"wan": {"strategy": "gossip"}})
    a.signal(signal.SIGHUP)
    a.until(lambda: any("removed lan" in line for line in a.errors), "what has changed")
    a.signal(signal.SIGTERM)
    assert a.wait() == 0


def test_log_level_reaches_the_worker(cluster):
    a = cluster.run("a", "--log-level", "debug")
    host, port = a.wait_for("ready")["address"].split(":")
    with socket.create_connection((host, int(port))) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
    a.until(lambda: any(" DEBUG lan: connection with " in line for line in a.errors), "its record")


def test_lower_log_levels_are_left_out(cluster):
    path = Path(cluster.write("quiet.yaml", {"lan": {"strategy": "gossip"}}))
    a = cluster.run("a", "--log-level", "error", file=str(path))
    a.wait_for("ready")
    cluster.write("quiet.yaml", {"lan": {"strategy": "gossip"}, "wan": {"strategy": "gossip"}})
    a.signal(signal.SIGHUP)
    a.wait_for("ready", topology="wan")
    path.write_text("topologies: 5")
    a.signal(signal.SIGHUP)
    a.until(lambda: a.errors, "the fault")
    assert all(" ERROR " in line for line in a.errors)


def test_hangup_of_its_terminal_makes_it_leave(cluster):
    ours, its = os.openpty()
    try:
        a = cluster.run("a", stdin=its)
        a.wait_for("ready")
        a.signal(signal.SIGHUP)
        a.until(
            lambda: any("changed nothing" in line for line in a.errors),
            "an order, while the terminal is there",
        )
    finally:
        os.close(its)
        os.close(ours)
    a.signal(signal.SIGHUP)
    assert a.wait() == 0


def test_link_that_can_never_be_is_reported(cluster):
    b = cluster.run(
        "b", file=cluster.write("b.yaml", {"web": {"strategy": "static", "config": {"nodes": []}}})
    )
    nodes = [f"z@{b.wait_for('ready')['address']}"]
    a = cluster.run(
        "a",
        file=cluster.write("a.yaml", {"web": {"strategy": "static", "config": {"nodes": nodes}}}),
    )
    a.until(
        lambda: any("WARNING web: cannot link to z@127.0.0.1" in line for line in a.errors),
        "that, with the cause",
    )
    assert any("b@127.0.0.1" in line for line in a.errors)


def test_repeated_sigterm_is_no_hurry(cluster):
    a = cluster.run("a")
    a.wait_for("ready")
    a.signal(signal.SIGTERM)
    while a.process.poll() is None:  # until the very end of the interpreter
        a.signal(signal.SIGTERM)
    assert a.wait() == 0


def test_signal_is_obeyed_while_a_part_hangs_at_the_start(cluster):
    child_spec = {"shutdown_s": 0.5}
    topologies = {
        "lan": {"strategy": "gossip", "connector": "parts:NeverStarts", "child_spec": child_spec}
    }
    a = cluster.run("a", file=cluster.write("hangs.yaml", topologies))
    a.until(lambda: "starting" in a.errors, "the connector's start")
    a.signal(signal.SIGTERM)
    assert a.wait() == 0


def test_second_ctrl_c_ends_it_at_once(cluster):
    topologies = {
        "lan": {"strategy": "gossip", "connector": "parts:Stays", "child_spec": {"shutdown_s": 600}}
    }
    a = cluster.run("a", file=cluster.write("stays.yaml", topologies))
    a.wait_for("ready")
    a.signal(signal.SIGINT)
    a.until(lambda: "stopping" in a.errors, "the connector's stop")
    a.signal(signal.SIGINT)
    assert a.wait() == -signal.SIGINT


def test_end_of_standard_input_ends_it_only_where_asked(cluster):
    a = cluster.run("a", "--until-eof", stdin=subprocess.PIPE)
    b = cluster.run("b")
    a.wait_for("node_up", node="b@127.0.0.1")
    a.process.stdin.close()
    assert a.wait() == 0
    assert b.process.poll() is None


def test_reader_that_goes_away_ends_it_quietly(cluster):
    command = [COMMAND, "run", str(cluster.file), "--name", "a", "--events", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as a:
        assert "ready" in a.stdout.readline()
        a.stdout.close()
        cluster.run("b")
        assert a.stderr.read() == ""
        assert a.wait(DEADLINE_S) == 0


def test_unread_output_does_not_delay_the_leave(cluster, pipe):
    os.write(pipe[1], bytes(fcntl.fcntl(pipe[1], fcntl.F_GETPIPE_SZ)))  # not a byte more fits in
    command = [COMMAND, "run", str(cluster.file), "--name", "a", "--events", "json"]
    with subprocess.Popen(command, stdout=pipe[1], stderr=subprocess.PIPE, text=True) as a:
        b = cluster.run("b")
        b.wait_for("node_up", node="a@127.0.0.1")
        a.terminate()
        assert a.wait(DEADLINE_S) == 0
        assert a.stderr.read() == ""
    assert b.wait_for("node_down", node="a@127.0.0.1")["reason"] == "left"


def test_unread_log_delays_nothing(cluster, pipe):
    os.write(pipe[1], bytes(fcntl.fcntl(pipe[1], fcntl.F_GETPIPE_SZ)))
    command = [COMMAND, "run", str(cluster.file), "--name", "a", "--events", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=pipe[1], text=True) as a:
        b = cluster.run("b")
        b.wait_for("node_up", node="a@127.0.0.1")
        [worker] = psutil.Process(a.pid).children()
        worker.kill()  # which is logged
        b.wait_for("node_down", node="a@127.0.0.1")
        b.wait_for("node_up", node="a@127.0.0.1", times=2)
        a.terminate()
        assert a.wait(DEADLINE_S) == 0
    assert b.wait_for("node_down", node="a@127.0.0.1", times=2)["reason"] == "left"


def test_closed_standard_streams_are_no_hindrance(cluster):
    line = f'exec "{COMMAND}" run "{cluster.file}" --name a <&- >&- 2>&-'
    with subprocess.Popen(["/bin/sh", "-c", line]) as a:
        b = cluster.run("b")
        b.wait_for("node_up", node="a@127.0.0.1")
        a.terminate()
        assert a.wait(DEADLINE_S) == 0


def test_output_that_cannot_be_written_is_one_line(cluster):
    with Path("/dev/full").open("wb") as full:
        command = [COMMAND, "run", str(cluster.file), "--name", "a"]
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S
        )
    assert done.returncode == 1
    assert done.stderr == "cluster-kit: run: cannot print events: No space left on device\n"


def test_every_fault_of_the_file_is_a_line(cluster):
    faulty = cluster.folder / "faulty.yaml"
    faulty.write_text("node: nobody\ntopologies:\n  lan:\n    strategie: gossip\n    prune: 3\n")
    done = cluster_kit("run", faulty)
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert [line.startswith(f"{faulty}:") for line in lines] == [True] * 4
    assert f"{faulty}:1:7: node: " in lines[0]


def test_port_in_use_is_one_line(cluster):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        topologies = {"lan": {"strategy": "gossip", "connector": {"name": "tcp", "port": port}}}
        done = cluster_kit("run", cluster.write("taken.yaml", topologies))
    assert done.returncode == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("cluster-kit: ")
    assert str(port) in line


def test_other_name_does_not_lead_off_loopback(cluster):
    done = cluster_kit("run", cluster.file, "--name", "a@192.0.2.1")
    assert done.returncode == 2
    assert "insecure" in done.stderr


def test_topology_that_escalates_ends_it(cluster):
    topologies = {
        "lan": {"strategy": "parts:Exits", "child_spec": {"max_restarts": 1, "escalate": True}}
    }
    a = cluster.run("a", file=cluster.write("exits.yaml", topologies))
    assert a.wait() == 1
    assert a.errors[-1].startswith("cluster-kit: topology 'lan': more than 1 restarts")
    assert not any("Traceback" in line for line in a.errors)


def test_second_process_of_a_name_is_reported_once_with_the_cure(cluster):
    cluster.run("a").wait_for("ready")
    second = cluster.run("a")
    second.wait_for("topology_event", kind="name_conflict")
    text = (
        "name conflict: two live processes use the name 'a@127.0.0.1': give each process a unique "
        "name, by 'node' in its configuration or by 'cluster-kit run --name'"
    )
    second.until(lambda: [line for line in second.errors if line.endswith(text)], "the warning")
    second.signal(signal.SIGTERM)
    assert second.wait() == 0
    assert [line.partition("lan: ")[2] for line in second.errors] == [text]
