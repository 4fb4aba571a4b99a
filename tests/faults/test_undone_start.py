"""Whatever a start raises, wherever, nothing of it is left: the fixture around each test checks."""

import asyncio
import itertools
import selectors
import sys
import threading

import pytest

from cluster_kit import AsyncSupervisor, ClusterKitError, Supervisor
from cluster_kit.supervisor import child, control, reconfiguration, supervisor
from cluster_kit.supervisor.control import ControlSocket
from cluster_kit.supervisor.delivery import Delivery
from cluster_kit.supervisor.file_watch import FileWatch
from cluster_kit.supervisor.keychain import Keychain
from cluster_kit.supervisor.logs import LogRelay
from cluster_kit.supervisor.loop import SupervisingLoop

TWO = {
    "topologies": {
        "one": {"strategy": {"name": "static", "nodes": []}},
        "two": {"strategy": {"name": "static", "nodes": []}},
    }
}
PARTS = (SupervisingLoop, Delivery, LogRelay, Supervisor, Keychain, FileWatch)
TRACED = {each.__init__.__code__.co_filename for each in PARTS}
STARTING = {
    "_start",
    "start",
    "_start_threads",
    "_open_control",
    "begin",
    "_begun",
    "keyring",
    "open",
}

STEPS = {
    "beginning with the keys": (Keychain, "begin"),
    "awaiting the keys": (Keychain, "keyring"),
    "watching the secret's file": (FileWatch, "open"),
    "looking for earlier workers": (supervisor, "reap_earlier_workers"),
    "making the loop": (supervisor, "SupervisingLoop"),
    "making the selector": (selectors, "DefaultSelector"),
    "starting to log": (LogRelay, "start"),
    "starting to deliver": (Delivery, "start"),
    "starting the loop": (SupervisingLoop, "start"),
    "awaiting the workers": (supervisor, "await_serving"),
    "opening the control socket": (ControlSocket, "open"),
    "finding a folder for it": (control, "control_folders"),
}
ERRORS = [
    FileNotFoundError(2, "no usable temporary directory"),
    MemoryError("none"),
    KeyboardInterrupt(),
    SystemExit(3),
]


def raising(error):
    def step(*_, **__):
        raise error

    return step


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_step_that_raises_undoes_those_before(monkeypatch, step, error):
    starting = Supervisor(TWO, control=True)
    monkeypatch.setattr(*step, raising(error))
    if step == STEPS["finding a folder for it"] and isinstance(error, OSError):
        with starting:  # there is a warning, and no control socket
            assert starting._control is not None
        return
    with pytest.raises((type(error), ClusterKitError)):
        starting.start()
    assert starting._loop is None or starting.join(0)
    starting.stop()


@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("begun", [False, True], ids=["refused", "interrupted"])
def test_thread_that_cannot_be_started_is_undone(monkeypatch, number, begun):
    """The threads of log, delivery and loop, and one per worker, which a second attempt may get."""
    count, start = itertools.count(1), threading.Thread.start

    def limited(thread):
        if next(count) != number:
            return start(thread)
        if not begun:
            raise RuntimeError("can't start new thread")
        start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", limited)
    starting = Supervisor(TWO)
    try:
        starting.start()
    except (KeyboardInterrupt, ClusterKitError):
        assert starting._loop.join(0)
    else:
        assert number > 3
        starting.stop()


async def stock(message):
    return 7


FUNCTIONS = {
    "subscriber": ("cluster-kit-topic", lambda topic: topic.subscribe(print)),
    "answering coroutine": ("cluster-kit-answers-loop", lambda topic: topic.answer(stock)),
}


@pytest.mark.parametrize("begun", [False, True], ids=["refused", "interrupted"])
@pytest.mark.parametrize(("name", "register"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_start_without_a_thread_for_a_function_is_undone(monkeypatch, name, register, begun):
    start = threading.Thread.start

    def limited(thread):
        if begun or thread.name != name:
            start(thread)
        if thread.name == name:
            raise KeyboardInterrupt if begun else RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", limited)
    starting = Supervisor(TWO)
    register(starting.topic("prices", topology="one"))
    with pytest.raises((KeyboardInterrupt, ClusterKitError)):
        starting.start()
    assert starting._loop.join(0)


@pytest.mark.parametrize("step", ["socketpair", "Popen"])
def test_worker_that_cannot_be_had_undoes_the_other(monkeypatch, step):
    owner = {"socketpair": child.socket, "Popen": child.subprocess}[step]
    count, real = itertools.count(1), getattr(owner, step)

    def limited(*args, **kwargs):
        if next(count) >= 2:
            raise OSError(11, "Resource temporarily unavailable")
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, step, limited)
    with pytest.raises(
        ClusterKitError, match=r"topology 'two': cannot start a worker: resource .* see 'ulimit -u'"
    ):
        Supervisor(TWO).start()


class Interrupter:
    """Raises at the so-manieth line of what starts a supervisor."""

    def __init__(self, at):
        self.left = at

    def __call__(self, frame, event, _):
        code = frame.f_code
        if (
            code.co_filename not in TRACED
            or code.co_name not in STARTING
            or code is Supervisor.start.__code__
        ):
            return None  # at its last line, an interrupt is as good as after it
        if event == "line":
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
        return self


@pytest.mark.parametrize("protected", [False, True])
def test_interrupt_at_any_line_of_the_start_leaves_nothing(tmp_path, protected):
    file = tmp_path / "secret"
    file.write_text("secret")
    file.chmod(0o600)
    config = TWO | ({"secret_file": str(file)} if protected else {})
    for at in itertools.count(1):
        starting, interrupter = Supervisor(config, control=True), Interrupter(at)
        sys.settrace(interrupter)
        try:
            starting.start()
        except KeyboardInterrupt:
            continue
        finally:
            sys.settrace(None)
            if interrupter.left > 0:
                starting.stop()
        break
    assert at > 20


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_asyncio_start_is_undone_the_same(monkeypatch, step):
    starting = AsyncSupervisor(TWO, control=True)

    async def scenario():
        with monkeypatch.context() as patch:
            patch.setattr(*step, raising(LookupError("odd")))
            await starting.start()

    with pytest.raises((LookupError, ClusterKitError)):
        asyncio.run(scenario())


def test_topology_that_is_added_is_undone_by_whatever_is_raised(monkeypatch):
    with Supervisor(TWO) as running:
        monkeypatch.setattr(reconfiguration, "await_serving", raising(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            running.add_topology("three", TWO["topologies"]["one"])
        monkeypatch.undo()
        assert list(running.status()) == ["one", "two"]
