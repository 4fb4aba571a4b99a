"""A machine on which nothing can be written: a read-only root and no folder for temporary files."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
from cli_process import COMMAND, Cluster, Run
from waiting import until

pytestmark = [pytest.mark.once, pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")]

READ_ONLY = """
set -e
mount --make-rprivate /
[ -z "$1" ] || mount -t tmpfs tmpfs "$1"
for folder in $(cut -d' ' -f2 /proc/self/mounts); do
    [ "$folder" = "$1" ] || mount -o remount,bind,ro "$folder" 2>/dev/null || true
done
shift
exec "$@"
"""

EMBEDDED = """
import logging
import sys
import threading

from cluster_kit import Supervisor

logging.basicConfig()
topologies = {"lan": {"strategy": "gossip"}}
config = {"node": "x@127.0.0.1", "cluster": sys.argv[1], "topologies": topologies}
with Supervisor(config, control=True) as supervisor:
    print(supervisor.status()["lan"].pid is not None)
print([thread.name for thread in threading.enumerate()])
"""


@pytest.fixture(autouse=True)
def _no_folders(monkeypatch, require):
    require("unshare")
    for name in ("XDG_RUNTIME_DIR", "TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, "/nonexistent")


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path) as cluster:
        yield cluster


def read_only(*command, writable=""):
    """Return what runs ``command`` where only ``writable`` can be written to; it is empty then."""
    return ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", str(writable), *map(str, command)]


def run_to_end(*command):
    return subprocess.run(read_only(*command), cwd="/", capture_output=True, text=True, timeout=60)


class ReadOnlyRun(Run):
    def __init__(self, file, writable=""):
        command = read_only(
            COMMAND, "run", file, "--name", "a@127.0.0.1", "--events", "json", writable=writable
        )
        super(Run, self).__init__(*command, cwd="/")

    def status(self):
        """Ask in the place where it runs."""
        command = ["nsenter", f"--target={self.process.pid}", "--mount", COMMAND, "status"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_node_runs_without_a_control_socket_and_says_so(cluster):
    node = cluster.keep(ReadOnlyRun(cluster.file))
    node.wait_for("ready")
    node.until(lambda: node.errors, "the warning")
    [warning] = node.errors
    unseen = "no control socket, 'cluster-kit status' won't see this process"
    assert f"WARNING cluster-kit: control: {unseen}: there is no" in warning
    assert warning.endswith("set XDG_RUNTIME_DIR to a folder of yours that can be written to")
    asked = node.status()
    assert asked.returncode == 1
    none = "no supervisor of yours runs on this machine, or it has no control socket"
    assert asked.stderr.startswith(f"cluster-kit: status: {none}")
    assert asked.stderr.endswith(
        "there is no folder for control sockets: set XDG_RUNTIME_DIR, the same for both\n"
    )
    node.signal(signal.SIGINT)
    assert node.wait() == 0


def test_folder_for_temporary_files_is_not_needed_where_there_is_one_for_sockets(
    cluster, tmp_path_factory, monkeypatch
):
    folder = tmp_path_factory.mktemp("run")  # a short path: 107 bytes is all that a socket may have
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    node = cluster.keep(ReadOnlyRun(cluster.file, writable=folder))
    node.wait_for("ready")
    # the socket is opened once the node is ready
    until(lambda: node.status().returncode == 0, "an answer")
    asked = node.status()
    assert (asked.returncode, asked.stderr) == (0, "")
    assert asked.stdout.startswith("a@127.0.0.1: process")
    node.signal(signal.SIGTERM)
    assert node.wait() == 0
    assert node.errors == []


def test_program_starts_without_a_control_socket(cluster):
    done = run_to_end(sys.executable, "-c", EMBEDDED, cluster.name)
    assert done.stdout.splitlines() == ["True", "['MainThread']"]
    assert "control: no control socket" in done.stderr
    assert "Traceback" not in done.stderr


def test_demo_needs_no_folder():
    done = run_to_end(COMMAND, "demo", "--nodes", "2", "--once")
    assert done.returncode == 0, done.stdout + done.stderr


def test_commands_that_write_say_why_they_cannot():
    done = run_to_end(COMMAND, "new", "strategy", "thing")
    assert done.returncode == 1
    expected = (
        "cluster-kit: new: cannot write to 'cluster-kit-thing': read-only file system; see "
        "--directory\n"
    )
    assert done.stderr == expected
    done = run_to_end(COMMAND, "certs", "pki", "10.0.0.1")
    assert done.returncode == 1
    expected = (
        "cluster-kit: certs: cannot write to 'pki': read-only file system; name a folder that you "
        "can write to\n"
    )
    assert done.stderr == expected


def test_machine_is_read_only(tmp_path):
    """What the others rest on."""
    done = run_to_end("touch", tmp_path / "x", "/tmp/x", "/dev/shm/x", "/x")
    assert done.stderr.count("Read-only file system") == 4
    assert shutil.which("nsenter")
