"""Ctrl-C while a command still imports: it exits as shells expect, silent and without a trace."""

import signal
import subprocess
import sys

import pytest
from cli_process import Cluster

AT_IMPORT = """
import os
import signal
import sys

module = sys.argv.pop(1)


class Interrupting:
    def find_spec(self, name, *_):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)


sys.meta_path.insert(0, Interrupting())
from cluster_kit.cli.__main__ import main

main()
"""


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path) as cluster:
        yield cluster


def interrupted(module, *command, **options):
    """Run a command that gets SIGINT when it begins to import ``module``."""
    return subprocess.run(
        [sys.executable, "-c", AT_IMPORT, module, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


@pytest.mark.parametrize(
    "module",
    [
        "click",
        "cluster_kit.cli.run",
        "cluster_kit.supervisor.child",
        "msgspec",
        "yaml",
        "cluster_kit.strategies.gossip",
        "cluster_kit.supervisor.supervisor",
    ],
)
def test_run_interrupted_during_imports_exits_silently(cluster, tmp_path, module):
    done = interrupted(module, "run", cluster.file)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
    assert list(tmp_path.glob("cluster-kit/*")) == []


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("yaml", ["check", "FILE"]),
        ("cluster_kit.supervisor.supervisor", ["nodes", "FILE"]),
        ("cluster_kit.cli.doctor.report", ["doctor", "FILE"]),
        ("cluster_kit.supervisor.control_client", ["status"]),
        ("cluster_kit.cli.demo.board", ["demo"]),
        ("cluster_kit.plugins", ["plugins"]),
        ("cluster_kit.config.schema", ["schema"]),
        ("cluster_kit.cli.new.distribution", ["new", "strategy", "thing"]),
        ("cluster_kit.cli.manifest", ["manifest", "kubernetes"]),
        ("cluster_kit.cli.secret", ["secret", "--output", "secret"]),
        ("cluster_kit.security.issuing", ["certs", "pki", "10.0.0.1"]),
    ],
)
def test_every_command_interrupted_during_imports_exits_silently(
    cluster, tmp_path, module, command
):
    done = interrupted(
        module, *(cluster.file if each == "FILE" else each for each in command), cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cluster.yaml"]


def test_run_that_has_begun_leaves_with_a_goodbye(cluster):
    node = cluster.run("a")
    node.wait_for("ready")
    node.signal(signal.SIGINT)
    assert node.wait() == 0


def test_interrupt_that_is_to_be_ignored_is_ignored(cluster):
    done = subprocess.run(
        [
            "sh",
            "-c",
            'trap "" INT; exec "$@"',
            "sh",
            sys.executable,
            "-c",
            AT_IMPORT,
            "yaml",
            "check",
            cluster.file,
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
