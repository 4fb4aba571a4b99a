"""An application that is killed, frozen, forked, forgetful or holds its GIL harms no other."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from waiting import until

HERE = Path(__file__).parent
GOSSIP = {"strategy": "gossip"}


class App:
    """An application process whose event lines are read as they come."""

    def __init__(self, config):
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "app.py"), json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.lines = []
        self._fresh = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.pids = self.wait("pids")["pids"]

    def _read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            self.lines.append(event)
            self._fresh.put(event)

    def wait(self, kind, timeout_s=30, **fields):
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                event = self._fresh.get(timeout=max(0.01, deadline_s - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no {kind} {fields} within {timeout_s} s; heard: {self.lines[-20:]}")
            if event["event"] == kind and all(
                event.get(key) == value for key, value in fields.items()
            ):
                return event

    def say(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def signal_all(self, number):
        for pid in [self.process.pid, *self.pids.values()]:
            os.kill(pid, number)

    def end(self):
        if self.process.poll() is None:
            self.signal_all(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self._reader.join()
        self.process.stdout.close()
        until(lambda: not any(map(alive, self.pids.values())), "workers gone", timeout_s=8)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def apps(bench):
    started = []

    def start(name, **topologies):
        app = App(bench.config(name, **topologies))
        started.append(app)
        return app

    yield start
    for app in started:
        with contextlib.suppress(ProcessLookupError):
            app.end()


def kinds(app, *wanted):
    return [(e["event"], e.get("node")) for e in app.lines if e["event"] in wanted]


@pytest.mark.parametrize(
    "sick", ["BlocksTheLoop", "SpinsTheLoop", "HoldsTheLock", "NeverSaysGoodbye", "Knows"]
)
def test_no_worker_outlives_a_killed_application(apps, sick):
    app = apps("a", lan=GOSSIP, sick={"strategy": f"misbehaving:{sick}", "connector": "none"})
    app.process.kill()
    until(lambda: not any(map(alive, app.pids.values())), "workers gone", timeout_s=8)


def test_workers_of_a_killed_application_say_goodbye(apps):
    a, b = apps("a"), apps("b")
    a.wait("NodeUp", node="b@127.0.0.1")
    b.process.kill()
    assert a.wait("NodeDown", node="b@127.0.0.1")["reason"] == "left"


def test_application_that_forgets_to_stop_leaves_nothing(apps):
    a, b = apps("a"), apps("b")
    a.wait("NodeUp", node="b@127.0.0.1")
    b.say("forget")
    assert b.process.wait(20) == 0
    assert a.wait("NodeDown", node="b@127.0.0.1")["reason"] == "left"


def test_held_interpreter_lock_kills_no_worker_and_no_link(apps):
    a, b = apps("a"), apps("b")
    a.wait("NodeUp", node="b@127.0.0.1")
    b.wait("NodeUp", node="a@127.0.0.1")
    a.say("gil 10")
    a.wait("released", timeout_s=60)
    a.say("status")
    assert a.wait("status")["restarts"] == {"lan": 0}
    assert kinds(a, "NodeDown") == kinds(b, "NodeDown") == []


def test_machine_resumed_after_a_stop_reports_no_node_down(apps):
    members = [apps(name) for name in "abc"]
    for member in members:
        until(lambda member=member: len(kinds(member, "NodeUp")) == 2, "three nodes linked")
    for member in members:
        member.signal_all(signal.SIGSTOP)
    threading.Event().wait(10)  # the stop itself is what is tested
    for member in members:
        member.signal_all(signal.SIGCONT)
    for member in members:
        member.say("status")
        assert member.wait("status")["restarts"] == {"lan": 0}
    threading.Event().wait(5)  # longer than any judge of silence takes
    assert [kinds(member, "NodeDown", "TopologyRestarted") for member in members] == [[], [], []]


def test_frozen_node_is_reported_silent_and_back_exactly_once(apps):
    a, b, c = (apps(name) for name in "abc")
    for member in (a, b, c):
        until(lambda member=member: len(kinds(member, "NodeUp")) == 2, "three nodes linked")
    c.signal_all(signal.SIGSTOP)
    for member in (a, b):
        assert member.wait("NodeDown", node="c@127.0.0.1")["reason"] == "silent"
    c.signal_all(signal.SIGCONT)
    for member in (a, b):
        until(
            lambda member=member: kinds(member, "NodeUp").count(("NodeUp", "c@127.0.0.1")) == 2,
            "healed",
        )
        assert kinds(member, "NodeDown") == [("NodeDown", "c@127.0.0.1")]
        assert kinds(member, "NodeUp").count(("NodeUp", "c@127.0.0.1")) == 2


def test_of_two_live_processes_of_one_name_the_first_keeps_its_links(apps):
    a, twin_1 = apps("a"), apps("twin")
    a.wait("NodeUp", node="twin@127.0.0.1")
    twin_2 = apps("twin")
    assert twin_2.wait("TopologyEvent")["kind"] == "name_conflict"
    assert kinds(a, "NodeDown") == []
    assert kinds(twin_1, "NodeDown") == []
    twin_1.process.kill()
    twin_2.wait("NodeUp", node="a@127.0.0.1", timeout_s=60)


def test_node_restarted_at_once_under_its_name_is_back(apps):
    a, b = apps("a"), apps("b")
    a.wait("NodeUp", node="b@127.0.0.1")
    b.signal_all(signal.SIGKILL)
    apps("b").wait("NodeUp", node="a@127.0.0.1")
    until(lambda: len(kinds(a, "NodeUp")) == 2, "b is back")
    assert kinds(a, "NodeUp", "NodeDown") == [
        (kind, "b@127.0.0.1") for kind in ("NodeUp", "NodeDown", "NodeUp")
    ]


def test_two_topologies_in_one_process_on_one_port_form_apart(apps):
    both = {"red": GOSSIP, "blue": GOSSIP}
    a, b = apps("a", **both), apps("b", **both)
    until(lambda: len(kinds(a, "NodeUp")) == 2, "both linked")
    assert sorted(e["topology"] for e in a.lines if e["event"] == "NodeUp") == ["blue", "red"]
    assert b.process.poll() is None


FORKS = """
import json, os, signal, sys
from cluster_kit import Supervisor

supervisor = Supervisor(json.loads(sys.argv[1])).start()
child = os.fork()  # has its copies of all descriptors, the pipes to the workers included
if child == 0:
    signal.pause()
workers = [status.pid for status in supervisor.status().values()]
print(json.dumps({"child": child, "workers": workers}), flush=True)
signal.pause()
"""


@pytest.mark.parametrize("sick", ["Knows", "BlocksTheLoop", "HoldsTheLock"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_no_worker_outlives_an_application_whose_forked_child_lives_on(
    bench, monkeypatch, sick, number
):
    monkeypatch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
    config = json.dumps(
        bench.config("a", sick={"strategy": f"misbehaving:{sick}", "connector": "none"})
    )
    app = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", FORKS, config], stdout=subprocess.PIPE, text=True
    )
    told = json.loads(app.stdout.readline())
    try:
        app.send_signal(number)
        app.wait(10)
        until(lambda: not any(map(alive, told["workers"])), "workers gone", timeout_s=8)
        assert alive(told["child"])
    finally:
        os.kill(told["child"], signal.SIGKILL)
        app.stdout.close()
