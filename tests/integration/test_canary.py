"""A canary goes wherever a secret goes; then everything that anybody can see is searched for it."""

import json
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from certificate_files import write, write_folder
from cli_process import Cluster, cluster_kit
from key_telling import KeyTelling
from made_up_certificates import Authority
from waiting import until

from cluster_kit import ClusterKitError, ConfigError, Supervisor, load_config
from cluster_kit.config import Secret
from cluster_kit.node import Node
from cluster_kit.plugins import PluginRegistry
from cluster_kit.supervisor import keychain
from cluster_kit.supervisor.child import SpareWorker

CANARY = "Canary-0f3b-hunter2"
OLDER = "Older-canary-77-hunter3"
SOURCES = ("secret", "secret_file", "environment")


def assert_silent(*texts):
    for text in texts:
        assert CANARY not in str(text)
        assert OLDER not in str(text)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture(params=SOURCES)
def keys(request, tmp_path, monkeypatch):
    """Return the keys of a configuration that takes the canary from one of its sources."""
    keys = {"previous_secrets": [OLDER]}
    if request.param == "secret":
        return keys | {"secret": CANARY}
    if request.param == "environment":
        monkeypatch.setenv("CLUSTER_KIT_SECRET", CANARY)
        return keys
    file = tmp_path / "secret"
    file.write_text(f"{CANARY}\n{OLDER}\n")
    file.chmod(0o600)
    return keys | {"secret_file": str(file)}


def static(**more):
    return {"lan": {"strategy": "static", "config": {"nodes": []}, **more}}


def test_commands_show_none(cluster, keys):
    file = cluster.write("good.yaml", static(), **keys)
    node = cluster.run("a", file=file)
    node.wait_for("ready")
    wait = ("--wait", "0.1")
    for command in (
        ["check", file],
        ["status"],
        ["status", "--json"],
        ["doctor", file, *wait],
        ["nodes", file, *wait],
    ):
        done = cluster_kit(*command)
        assert done.stdout + done.stderr
        assert_silent(done.stdout, done.stderr)
    good = file.read_text()
    for fault in (
        "previous_secrets: 5",
        "secret_file: /none",
        "node: x",
        "topologies: {lan: {strategy: nonsense}}",
    ):
        file.write_text(f"{good[:-1]}, {fault}}}")
        assert_silent(*vars(cluster_kit("check", file)).values())
        number = len(node.errors)
        node.signal(signal.SIGHUP)
        node.until(
            lambda number=number: any("reload" in line for line in node.errors[number:]),
            "the fault",
        )
    file.write_text(good.replace(CANARY, OLDER) if "secret_file" not in keys else good)
    node.signal(signal.SIGTERM)
    assert node.wait() == 0
    assert_silent(node.lines, node.errors)


def test_control_socket_reveals_none(cluster, keys):
    node = cluster.run("a", file=cluster.write("good.yaml", static(), **keys))
    node.wait_for("ready")
    folder = Path(os.environ["XDG_RUNTIME_DIR"]) / "cluster-kit"
    told = until(lambda: _asked(folder), "an answer")
    assert json.loads(told)["topologies"]
    assert_silent(told, *folder.iterdir())


def _asked(folder):
    """Return the whole answer of the socket in ``folder``, once there is one."""
    for path in folder.glob("*") if folder.is_dir() else ():
        with socket.socket(socket.AF_UNIX) as sock, suppress(OSError):
            sock.connect(str(path))
            sock.sendall(b"status\n")
            with sock.makefile() as answer:
                return answer.read()
    return None


def test_processes_of_workers_show_none(cluster, keys):
    node = cluster.run("a", file=cluster.write("good.yaml", static(), **keys))
    node.wait_for("ready")
    workers = psutil.Process(node.process.pid).children(recursive=True)
    assert workers
    for worker in workers:
        assert "CLUSTER_KIT_SECRET" not in worker.environ()
        assert_silent(worker.environ(), worker.cmdline(), worker.open_files())


def test_memory_of_workers_has_none(cluster, keys):
    node = cluster.run("a", file=cluster.write("good.yaml", static(), **keys))
    node.wait_for("ready")
    [worker] = psutil.Process(node.process.pid).children(recursive=True)
    own = Path(f"/proc/{node.process.pid}")
    assert CANARY.encode() in _memory_of(own)  # so it would be found
    assert CANARY.encode() not in _memory_of(Path(f"/proc/{worker.pid}"))
    assert OLDER.encode() not in _memory_of(Path(f"/proc/{worker.pid}"))


def _memory_of(process):
    found = bytearray()
    with (process / "maps").open() as maps, (process / "mem").open("rb", 0) as memory:
        for line in maps:
            area, mode, *_ = line.split()
            if not mode.startswith("rw"):
                continue
            begin, end = (int(each, 16) for each in area.split("-"))
            try:
                memory.seek(begin)
                found += memory.read(end - begin)
            except (OSError, ValueError, OverflowError):
                continue
    return bytes(found)


class TestInAProgram:
    @pytest.fixture
    def config(self, keys):
        return {"node": "a@127.0.0.1", "topologies": static(connector=KeyTelling), **keys}

    def test_worker_sees_none(self, config, caplog):
        caplog.set_level(logging.DEBUG)
        events = []
        with Supervisor(config, control=False) as supervisor:
            supervisor.subscribe(events.append)
            assert_silent(*supervisor.call("lan", "surroundings"))
            assert_silent(supervisor.status(), vars(supervisor))
            with pytest.raises(ClusterKitError) as raised:
                supervisor.call("lan", "surroundings", unknown=1)
            assert_silent(raised.value)
            supervisor.call("lan", "crash")
            until(lambda: supervisor.status()["lan"].restarts, "another worker")
            assert_silent(
                pickle.dumps(supervisor._make_start(supervisor._config.topologies["lan"], ()))
            )
            assert_silent(repr(supervisor._make_start(supervisor._config.topologies["lan"], ())))
        assert events
        assert_silent(events, caplog.text)

    def test_values_show_none(self, config):
        loaded = load_config(config, PluginRegistry.load())
        assert [secret.reveal() for secret in loaded.secrets] == [CANARY, OLDER]
        assert_silent(loaded, loaded.secrets, f"{loaded!s}")

    def test_keys_that_cannot_be_made_reveal_none(self, config, monkeypatch, caplog):
        def derive(secret, cluster):
            raise ValueError(f"about {cluster}")

        monkeypatch.setattr(keychain, "derive", derive)
        supervisor = Supervisor(config)
        with pytest.raises(ClusterKitError, match="about default") as raised:
            supervisor.start()
        assert_silent(caplog.text, *_frames(raised.value))

    def test_tracebacks_with_local_variables_show_none(self, config):
        for fault in (
            {"node": "x"},
            {"topologies": {"lan": {"strategy": "nonsense"}}},
            {"previous_secrets": [5]},
        ):
            faulty = {**config, **fault}
            faulty = {
                key: Secret(value) if key == "secret" else value for key, value in faulty.items()
            }
            if "previous_secrets" not in fault:
                faulty["previous_secrets"] = [Secret(OLDER)]
            with pytest.raises(ConfigError) as raised:
                Supervisor(faulty)
            assert_silent(*_frames(raised.value))


class TestKeyOfACertificate:
    """The canary is the private key in a file, each line of it."""

    @pytest.fixture
    def certs(self, tmp_path):
        return write_folder(tmp_path / "certs", Authority("one").certificates("127.0.0.1"))

    @pytest.fixture
    def assert_silent(self, certs):
        lines = [
            line
            for line in (certs / "tls.key").read_text().splitlines()
            if not line.startswith("-")
        ]
        assert len(lines) > 2

        def assert_silent(*texts):
            for text in texts:
                assert not [line for line in lines if line in str(text)]

        with pytest.raises(AssertionError):
            assert_silent({"key": lines[1]})
        return assert_silent

    def test_commands_show_none(self, cluster, certs, assert_silent):
        file = cluster.write("good.yaml", static(), certs=str(certs))
        node = cluster.run("a", file=file)
        node.wait_for("ready")
        for command in (
            ["check", file],
            ["status"],
            ["status", "--json"],
            ["doctor", file, "--wait", "0.1"],
        ):
            done = cluster_kit(*command)
            assert str(certs) in done.stdout or command[0] == "doctor"
            assert_silent(done.stdout, done.stderr)
        told = json.loads(cluster_kit("status", "--json", "--cluster", cluster.name).stdout)[
            "certificates"
        ]
        assert (told["key"], told["names"]) == (str(certs / "tls.key"), ["127.0.0.1"])
        key = (certs / "tls.key").read_bytes()
        for fault in (
            key[:100],
            key + key[:150],
            key * 300,
            key.replace(b"BEGIN PRIVATE", b"BEGIN"),
        ):
            write(certs / "tls.key", fault)
            done = cluster_kit("check", file)
            assert done.returncode == 2
            assert_silent(done.stdout, done.stderr)
        node.until(
            lambda: any("the last good ones stay in use" in line for line in node.errors),
            "a word on it",
        )
        node.signal(signal.SIGHUP)
        node.until(lambda: any("reload: " in line for line in node.errors), "the fault")
        for worker in psutil.Process(node.process.pid).children(recursive=True):
            assert_silent(worker.environ(), worker.cmdline())
        node.signal(signal.SIGTERM)
        assert node.wait() == 0
        assert_silent(node.lines, node.errors)

    def test_program_and_worker_show_none(self, certs, assert_silent, caplog):
        caplog.set_level(logging.DEBUG)
        config = {
            "node": "a@127.0.0.1",
            "topologies": static(connector=KeyTelling),
            "certs": str(certs),
        }
        with Supervisor(config) as supervisor:
            assert_silent(*supervisor.call("lan", "surroundings"))
            assert_silent(
                supervisor.status(),
                vars(supervisor),
                supervisor._config,
                supervisor._keychain.keyring(),
            )
            assert_silent(repr(supervisor._make_start(supervisor._config.topologies["lan"], ())))
        assert_silent(caplog.text)


def _frames(error):
    """Yield what a traceback with local variables shows of our own frames, and of all causes."""
    whole = traceback.TracebackException.from_exception(error, capture_locals=True)
    while whole is not None:
        yield str(whole)
        yield from (frame.locals for frame in whole.stack if "/cluster_kit/" in frame.filename)
        whole = whole.__cause__ or whole.__context__


def test_spare_worker_inherits_none(monkeypatch):
    monkeypatch.setenv("CLUSTER_KIT_SECRET", CANARY)
    with SpareWorker() as spare:
        assert_silent(psutil.Process(spare._process.pid).environ())
    assert os.environ["CLUSTER_KIT_SECRET"] == CANARY


def test_programs_that_workers_start_inherit_none(monkeypatch):
    monkeypatch.setenv("CLUSTER_KIT_SECRET", CANARY)
    config = {"node": "a@127.0.0.1", "topologies": static(connector=KeyTelling)}
    with Supervisor(config) as supervisor:
        assert supervisor.call("lan", "keys")
        assert_silent(*supervisor.call("lan", "surroundings"))


def test_helper_finds_a_canary():
    with pytest.raises(AssertionError):
        assert_silent(Node(name="a@127.0.0.1", metadata={"canary": CANARY}).metadata)
    done = subprocess.run(
        [sys.executable, "-c", f"print({OLDER!r})"], capture_output=True, text=True, check=True
    )
    with pytest.raises(AssertionError):
        assert_silent(done.stdout)
