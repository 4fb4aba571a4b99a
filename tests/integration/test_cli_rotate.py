"""``cluster-kit rotate``: two real nodes on their way from one secret to another."""

import signal
import socket
from contextlib import ExitStack

import pytest
from cli_process import Cluster, cluster_kit
from waiting import until

from cluster_kit import NodeDown, Supervisor

pytestmark = pytest.mark.once

OLD, NEW = "5d41402abc4b2a76b9719d911017c592" * 2, "7d793037a0760186574b0282f2f435e7" * 2


class Node:
    """A supervisor whose secrets are in a file."""

    def __init__(self, name, number, folder, port, stack):
        self.path = folder / name
        self.put(OLD)
        self.downs = []
        config = {
            "node": f"{name}@127.0.0.{number}",
            "cluster": "rotating",
            "secret_file": str(self.path),
            "topologies": {"lan": {"strategy": {"name": "gossip", "port": port}}},
        }
        self.supervisor = stack.enter_context(Supervisor(config, control=True))
        self.supervisor.subscribe(
            lambda event: self.downs.append(event) if isinstance(event, NodeDown) else None
        )

    def put(self, *secrets):
        """Put a new file in the place of the old one, as most programs write files."""
        fresh = self.path.with_suffix(".new")
        fresh.touch(0o600)
        fresh.write_text("".join(f"{secret}\n" for secret in secrets))
        fresh.rename(self.path)


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture
def nodes(tmp_path, monkeypatch):
    port = free_port()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with ExitStack() as stack:
        pair = [
            Node(name, number, tmp_path, port, stack)
            for number, name in enumerate(("ann", "bob"), 1)
        ]
        for node in pair:
            node.supervisor.wait_for(2)
        yield pair


def held(done):
    """Return the rows of the table by node."""
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    return {name: (uses, accepts) for name, uses, accepts, *_ in rows if "@" in name}


def test_each_step_is_safe_once_all_have_taken_the_last_one_and_no_link_is_lost(nodes, tmp_path):
    def check(*secrets):
        file = tmp_path / "next"
        file.touch(0o600)
        file.write_text("\n".join(secrets))
        return cluster_kit("rotate", "ann", "--check", file)

    def all_hold(uses, accepts):
        until(
            lambda: set(held(cluster_kit("rotate", "ann")).values()) == {(uses, accepts)},
            f"all use {uses}",
        )

    now = held(cluster_kit("rotate", "ann"))
    assert now.keys() == {"ann@127.0.0.1", "bob@127.0.0.2"}
    [(old, nothing)] = set(now.values())
    assert nothing == "-"

    assert check(NEW, OLD).returncode == 1
    assert "bob@127.0.0.2 would lose it" in check(NEW).stdout
    assert check(OLD, NEW).returncode == 0
    for node in nodes:
        node.put(OLD, NEW)
    until(
        lambda: "-" not in {accepts for _, accepts in held(cluster_kit("rotate", "ann")).values()},
        "all accept the new one",
    )
    [(_, new)] = set(held(cluster_kit("rotate", "ann")).values())

    assert check(NEW, OLD).returncode == 0
    assert f"still uses {old}" in check(NEW).stdout
    for node in nodes:
        node.put(NEW, OLD)
    all_hold(new, old)
    assert check(NEW).returncode == 0
    for node in nodes:
        node.put(NEW)
    all_hold(new, "-")
    assert [node.downs for node in nodes] == [[], []]


def test_secret_that_is_dropped_too_early_is_warned_about_by_name_and_no_link_is_lost(
    nodes, caplog
):
    ann, bob = nodes

    def drop_warnings():
        return [
            (each.node, each.getMessage())
            for each in caplog.records
            if "dropped a secret" in each.getMessage()
        ]

    ann.put(OLD, NEW)
    bob.put(OLD, NEW)
    until(
        lambda: "-" not in {accepts for _, accepts in held(cluster_kit("rotate", "ann")).values()},
        "all accept the new one",
    )
    ann.put(NEW)
    until(drop_warnings, "a warning", 60)
    [(teller, text)] = drop_warnings()
    assert teller == "ann@127.0.0.1"
    assert "still use: bob@127.0.0.2: give them one" in text
    assert [node.downs for node in nodes] == [[], []]


def test_absent_node_is_named(nodes, tmp_path):
    ann, bob = nodes
    bob.supervisor.stop()
    until(lambda: ann.downs, "bob is down")
    file = tmp_path / "next"
    file.touch(0o600)
    file.write_text(f"{OLD}\n{NEW}\n")
    done = cluster_kit("rotate", "ann", "--check", file)
    assert done.returncode == 3
    assert "absent: bob@127.0.0.2" in done.stdout


def test_missing_file_and_missing_supervisor_are_reported(nodes, tmp_path):
    done = cluster_kit("rotate", "--check", tmp_path / "none")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no such file" in done.stderr
    done = cluster_kit("rotate", "carl")
    assert done.returncode == 1
    assert "no supervisor of yours is 'carl'" in done.stderr


def test_step_is_not_safe_while_a_node_does_not_answer(nodes, tmp_path):
    file = tmp_path / "next"
    file.touch(0o600)
    file.write_text(f"{OLD}\n{NEW}\n")
    with Cluster(tmp_path) as cluster:
        carl = cluster.run("carl")
        carl.wait_for("ready")
        carl.signal(signal.SIGSTOP)
        done = cluster_kit("rotate", "--check", file)
        assert done.returncode == 1
        assert f"process {carl.process.pid} does not answer" in done.stderr
        assert "safe for ann@127.0.0.1" in done.stdout
        done = cluster_kit("rotate", "carl", "--check", file)
        assert (done.returncode, done.stdout) == (1, "")
        assert "secret" not in done.stderr
