"""``cluster-kit status`` and ``watch``: what supervisors say of themselves."""

import json
import os
import pty
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_process import COMMAND, Cluster, Process, cluster_kit
from waiting import until

from cluster_kit import Supervisor
from cluster_kit.supervisor.control import ControlSocket
from cluster_kit.supervisor.control_client import ask_all
from cluster_kit.supervisor.control_files import locked, new_path, sweep

pytestmark = pytest.mark.once

GOSSIP = {"topologies": {"lan": {"strategy": "gossip"}}}


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """Keep all sockets of this test in their own folder, and look nowhere else."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / "cluster-kit"


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def run(cluster, folder):
    """Return a function that starts a node and waits until it is ready for questions."""

    def run(name):
        node = cluster.run(name)
        node.wait_for("ready")
        until(lambda: list(folder.glob(f"{node.process.pid}-*.sock")), f"the socket of {name}")
        return node

    return run


def told(*arguments):
    done = cluster_kit("status", "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_running_nodes_are_reported_with_their_links(run):
    a, b = run("a"), run("b")
    a.wait_for("node_up", node="b@127.0.0.1")
    b.wait_for("node_up", node="a@127.0.0.1")
    assert sorted(each["node"] for each in told()) == ["a@127.0.0.1", "b@127.0.0.1"]
    [status] = told("a")
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
        [status] = told("a")
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


def test_nobody_is_a_failure_with_the_cure():
    done = cluster_kit("status")
    assert done.returncode == 1
    assert "start one with 'cluster-kit run'" in done.stderr


def test_unknown_node_is_a_failure_that_names_those_that_are_there(run):
    run("a")
    done = cluster_kit("status", "z")
    assert done.returncode == 1
    assert "no supervisor of yours is 'z'; running: a@127.0.0.1" in done.stderr


def test_only_those_that_ask_for_a_control_socket_have_one(folder):
    with Supervisor(
        GOSSIP | {"node": "x@127.0.0.1", "metadata": {"zone": "a"}}, control=True
    ) as supervisor:
        supervisor.drain()
        [status] = told("x")
        shown = (status["pid"], status["metadata"], status["leaving"])
        assert shown == (os.getpid(), {"zone": "a"}, True)
        with Supervisor(GOSSIP | {"node": "y@127.0.0.1"}):
            assert [each["node"] for each in told()] == ["x@127.0.0.1"]
    assert list(folder.iterdir()) == []


def test_socket_is_open_to_its_user_only(folder):
    with Supervisor(GOSSIP, control=True):
        [path] = folder.iterdir()
        assert (folder.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)


def test_folder_of_others_is_not_trusted(folder, caplog):
    other = folder.with_name(f"cluster-kit-{os.getuid()}")
    for each in (folder, other):
        each.mkdir(mode=0o755)
    with Supervisor(GOSSIP, control=True):
        assert [*folder.iterdir(), *other.iterdir()] == []
    cause = f"'{folder}': it is not a folder that only its user can enter"
    assert f"won't see this process: {cause}" in caplog.text
    done = cluster_kit("status")
    assert done.returncode == 1
    assert f"cannot use '{folder}': it is not a folder that only its user can enter" in done.stderr


def test_folder_that_cannot_be_used_has_the_next_one_used(folder, caplog):
    folder.mkdir(mode=0o755)
    with Supervisor(GOSSIP | {"node": "x@127.0.0.1"}, control=True):
        assert [each["node"] for each in ask_all([])] == ["x@127.0.0.1"]
    assert caplog.text == ""


def test_folder_of_which_nothing_can_be_known_is_passed_over(folder, monkeypatch):
    monkeypatch.setattr("os.stat", raising_permission_error(os.stat, str(folder.parent / "locked")))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder.parent / "locked"))
    with Supervisor(GOSSIP | {"node": "x@127.0.0.1"}, control=True):
        assert [each["node"] for each in ask_all([])] == ["x@127.0.0.1"]


def raising_permission_error(stat, denied):
    def raising(path, *rest, **options):
        if str(path).startswith(denied):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *rest, **options)

    return raising


def test_files_of_others_in_the_folder_are_let_be(folder):
    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as stray:
        stray.bind(str(folder / "stray.sock"))
        stray.listen()
        (folder / "foo.sock").touch()
        with Supervisor(GOSSIP | {"node": "x@127.0.0.1"}, control=True):
            assert [each["node"] for each in ask_all([])] == ["x@127.0.0.1"]
    assert sorted(each.name for each in folder.iterdir()) == ["foo.sock", "stray.sock"]


def test_killed_process_leaves_no_socket_for_long(run, folder):
    a = run("a")
    a.signal(signal.SIGKILL)
    a.wait()
    assert len(list(folder.iterdir())) == 1
    run("b")
    until(
        lambda: [each["node"] for each in ask_all([])] == ["b@127.0.0.1"],
        "b tells of itself, and a is gone",
    )
    assert len(list(folder.iterdir())) == 1


def test_who_asks_oddly_or_hangs_holds_up_nobody_for_long(folder):
    with Supervisor(GOSSIP | {"node": "x@127.0.0.1"}, control=True):
        [path] = folder.iterdir()
        asking = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        for each, question in zip(
            asking, (b"", b"stat", b"x" * 1000, b"GET / HTTP/1.1\r\n\r\n"), strict=True
        ):
            each.connect(str(path))
            each.sendall(question)
        assert [each["node"] for each in told()] == ["x@127.0.0.1"]
        for each in asking:
            assert each.recv(1) == b""
            each.close()


def test_one_that_hangs_is_reported_and_hides_no_other(run):
    a, _ = run("a"), run("b")
    a.signal(signal.SIGSTOP)
    done = cluster_kit("status", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["node"] == "b@127.0.0.1"
    assert f"process {a.process.pid} does not answer: it hangs, or is suspended" in done.stderr


def test_question_that_drips_in_is_given_up(folder):
    with Supervisor(GOSSIP, control=True), socket.socket(socket.AF_UNIX) as asking:
        [path] = folder.iterdir()
        asking.connect(str(path))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            drip(asking)


def drip(sock, timeout_s=20.0):
    """Say something again and again, never the whole of it."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        sock.sendall(b"s")
        time.sleep(0.05)  # that is the fault


ANSWER = {"node": "x@127.0.0.1", "pid": 7, "cluster": "shop"}


@contextmanager
def answering():
    """Serve a control socket that soon notices when its file is gone."""
    control = ControlSocket(lambda: ANSWER, node=ANSWER["node"])
    control.look_s = 0.05
    control.open()
    try:
        yield
    finally:
        control.close()


def test_one_that_starts_is_not_taken_for_one_that_was_left_behind(folder, monkeypatch):
    listen = socket.socket.listen

    def asked_meanwhile(sock, *backlog):
        assert list(ask_all([])) == []
        sweep(folder)
        listen(sock, *backlog)

    monkeypatch.setattr(socket.socket, "listen", asked_meanwhile)
    with answering():
        assert list(ask_all([])) == [ANSWER]


def test_without_means_for_a_thread_there_is_no_socket_and_the_node_runs(
    folder, monkeypatch, caplog
):
    start = threading.Thread.start

    def refuse(thread):
        if thread.name == "cluster-kit-control":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with Supervisor(GOSSIP, control=True) as supervisor:
        assert supervisor.status()
        assert list(folder.iterdir()) == []
    assert "won't see this process: can't start new thread" in caplog.text


def test_supervisor_that_is_stopped_while_it_opens_its_socket_does_not_stumble(monkeypatch, folder):
    supervisor = Supervisor(GOSSIP, control=True)

    class Stopping(socket.socket):
        def listen(self, backlog):
            super().listen(backlog)
            supervisor.stop()

    monkeypatch.setattr("cluster_kit.supervisor.control.socket.socket", Stopping)
    supervisor.start()
    assert supervisor.join(30.0)
    assert list(folder.iterdir()) == []


def test_socket_that_opens_after_the_order_to_stop_is_closed(folder, monkeypatch):
    supervisor = Supervisor(GOSSIP, control=True)
    opening = ControlSocket.open

    def stopped_meanwhile(control):
        supervisor.stop()
        opening(control)

    monkeypatch.setattr(ControlSocket, "open", stopped_meanwhile)
    supervisor.start()
    assert list(folder.iterdir()) == []


def test_supervisor_from_a_file_answers(cluster):
    with Supervisor.from_file(
        cluster.write("x.yaml", GOSSIP["topologies"], node="x@127.0.0.1"), control=True
    ):
        assert [each["node"] for each in told()] == ["x@127.0.0.1"]


def test_path_that_is_too_long_costs_the_socket_only(monkeypatch, tmp_path, caplog):
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with Supervisor(GOSSIP, control=True) as supervisor:
        assert supervisor.status()
    assert "won't see this process" in caplog.text


class StandIn:
    """A listening socket in place of a supervisor's; it answers only when a test wants."""

    def __init__(self, folder, node, cluster="x"):
        folder.mkdir(mode=0o700, exist_ok=True)
        self.answer = json.dumps(
            {
                "node": node,
                "pid": os.getpid(),
                "cluster": cluster,
                "metadata": {},
                "leaving": False,
                "topologies": {},
            }
        )
        self.path = new_path(folder, node, cluster)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(self.path))
        self.sock.listen()

    @property
    def asked(self):
        """Whether anybody has connected; nobody is answered."""
        self.sock.setblocking(False)
        try:
            self.sock.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()
        self.path.unlink()


def test_nobody_is_asked_who_was_not_asked_for(folder):
    with (
        StandIn(folder, "a@h") as a,
        StandIn(folder, "b@h") as b,
        StandIn(folder, "a@h", "y") as other,
    ):
        asked = threading.Thread(target=answer_each, args=([a],))
        asked.start()
        assert [each["node"] for each in told("--cluster", "x", "a")] == ["a@h"]
        asked.join()
        assert not b.asked
        assert not other.asked


def test_all_are_asked_before_anybody_has_to_answer(folder):
    with StandIn(folder, "a@h") as a, StandIn(folder, "b@h") as b:
        answering = threading.Thread(target=answer_each, args=([a, b],))
        answering.start()
        assert [each["node"] for each in told()] == ["a@h", "b@h"]
        answering.join()


def answer_each(stand_ins):
    """Answer when all have been asked."""
    connections = [each.sock.accept()[0] for each in stand_ins]
    for each, connection in zip(stand_ins, connections, strict=True):
        with connection:
            connection.recv(64)
            connection.sendall(f"{each.answer}\n".encode())


def test_several_names_and_a_cluster_choose(cluster, run, tmp_path, folder):
    a, b = run("a"), run("b")
    with Supervisor(GOSSIP | {"node": "a@127.0.0.1", "cluster": f"{cluster.name}-2"}, control=True):
        assert sorted(each["pid"] for each in told("a")) == sorted([a.process.pid, os.getpid()])
        assert [each["pid"] for each in told("a", "--cluster", cluster.name)] == [a.process.pid]
        pids = [each["pid"] for each in told("b", a.process.pid, "--cluster", cluster.name)]
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


def test_who_went_is_shown_with_time_and_reason(run):
    a, b = run("a"), run("b")
    a.wait_for("node_up", node="b@127.0.0.1")
    b.signal_all(signal.SIGKILL)
    a.wait_for("node_down", node="b@127.0.0.1")
    [status] = told("a")
    [gone] = status["topologies"]["lan"]["gone"]
    assert (gone["node"], gone["reason"]) == ("b@127.0.0.1", "closed")
    assert "s ago: closed" in cluster_kit("status", "a").stdout
    run("b")
    a.wait_for("node_up", times=2, node="b@127.0.0.1")
    assert told("a")[0]["topologies"]["lan"]["gone"] == []


def kernel_lists(path):
    return any(
        line.split()[-1] == str(path) for line in Path("/proc/net/unix").read_text().splitlines()
    )


def test_kernel_knows_the_socket_by_the_name_of_its_file(folder):
    with Supervisor(GOSSIP, control=True):
        [path] = folder.iterdir()
        assert kernel_lists(path)


def test_cleaner_of_old_files_takes_it_for_alive(folder, tmp_path, require):
    require("systemd-tmpfiles")
    rules = tmp_path / "rules.conf"
    rules.write_text(f"d {folder} - - - 0s\n")
    with Supervisor(GOSSIP, control=True):
        [path] = folder.iterdir()
        (folder / "old").touch()
        subprocess.run(["systemd-tmpfiles", "--clean", rules], check=True, timeout=30)
        assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize("clean", ["file", "folder", "replaced"])
def test_socket_whose_file_is_gone_is_replaced(folder, clean):
    with answering():
        [path] = folder.iterdir()
        if clean == "replaced":
            (folder / "other").touch()
            (folder / "other").rename(path)
        else:
            path.unlink()
        if clean == "folder":
            folder.rmdir()
        until(lambda: list(ask_all([])) == [ANSWER], "it can be asked again")
        [new] = [each for each in folder.iterdir() if each.is_socket()]
        assert kernel_lists(new)
        assert new.stat().st_mode & 0o777 == 0o600
    assert list(folder.iterdir()) == []


def test_socket_that_cannot_be_replaced_is_reported_once_and_tried_again(folder, caplog):
    with answering():
        [path] = folder.iterdir()
        path.unlink()
        folder.rmdir()
        files = (folder, folder.with_name(f"cluster-kit-{os.getuid()}"))
        for each in files:
            each.touch()
        until(lambda: "won't see this process" in caplog.text, "the warning")
        for each in files:
            each.unlink()
        until(lambda: list(ask_all([])), "it can be asked again")
    assert caplog.text.count("won't see this process") == 1


def test_lock_that_somebody_holds_holds_up_nobody_for_long(folder):
    folder.mkdir(mode=0o700)
    with locked(folder) as held:
        assert held
        with Supervisor(GOSSIP | {"node": "x@127.0.0.1"}, control=True):
            assert [each["node"] for each in ask_all([])] == ["x@127.0.0.1"]


def test_watch_needs_a_terminal():
    done = cluster_kit("watch")
    assert done.returncode == 1
    assert "use 'cluster-kit status'" in done.stderr


def test_watch_shows_who_comes_until_ctrl_c(cluster):
    ours, its = pty.openpty()
    watch = cluster.keep(Process(COMMAND, "watch", "--interval", "0.1", stdout=its))
    os.close(its)
    seen = Screen(ours)
    seen.until("no supervisor of yours runs")
    cluster.run("a").wait_for("ready")
    seen.until("a@127.0.0.1: process")
    watch.signal(signal.SIGINT)
    seen.close()
    assert watch.wait() == 0


class Screen:
    """What was printed to a terminal."""

    def __init__(self, fd):
        self._fd = fd
        self._text = ""

    def until(self, text, timeout_s=30.0):
        deadline_s = time.monotonic() + timeout_s
        while text not in self._text:
            assert time.monotonic() < deadline_s, f"not seen: {text!r} in {self._text[-500:]!r}"
            self._text += os.read(self._fd, 65536).decode(errors="replace")

    def close(self):
        """Read to the end, so that the printing process is not held up."""
        try:
            while os.read(self._fd, 65536):
                pass
        except OSError:
            os.close(self._fd)
