"""A supervisor with topics leaves nothing behind, and an interrupted call still takes effect."""

import asyncio
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack

import psutil
import pytest
from talking import Talk
from waiting import until
from watched import FULL

from cluster_kit import AsyncSupervisor, ClusterKitError, Gap, NotSentError, Supervisor

pytestmark = [pytest.mark.once, pytest.mark.timeout(600 if FULL else 120)]

DEADLINE_S = 30
INTERRUPTS = 3000 if FULL else 60
LONG_AFTER = 20_000  # calls, of which the slowest machine makes fewer until the interrupt


@pytest.fixture
def configs():
    """Return the configurations of two nodes."""
    talk = Talk()
    return talk.config("ann"), talk.config("bob")


def left():
    """Return what a process has: threads, descriptors, children."""
    process = psutil.Process()
    return (
        {thread.name for thread in threading.enumerate()},
        process.num_fds(),
        {child.pid for child in process.children()},
    )


def nothing_more(before):
    threads, descriptors, children = left()
    return threads <= before[0] and descriptors <= before[1] and children <= before[2]


def link(running, configs):
    nodes = [Supervisor(config) for config in configs]
    for node in nodes:
        running.enter_context(node)
    for node in nodes:
        node.wait_for(2, timeout_s=DEADLINE_S)
    return nodes


def use(ann, bob):
    """Use all that topics can do."""
    heard = []
    bob.topic("cache").subscribe(heard.append)
    items = bob.topic("cache").subscribe()
    bob.topic("plain").answer(lambda message: message.data)

    @bob.topic("async").answer
    async def answer(message):
        await asyncio.sleep(0)
        return message.data

    until(
        lambda: ann.topic("cache").nodes() and len(ann.topic("async").nodes(answering=True)) == 1,
        "all is known",
    )
    for number in range(100):
        assert ann.topic("cache").publish(number) == 1
    assert [items.get(DEADLINE_S).data for _ in range(100)] == list(range(100))
    until(lambda: len(heard) == 100, "the callback has heard all")
    for topic in ("plain", "async"):
        assert ann.topic(topic).ask("bob@127.0.0.1", 7) == 7
        assert list(ann.topic(topic).ask_all(7).values()) == [7]


def test_nothing_is_left(configs):
    with ExitStack() as running:  # what is loaded and opened once
        use(*link(running, configs))
    before = left()
    for _ in range(3):
        with ExitStack() as running:
            use(*link(running, configs))
    until(lambda: nothing_more(before), f"all is as before: {before}, {left()}")


def test_nothing_is_left_in_asyncio(configs):
    async def scenario():
        ann, bob = (AsyncSupervisor(config) for config in configs)
        items, called = bob.topic("cache").subscribe(), []
        bob.topic("cache").subscribe(called.append)
        bob.topic("stock").answer(lambda message: message.data)
        async with ann, bob:
            await ann.wait_for(2, timeout_s=DEADLINE_S)
            await ann.topic("cache").publish(1)
            assert (await anext(items)).data == 1
            assert await ann.topic("stock").ask("bob@127.0.0.1", 7) == 7

    asyncio.run(scenario())
    before = left()
    asyncio.run(scenario())
    until(lambda: nothing_more(before), f"all is as before: {before}, {left()}")


@pytest.mark.parametrize("what", ["send", "ask"])
def test_stop_ends_what_waits(configs, what):
    with ExitStack() as running:
        ann, bob = link(running, configs)
        never = threading.Event()
        running.callback(never.set)
        bob.topic("full").subscribe(max_messages=1)
        bob.topic("full").answer(lambda _: never.wait(DEADLINE_S))
        full = ann.topic("full")
        until(lambda: full.nodes() and full.nodes(answering=True), "bob listens")
        full.send("bob@127.0.0.1", 1)
        raised = []

        def wait():
            try:
                getattr(full, what)("bob@127.0.0.1", 2, timeout_s=10 * DEADLINE_S)
            except ClusterKitError as exc:
                raised.append(exc)

        waiting = threading.Thread(target=wait)
        waiting.start()
        until(lambda: ann._boards.of("lan")._tickets, "it waits")
        ann.stop()
        waiting.join(DEADLINE_S)
        assert [isinstance(exc, NotSentError) for exc in raised] == [what == "send"]


def test_child_of_a_running_supervisor_can_do_nothing_with_its_topics(configs):
    with ExitStack() as running:
        ann, bob = link(running, configs)
        items = bob.topic("cache").subscribe()
        cache = ann.topic("cache")
        until(cache.nodes, "bob listens")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for call in (
                    lambda: cache.publish(1),
                    lambda: cache.send("bob@127.0.0.1", 1),
                    cache.subscribe,
                    items.get,
                ):
                    with pytest.raises(ClusterKitError, match="create one per process"):
                        call()
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert cache.publish(2) == 1
        assert items.get(DEADLINE_S).data == 2


INTERRUPTED = """
import contextlib, json, sys, threading
from cluster_kit import ClusterKitError, Supervisor

ann, bob = (Supervisor(config) for config in json.loads(sys.argv[1]))
items = bob.topic("cache").subscribe()
bob.topic("stock").answer(
    lambda message: threading.Event().wait(60) if message.data is None else message.data
)
with ann, bob:
    ann.wait_for(2, timeout_s=30)
    cache, stock = ann.topic("cache"), ann.topic("stock")
    def publish():
        while True:
            cache.publish(1)
    def publish_until_stopped():
        with contextlib.suppress(ClusterKitError):
            publish()
    def ask():
        while True:
            stock.ask("bob@127.0.0.1", 7)
    calls = {
        "publish": publish,
        "ask": ask,
        "ask without an answer": lambda: stock.ask("bob@127.0.0.1", None, timeout_s=60),
        "read": lambda: [item for item in ann.topic("cache").subscribe()],
        "read much": lambda: [item for item in items],
    }
    print("ready", flush=True)
    if sys.argv[2] == "read much":
        threading.Thread(target=publish_until_stopped, daemon=True).start()
    calls[sys.argv[2]]()
"""


@pytest.mark.parametrize("what", ["publish", "ask", "ask without an answer", "read", "read much"])
def test_ctrl_c_amid_a_call_ends_the_program_and_its_workers(configs, what):
    program = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, json.dumps(configs), what],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stdout.readline() == "ready\n"
        workers = psutil.Process(program.pid).children()
        threading.Event().wait(random.uniform(0.1, 0.3))  # anywhere in it
        program.send_signal(signal.SIGINT)
        _, errors = program.communicate(timeout=DEADLINE_S)
    finally:
        program.kill()
        program.wait()
    assert program.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert len(workers) == 2
    assert psutil.wait_procs(workers, DEADLINE_S)[1] == []


class Interrupted(BaseException):
    """What a signal handler raises, as Ctrl-C does."""


def test_interrupted_calls_cost_what_is_documented_and_no_more(configs):
    """As in a notebook, where Ctrl-C ends a cell, and the cluster goes on."""

    def interrupt(*_):
        raise Interrupted

    with ExitStack() as running:
        ann, bob = link(running, configs)
        heard = []
        bob.topic("cache").subscribe(
            lambda item: heard.append(None if isinstance(item, Gap) else item.data)
        )
        bob.topic("stock").answer(lambda message: message.data)
        cache, stock = ann.topic("cache"), ann.topic("stock")
        until(lambda: cache.nodes() and stock.nodes(answering=True), "bob listens")
        running.callback(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, interrupt))
        said, interrupts, chance = itertools.count(1), 0, random.Random()

        def use_until_interrupted():
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.002, 0.02))
            for _ in range(LONG_AFTER):  # Python swallows what is raised amid a finalizer
                number = next(said)
                cache.publish(number)
                if number % 200 == 0:
                    stock.ask("bob@127.0.0.1", number)
            signal.setitimer(signal.ITIMER_REAL, 0)

        while interrupts < INTERRUPTS:
            try:  # a call, as Python does not catch here what interrupts a loop as it turns
                use_until_interrupted()
            except Interrupted:
                interrupts += 1
        assert stock.ask("bob@127.0.0.1", 7, timeout_s=DEADLINE_S) == 7
        cache.send("bob@127.0.0.1", "last", timeout_s=DEADLINE_S)
        until(lambda: heard[-1:] == ["last"], "the last one is heard")
        numbers = [each for each in heard[:-1] if each is not None]
        assert numbers == sorted(set(numbers))
        print(
            f"\n{next(said)} said, {interrupts} interrupts, {len(numbers)} heard, "
            f"{heard.count(None)} gaps"
        )
