"""Applications that harm their supervisor: bad callbacks, odd values, stops at odd moments."""

import asyncio
import contextlib
import json
import logging
import multiprocessing.spawn
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from waiting import next_of, until

from cluster_kit import (
    AsyncSupervisor,
    ClusterKitError,
    CommandError,
    NodeDown,
    NodeUp,
    Supervisor,
    TopologyRestarted,
)
from cluster_kit.supervisor import calls, waiting
from cluster_kit.supervisor.status import State

HANGS = {
    "lan": {
        "strategy": "gossip",
        "connector": "misbehaving:HangsInStart",
        "child_spec": {"shutdown_s": 0.5},
    }
}
DEADLINE_S = 30.0
# that is the point
FORKS = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


class Handler(logging.Handler):
    """Does what a test wants with each record of ours."""

    def __init__(self, act):
        super().__init__()
        self.act = act

    def handle(self, record):
        self.act(record)


@pytest.fixture
def handle():
    """Add a handler to the application's logging, for this test."""
    added = []

    def handle(act):
        handler = Handler(act)
        added.append(handler)
        logging.getLogger("cluster_kit").addHandler(handler)

    yield handle
    for handler in added:
        logging.getLogger("cluster_kit").removeHandler(handler)


@pytest.fixture
def gate():
    """An event to block on, which is set at the end."""
    gate = threading.Event()
    yield gate
    gate.set()


def thread(work, *arguments):
    started = threading.Thread(target=work, args=arguments)
    started.start()
    return started


def kill_worker(supervisor):
    """Kill the worker and see that it is replaced, which is logged."""
    events = supervisor.subscribe()
    os.kill(supervisor.status()["lan"].pid, signal.SIGKILL)
    assert next_of(events, TopologyRestarted).restarts == 1
    until(lambda: supervisor.status()["lan"].state is State.READY, "the successor")


@pytest.mark.parametrize("raised", [RuntimeError, SystemExit])
def test_log_handler_that_raises_costs_no_supervision(bench, handle, raised, capsys):
    def refuse(record):
        raise raised(f"not this one: {record.getMessage()}")

    handle(refuse)
    kill_worker(bench.start("a"))
    bench.stop()
    assert "starting another" in capsys.readouterr().err


def test_log_handler_that_blocks_holds_up_neither_supervision_nor_the_end(bench, handle, gate):
    blocked = threading.Event()

    def block(_):
        blocked.set()
        gate.wait()

    a = bench.start("a")
    handle(block)
    kill_worker(a)
    assert blocked.wait(DEADLINE_S)
    a.stop()
    assert a.join(0)


def test_callback_that_does_not_return_is_named_and_left_behind(bench, gate, caplog):
    a = bench.start("a")

    def blocks(_):
        gate.wait()

    a.subscribe(blocks)
    a.stop()
    assert "blocks has not returned for 2 s" in caplog.text


@pytest.mark.parametrize(
    ("command", "arguments"),
    [("add", {"a": object(), "b": 1}), ("add", {"a": lambda: 0, "b": 1}), (b"add", {}), (None, {})],
    ids=["object", "lambda", "bytes", "none"],
)
def test_odd_argument_is_refused_where_it_is_given(bench, command, arguments):
    a = bench.start(
        "a", lan={"strategy": "misbehaving:Knows", "connector": "misbehaving:HangsInConnect"}
    )
    with pytest.raises(TypeError, match="call: "):
        a.call("lan", command, **arguments)
    assert a.call("lan", "add", a=1, b=2) == 3


@pytest.mark.parametrize("timeout_s", ["3", None, float("nan"), True])
def test_odd_timeout_is_refused(bench, timeout_s):
    a = bench.start(
        "a", lan={"strategy": "misbehaving:Knows", "connector": "misbehaving:HangsInConnect"}
    )
    with pytest.raises(TypeError, match="expected a number of seconds"):
        a.call("lan", "add", timeout_s=timeout_s, a=1, b=2)
    if timeout_s is not None:
        with pytest.raises(TypeError, match="expected a number of seconds"):
            a.wait_for(2, timeout_s=timeout_s)
    for number in ("2", 0):
        with pytest.raises(TypeError, match="expected a number of nodes"):
            a.wait_for(number)


def test_endless_timeout_is_as_long_as_it_takes(bench):
    a = bench.start(
        "a", lan={"strategy": "misbehaving:Knows", "connector": "misbehaving:HangsInConnect"}
    )
    assert a.call("lan", "add", timeout_s=float("inf"), a=1, b=2) == 3


def test_order_that_cannot_be_sent_costs_one_worker_and_no_other_topology(bench):
    a = bench.start("a", lan={"strategy": "gossip"}, wan={"strategy": "misbehaving:Knows"})
    events, wan = a.subscribe(topology="lan"), a.status()["wan"].pid
    a._loop.submit("lan", lambda worker: worker.send(threading.Lock()))
    assert "supervising it failed: TypeError" in next_of(events, TopologyRestarted).error
    until(lambda: a.status()["lan"].state is State.READY, "the successor")
    assert a.status()["wan"].pid == wan


def test_supervising_thread_that_fails_leaves_no_worker_and_says_so(bench):
    a = bench.start("a")
    os.close(a._loop._selector.fileno())
    with pytest.raises(
        ClusterKitError, match="its thread failed, all topologies are stopped: OSError"
    ):
        a.join(DEADLINE_S)
    assert a.status()["lan"].state is State.STOPPED


class TestStop:
    def test_start_that_waits_returns_at_once(self, bench, monkeypatch):
        monkeypatch.setattr(waiting, "_SERVE_S", 3600.0)
        a = Supervisor(bench.config("a", **HANGS))
        starter = thread(a.start)
        until(lambda: a._loop is not None and a.status()["lan"].pid, "a worker")
        a.stop()
        starter.join(DEADLINE_S)
        assert not starter.is_alive()

    def test_at_any_moment_of_the_start_leaves_nothing(self, bench):
        for _ in range(20):
            a = Supervisor(bench.config("a"))
            starter, stopper = thread(a.start), thread(a.stop)
            starter.join(DEADLINE_S)
            stopper.join(DEADLINE_S)
            a.stop()
            assert a.join(0)

    def test_before_the_start_makes_it_nothing(self, bench):
        a = Supervisor(bench.config("a"))
        a.stop()
        with a:
            assert a.join(DEADLINE_S)
            assert a.status()["lan"].state is State.STOPPED

    def test_by_a_signal_handler_amid_our_own_work_does_not_wait_for_itself(self, bench):
        a = bench.start("a")
        with a._bus.changed:
            a.stop()
        assert a.join(DEADLINE_S)

    def test_by_a_callback_ends_everything(self, bench):
        a = bench.start("a")
        a.subscribe(lambda _: a.stop())
        assert a.join(DEADLINE_S)

    def test_of_two_threads_that_start_one_is_refused(self, bench):
        a = bench.start("a")
        with pytest.raises(ClusterKitError, match="already started once"):
            a.start()
        bench.start("b")
        next_of(a.subscribe(), NodeUp, node="b@127.0.0.1")


def test_asyncio_start_that_is_cancelled_leaves_nothing(bench):
    async def give_up():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0), AsyncSupervisor(bench.config("a", **HANGS)):
                pytest.fail("it cannot serve")

    asyncio.run(give_up())


@pytest.mark.parametrize(
    "name", ["cluster-kit-logs", "cluster-kit-events", "cluster-kit-supervisor"]
)
def test_supervisor_that_gets_no_thread_says_so_and_leaves_nothing(bench, monkeypatch, name):
    start = threading.Thread.start

    def refuse(thread):
        if thread.name == name:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(
        ClusterKitError, match="can't start new thread: see 'ulimit -n' and 'ulimit -u'"
    ):
        bench.start("a")


def test_updates_made_while_a_worker_starts_are_not_lost(bench):
    b = bench.start("b")
    a = bench.start("a")
    a.wait_for(2, timeout_s=DEADLINE_S)
    events = b.subscribe()
    os.kill(a.status()["lan"].pid, signal.SIGKILL)
    next_of(events, NodeDown, node="a@127.0.0.1")
    for number in range(20):  # some before the successor runs, some while it starts
        a.update_metadata({"number": str(number)})
        threading.Event().wait(0.02)
    until(
        lambda: [dict(node.metadata) for node in b.nodes()] == [{"number": "19"}],
        "the last metadata",
    )


CLOSES_EVERYTHING = """
import json, os, sys
from cluster_kit import ClusterKitError, Supervisor

a = Supervisor(json.loads(sys.argv[1])).start()
events = a.subscribe()
os.closerange(3, 4096)  # as an application does that becomes a daemon
a.update_metadata({"after": "wards"})
try:
    a.join(30)
except ClusterKitError as exc:
    print(exc)
a.stop()
list(events)
print([str(status.state) for status in a.status().values()])
"""


def test_closed_descriptors_end_the_supervisor_and_are_reported(bench):
    config = bench.config("a", lan={"strategy": "gossip"}, wan={"strategy": "gossip"})
    command = [sys.executable, "-c", CLOSES_EVERYTHING, json.dumps(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    failed = "its thread failed, all topologies are stopped: OSError: [Errno 9] Bad file descriptor"
    assert done.stdout.splitlines() == [f"supervisor: {failed}", "['stopped', 'stopped']"]


HOLDS_MANY = """
import json, os, resource, sys
from cluster_kit import Supervisor

resource.setrlimit(resource.RLIMIT_NOFILE, (2048, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
with Supervisor(json.loads(sys.argv[1])) as a:
    process = a._loop.workers["lan"]._process
    process.join(0.01)
    print(process.channel.fileno() > 1024, a.status()["lan"].restarts)
"""


def test_application_with_many_descriptors_has_workers_all_the_same(bench):
    command = [sys.executable, "-c", HOLDS_MANY, json.dumps(bench.config("a"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "True 0\n", done.stderr


def test_import_path_may_hold_what_python_skips(bench, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, Path("/nowhere")])
    assert bench.start("a").status()["lan"].state is not State.STOPPED


def test_worker_that_cannot_be_started_is_an_error_of_start(bench, monkeypatch):
    monkeypatch.setattr(multiprocessing.spawn, "get_executable", lambda: b"/nowhere/python")
    with pytest.raises(
        ClusterKitError,
        match=r"topology 'lan': cannot start a worker with '/nowhere/python': no such file",
    ):
        bench.start("a")


def test_killed_worker_of_an_application_that_ignores_its_children_is_replaced(bench):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        a = bench.start("a", lan={"strategy": "gossip", "child_spec": {"restart": "transient"}})
        events = a.subscribe()
        os.kill(a.status()["lan"].pid, signal.SIGKILL)
        assert "its exit code was reaped elsewhere" in next_of(events, TopologyRestarted).error
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


@FORKS
def test_forked_child_is_refused_rather_than_hung(bench):
    a = bench.start("a")
    subscription = a.subscribe()
    pid = os.fork()
    if pid == 0:
        refused = 0
        for ask in (a.nodes, a.subscribe, subscription.get, a.status):
            try:
                ask()
            except ClusterKitError:
                refused += 1
        os._exit(refused)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 4


@FORKS
def test_supervisor_made_before_a_fork_runs_in_the_child(bench):
    a = Supervisor(bench.config("a"))
    pid = os.fork()
    if pid == 0:
        with a:
            os._exit(len(a.status()["lan"].sources))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


def test_asyncio_stop_does_not_wait_behind_calls(bench):
    config = bench.config(
        "a", lan={"strategy": "misbehaving:Knows", "connector": "misbehaving:HangsInConnect"}
    )

    async def scenario():
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        async with AsyncSupervisor(config) as a:
            calls = [asyncio.create_task(a.call("lan", "hang", timeout_s=3600.0)) for _ in range(3)]
            await asyncio.sleep(0)
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(result) for result in results} == {CommandError}

    asyncio.run(scenario())


def test_interrupts_leave_no_lock_held(bench):
    a = bench.start("a")

    def interrupt(*_):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(300):
            with contextlib.suppress(KeyboardInterrupt):
                # in here, as a slow machine may take that long to enter
                signal.setitimer(signal.ITIMER_REAL, 0.0005)
                while True:
                    a.nodes()
            assert not a._bus.entered
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def test_signals_that_stop_it_again_and_again_hang_nothing(bench):
    a = bench.start("a")
    depth = 0

    def stop(*_):
        nonlocal depth
        if depth < 5:
            depth += 1
            try:
                a.stop()
            finally:
                depth -= 1

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        assert a.join(DEADLINE_S)
        a.stop()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def test_odd_callback_and_metadata_are_refused_where_they_are_given(bench):
    a = bench.start("a")
    with pytest.raises(TypeError, match="expected a function"):
        a.subscribe(5)
    with pytest.raises(TypeError, match="expected a mapping"):
        a.update_metadata("x")


def test_asyncio_callback_that_raises_cancellederror_goes_on_being_called(bench):
    async def scenario():
        heard, twice = [], asyncio.Event()

        def odd(event):
            heard.append(event)
            if len(heard) > 1:
                twice.set()
            raise asyncio.CancelledError

        async with asyncio.timeout(DEADLINE_S), AsyncSupervisor(bench.config("a")) as a:
            a.subscribe(odd)
            await asyncio.to_thread(bench.start, "b")
            await twice.wait()

    asyncio.run(scenario())


def test_status_is_answered_while_a_worker_starts(bench, monkeypatch):
    monkeypatch.setattr(waiting, "_SERVE_S", 0.5)
    monkeypatch.setattr(calls, "_INSPECT_S", 3600.0)
    assert bench.start("a", **HANGS).status()["lan"].state is State.STARTING
