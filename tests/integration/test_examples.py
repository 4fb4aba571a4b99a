"""Every example does what its docstring says, as several real processes."""

import os
import secrets
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cli_process import Process, Run

pytestmark = pytest.mark.once

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def start():
    processes = []

    def start(kind, *arguments, **options):
        processes.append(kind(*arguments, **options))
        return processes[-1]

    yield start
    for process in processes:
        process.end()


@pytest.fixture
def names():
    """Names that no other cluster on this machine uses: the examples' clusters are open to all."""
    mark = secrets.token_hex(4)
    return f"a-{mark}", f"b-{mark}"


@pytest.fixture
def book(tmp_path):
    """Return the environment of each node of a phone book with free ports."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in "abc"]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    path = tmp_path / "phonebook.txt"
    path.write_text(
        "".join(
            f"{name}@127.0.0.1 127.0.0.1:{port}\n" for name, port in zip("abc", ports, strict=True)
        )
    )
    return [os.environ | {"PHONE_BOOK": str(path), "PORT": str(port)} for port in ports]


class Typed(Process):
    """A process that somebody types at."""

    def __init__(self, *command):
        super().__init__(*command, stdin=subprocess.PIPE)

    def say(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def end(self):
        self.process.stdin.close()
        super().end()


def script(name, *arguments):
    return sys.executable, EXAMPLES / name, *arguments


@pytest.mark.parametrize("example", ["embed.py", "async_app.py"])
def test_embedded_nodes_report_each_other(start, names, example):
    a, b = (start(Process, *script(example, name)) for name in names)
    a.until_printed(f" {names[1]}@127.0.0.1")
    b.until_printed(f" {names[0]}@127.0.0.1")
    b.signal(signal.SIGINT)
    a.until_printed(f"left: {names[1]}@127.0.0.1")
    assert b.wait() == 0
    assert a.errors == b.errors == []


def test_asyncio_program_keeps_working(start, names):
    a, _ = (start(Process, *script("async_app.py", name)) for name in names)
    a.until(lambda: sum(line.startswith("working, others here: ") for line in a.lines) >= 3, "work")


def test_homemade_strategy_and_topology(start, book):
    folder = EXAMPLES / "homemade"
    a = start(Run, "cluster.yaml", cwd=folder, env=book[0])
    b = start(Run, "cluster.yaml", "--name", "b", cwd=folder, env=book[1])
    c = start(Process, *script("homemade/app.py"), env=book[2])
    for neighbour in "ac":
        b.wait_for("node_up", node=f"{neighbour}@127.0.0.1")
    a.wait_for("node_up", node="b@127.0.0.1")
    # the link may be up before the program listens
    linked = {"Snapshot b@127.0.0.1", "NodeUp b@127.0.0.1"}
    c.until(lambda: linked & set(c.lines), "b is up")
    a.wait_for("node_found", node="c@127.0.0.1")
    assert a.heard("node_up") == [("node_up", "b@127.0.0.1")]
    c.signal(signal.SIGINT)
    assert b.wait_for("node_down", node="c@127.0.0.1")["reason"] == "left"
    assert c.wait() == 0


def test_the_oldest_is_on_duty_until_it_leaves(start):
    names = [f"{basename}-{secrets.token_hex(4)}" for basename in "abc"]
    nodes = []
    for name in names:
        nodes.append(start(Process, *script("oldest.py", name)))
        nodes[-1].until_printed("waiting")
        nodes[0].until_printed(f" {name}@127.0.0.1" if len(nodes) > 1 else "on duty")
    nodes[0].signal(signal.SIGINT)
    nodes[1].until_printed("on duty")
    assert nodes[0].wait() == 0
    nodes[1].until_printed(f"working, for all of: {names[2]}@127.0.0.1")
    assert "on duty" not in nodes[2].lines
    assert [node.errors for node in nodes] == [[], [], []]


def test_a_cache_loads_once_and_drops_everywhere(start, names):
    nodes = [start(Typed, *script("cache.py", name)) for name in names]
    for node, other in zip(nodes, reversed(names), strict=True):
        node.until_printed("get KEY or drop KEY")
        while not any(f"{other}@127.0.0.1" in line for line in node.lines):
            count = len(node.lines)
            node.say("nodes")
            node.until(lambda node=node, count=count: len(node.lines) > count, "an answer")
    for node in nodes:
        node.say("get apple")
        node.until_printed("apple of ")
    assert sum(line == "loading apple" for node in nodes for line in node.lines) == 1
    nodes[1].say("drop apple")
    nodes[1].until_printed("told: 1")
    for node in nodes:
        node.say("get apple")
        node.until(
            lambda node=node: sum(line.startswith("apple of ") for line in node.lines) == 2,
            "a fresh apple",
        )
    assert sum(line == "loading apple" for node in nodes for line in node.lines) == 2


def test_backends_are_listed_while_they_run(start, names, tmp_path):
    folder = EXAMPLES / "backends"
    lists = [tmp_path / "a.conf", tmp_path / "b.conf"]
    a, b = (
        start(
            Run,
            "cluster.yaml",
            "--name",
            name,
            cwd=folder,
            env=os.environ | {"HTTP_PORT": port, "BACKENDS": str(path)},
        )
        for name, port, path in zip(names, ["8001", "8002"], lists, strict=True)
    )
    a.wait_for("node_up", node=f"{names[1]}@127.0.0.1")
    b.wait_for("node_up", node=f"{names[0]}@127.0.0.1")
    assert f"server 127.0.0.1:8002;  # {names[1]}@127.0.0.1\n" in lists[0].read_text()
    b.signal(signal.SIGTERM)
    assert b.wait() == 0
    assert lists[1].read_text() == ""
    a.wait_for("node_down", node=f"{names[1]}@127.0.0.1")
    assert names[1] not in lists[0].read_text()


def test_homemade_names_the_ports_of_its_phone_book():
    folder = EXAMPLES / "homemade"
    ports = [
        line.rpartition(":")[2] for line in (folder / "phonebook.txt").read_text().splitlines()
    ]
    assert ports[0] in (folder / "cluster.yaml").read_text()
    assert ports[2] in (folder / "app.py").read_text()


def test_pool_grows_and_shrinks_and_does_each_job_once(start):
    workers = {name: start(Process, *script("pool.py", "worker", name)) for name in "ab"}
    for worker in workers.values():
        worker.until_printed("working")
    boss = start(Process, *script("pool.py", "boss", "30"))
    boss.until_printed("2 at work")

    workers.pop("b").signal_all(signal.SIGKILL)
    boss.until_printed("closed: b@127.0.0.1; 1 at work")
    workers["c"] = start(Process, *script("pool.py", "worker", "c"))
    boss.until_printed("hired: c@127.0.0.1; 2 at work")

    assert boss.wait(120) == 0
    done = [line.partition(",")[0] for line in boss.lines if " primes below " in line]
    assert sorted(int(line.rpartition(" ")[2]) for line in done) == [
        10_000 * number for number in range(1, 31)
    ]
    assert "1229 primes below 10000" in done
    for worker in workers.values():
        worker.signal(signal.SIGINT)
    assert [worker.wait() for worker in workers.values()] == [0, 0]
    assert [process.errors for process in (boss, *workers.values())] == [[], [], []]
