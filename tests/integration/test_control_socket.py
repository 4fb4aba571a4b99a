"""Control sockets: which supervisors have one, who can use it, and how a lost file is replaced."""

import json
import os
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_process import cluster_kit
from control_sockets import GOSSIP, statuses
from waiting import until

from cluster_kit import Supervisor
from cluster_kit.supervisor.control import ControlSocket
from cluster_kit.supervisor.control_client import ask_all
from cluster_kit.supervisor.control_files import locked, new_path, sweep

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def folder(control_folder):
    return control_folder


def test_only_those_that_ask_for_a_control_socket_have_one(folder):
    with Supervisor(
        GOSSIP | {"node": "x@127.0.0.1", "metadata": {"zone": "a"}}, control=True
    ) as supervisor:
        supervisor.drain()
        [status] = statuses("x")
        shown = (status["pid"], status["metadata"], status["leaving"])
        assert shown == (os.getpid(), {"zone": "a"}, True)
        with Supervisor(GOSSIP | {"node": "y@127.0.0.1"}):
            assert [each["node"] for each in statuses()] == ["x@127.0.0.1"]
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


def test_odd_and_silent_clients_delay_others_only_briefly(folder):
    with Supervisor(GOSSIP | {"node": "x@127.0.0.1"}, control=True):
        [path] = folder.iterdir()
        asking = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        for each, question in zip(
            asking, (b"", b"stat", b"x" * 1000, b"GET / HTTP/1.1\r\n\r\n"), strict=True
        ):
            each.connect(str(path))
            each.sendall(question)
        assert [each["node"] for each in statuses()] == ["x@127.0.0.1"]
        for each in asking:
            assert each.recv(1) == b""
            each.close()


def test_question_that_drips_in_is_given_up(folder):
    with Supervisor(GOSSIP, control=True), socket.socket(socket.AF_UNIX) as asking:
        [path] = folder.iterdir()
        asking.connect(str(path))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            drip(asking)


def drip(sock, timeout_s=20.0):
    """Send one more byte of a question again and again, and never its end."""
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


def test_starting_socket_is_not_mistaken_for_a_stale_one(folder, monkeypatch):
    listen = socket.socket.listen

    def ask_before_listening(sock, *backlog):
        assert list(ask_all([])) == []
        sweep(folder)
        listen(sock, *backlog)

    monkeypatch.setattr(socket.socket, "listen", ask_before_listening)
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

    def open_after_stop(control):
        supervisor.stop()
        opening(control)

    monkeypatch.setattr(ControlSocket, "open", open_after_stop)
    supervisor.start()
    assert list(folder.iterdir()) == []


def test_path_that_is_too_long_costs_the_socket_only(monkeypatch, tmp_path, caplog):
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with Supervisor(GOSSIP, control=True) as supervisor:
        assert supervisor.status()
    assert "won't see this process" in caplog.text


class StandIn:
    """A listening socket in place of a supervisor's, which answers only when a test lets it."""

    def __init__(self, folder, node, cluster="x"):
        folder.mkdir(mode=0o700, exist_ok=True)
        names = {"node": node, "pid": os.getpid(), "cluster": cluster}
        self.answer = json.dumps(names | {"metadata": {}, "leaving": False, "topologies": {}})
        self.path = new_path(folder, node, cluster)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(self.path))
        self.sock.listen()

    @property
    def asked(self):
        """Whether anybody has connected; whoever has gets no answer."""
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


def test_only_matching_supervisors_are_asked(folder):
    with (
        StandIn(folder, "a@h") as a,
        StandIn(folder, "b@h") as b,
        StandIn(folder, "a@h", "y") as other,
    ):
        asked = threading.Thread(target=answer_each, args=([a],))
        asked.start()
        assert [each["node"] for each in statuses("--cluster", "x", "a")] == ["a@h"]
        asked.join()
        assert not b.asked
        assert not other.asked


def test_all_are_asked_before_anybody_has_to_answer(folder):
    with StandIn(folder, "a@h") as a, StandIn(folder, "b@h") as b:
        answering = threading.Thread(target=answer_each, args=([a, b],))
        answering.start()
        assert [each["node"] for each in statuses()] == ["a@h", "b@h"]
        answering.join()


def answer_each(stand_ins):
    """Answer once all of them have been asked."""
    connections = [each.sock.accept()[0] for each in stand_ins]
    for each, connection in zip(stand_ins, connections, strict=True):
        with connection:
            connection.recv(64)
            connection.sendall(f"{each.answer}\n".encode())


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


def test_held_lock_delays_others_only_briefly(folder):
    folder.mkdir(mode=0o700)
    with locked(folder) as held:
        assert held
        with Supervisor(GOSSIP | {"node": "x@127.0.0.1"}, control=True):
            assert [each["node"] for each in ask_all([])] == ["x@127.0.0.1"]
