"""Processes rotate their secret under load while one of them is stopped: no other link is lost.

``tox -e attacks`` does so with fifty nodes.
"""

import itertools
import secrets
import signal
import threading

import pytest
from cli_process import Cluster, cluster_kit
from waiting import until
from watched import FULL, free_port

from cluster_kit import Supervisor

pytestmark = [pytest.mark.once, pytest.mark.timeout(3600 if FULL else 120)]

NODES = 50 if FULL else 8
FORMATION_S = 600.0 if FULL else 60.0
GUEST = "guest@127.0.1.2"
UPDATE_S = 0.01  # between two changes of metadata, which go to everybody


class Rotating(Cluster):
    """A cluster, each node of which has a secret file of its own."""

    def __init__(self, folder, secret):
        super().__init__(folder)
        self._gossip = {"name": "gossip", "port": free_port()}
        self._files = {}
        self.nodes = {}
        for number in range(1, NODES + 1):
            self.nodes[self._name(number)] = self._start(number, secret)

    def _name(self, number):
        return f"n{number}@127.0.0.{number}"

    def _start(self, number, secret):
        name = self._name(number)
        self._files[name] = self.folder / f"secret{number}"
        self.put(secret, nodes=[name])
        return self.run(name, file=self.write(f"n{number}.yaml", **self._keys(name)))

    def _keys(self, name):
        return {
            "topologies": {"lan": {"strategy": self._gossip}},
            "secret_file": str(self._files[name]),
        }

    def put(self, *held, nodes=None):
        """Give nodes another file, all of them by default."""
        for name in nodes or self.nodes:
            self.ready(*held).rename(self._files[name])

    def ready(self, *held):
        """Return a file of these secrets."""
        file = self.folder / "next"
        file.touch(0o600)
        file.write_text("".join(f"{secret}\n" for secret in held))
        return file

    def config(self, name, like):
        """Return the configuration of one more node that shares a file with another one."""
        return {"cluster": self.name, "node": name, **self._keys(like)}


class Load(threading.Thread):
    """A node with ever-changing metadata and a guest that comes and goes; all must link to them."""

    def __init__(self, cluster):
        super().__init__()
        self._cluster = cluster
        self._may_end = threading.Event()
        self.visits = 0
        self.failure = None

    def run(self):
        try:
            with Supervisor(self._cluster.config("busy@127.0.1.1", like="n1@127.0.0.1")) as busy:
                visits = threading.Thread(target=self._visit)
                visits.start()
                for count in itertools.count():
                    if self._may_end.wait(UPDATE_S):
                        break
                    busy.update_metadata({"count": str(count)})
                visits.join()
        except Exception as exc:  # noqa: BLE001 - ``end`` raises it
            self.failure = exc

    def _visit(self):
        try:
            while not self._may_end.is_set():
                with Supervisor(self._cluster.config(GUEST, like="n2@127.0.0.2")) as guest:
                    # but for one that may be stopped
                    guest.wait_for(NODES + 1, timeout_s=FORMATION_S)
                self.visits += 1
        except Exception as exc:  # noqa: BLE001 - ``end`` raises it
            self.failure = exc

    def end(self):
        self._may_end.set()
        self.join()
        if self.failure:
            raise self.failure


@pytest.fixture
def old():
    return secrets.token_hex(32)


@pytest.fixture
def cluster(tmp_path, monkeypatch, old):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # of the control sockets
    with Rotating(tmp_path, old) as cluster:
        yield cluster


def links(node, names):
    """Return how many links to others in ``names`` a node has reported."""
    return sum(name in names for _, name in node.heard("node_up"))


def until_reported(node, expected, name):
    """Wait until a node has reported this of the link to another one, in order."""
    told = [f"node_{each}" for each in expected]
    node.until(
        lambda: [event for event, other in node.heard(*told) if other == name] == told,
        f"{told}",
        FORMATION_S,
    )


def is_safe(file):
    """Return whether a first node may get this file: only the guest is sometimes absent."""
    verdict = cluster_kit("rotate", "n1", "--check", file).stdout.splitlines()[-1]
    return verdict.startswith("safe for") and verdict.partition("; absent: ")[2] in ("", GUEST)


def test_rotation_under_load_loses_no_link_and_a_suspended_node_returns(cluster, old):
    new = secrets.token_hex(32)
    names = set(cluster.nodes)
    sleeper = f"n{NODES}@127.0.0.{NODES}"
    awake = names - {sleeper}
    for node in cluster.nodes.values():
        node.until(lambda node=node: links(node, names) == NODES - 1, "a full mesh", FORMATION_S)

    def until_safe(*held):
        until(lambda: is_safe(cluster.ready(*held)), f"safe: {held}", FORMATION_S)

    load = Load(cluster)
    load.start()
    try:
        until(lambda: load.visits or load.failure, "a visit", FORMATION_S)
        until_safe(old, new)
        cluster.put(old, new)

        until_safe(new, old)
        cluster.nodes[sleeper].signal_all(signal.SIGSTOP)
        cluster.put(new, old, nodes=awake)
        for name in awake:
            until_reported(cluster.nodes[name], ["up", "down"], sleeper)
            assert cluster.nodes[name].wait_for("node_down", node=sleeper)["reason"] == "silent"
        before = load.visits
        until(
            lambda: load.visits > before + 1 or load.failure,
            "a visit under the new secret",
            FORMATION_S,
        )
        cluster.nodes[sleeper].signal_all(signal.SIGCONT)
        for name in awake:
            until_reported(cluster.nodes[name], ["up", "down", "up"], sleeper)
        cluster.put(new, old, nodes=[sleeper])

        until_safe(new)
        cluster.put(new)
        until_safe(new, secrets.token_hex(32))
        before = load.visits
        until(
            lambda: load.visits > before + 1 or load.failure,
            "a visit under the new secret alone",
            FORMATION_S,
        )
    finally:
        load.end()
    for name in awake:
        downs = [other for _, other in cluster.nodes[name].heard("node_down") if other in names]
        assert downs == [sleeper]
