"""Owners of keys, and holders of duties, among real supervisors."""

import asyncio
import os
import secrets
import signal
import threading
from contextlib import ExitStack
from queue import SimpleQueue

import pytest
from waiting import until

from cluster_kit import AsyncSupervisor, ClusterKitError, ConfigError, Supervisor, WaitTimeoutError

DEADLINE_S = 30

pytestmark = pytest.mark.once


class Nodes:
    """Nodes of a cluster of their own; the one that was started first is the oldest."""

    def __init__(self, running):
        self._running = running
        self._common = {"cluster": f"test-{secrets.token_hex(6)}", "secret": secrets.token_hex(32)}
        self.started = []

    def config(self, name, **metadata):
        topologies = {"lan": {"strategy": "gossip"}}
        return {
            "node": f"{name}@127.0.0.1",
            "metadata": metadata,
            "topologies": topologies,
            **self._common,
        }

    def start(self, name, **metadata):
        node = Supervisor(self.config(name, **metadata))
        self._running.callback(node.stop)
        node.start()
        self.started.append(node)
        for each in self.started:
            each.wait_for(len(self.started), timeout_s=DEADLINE_S)
        return node

    def stop(self, node):
        self.started.remove(node)
        node.stop()


class Worker(threading.Thread):
    """Waits for a duty, says so in ``log``, and does it until that is lost or ``leave`` is set."""

    def __init__(self, node, log, **options):
        super().__init__(daemon=True)
        self.node, self.name = node, node.local.name
        self.leave = threading.Event()
        self.duty = node.once("nightly", **options)
        self._log = log
        self.start()

    def run(self):
        try:
            with self.duty:
                self._log.put(("in", self.name))
                while self.duty.wait(0.05) and not self.leave.is_set():
                    pass
                self._log.put(("out", self.name))
        except ClusterKitError as exc:
            self._log.put((type(exc).__name__, self.name))


@pytest.fixture
def nodes():
    with ExitStack() as running:
        yield Nodes(running)


@pytest.fixture
def log():
    return SimpleQueue()


def names(nodes):
    return [node.name for node in nodes]


# -- owners ----------------------------------------------------------------------------------------


def test_all_nodes_agree_on_the_owner_of_a_key(nodes):
    ann, bob, cid = (
        nodes.start(name, role=role)
        for name, role in [("ann", "cache"), ("bob", "cache"), ("cid", "web")]
    )
    keys = [f"user:{i}" for i in range(200)]
    owners = {key: ann.owner(key).name for key in keys}
    assert set(owners.values()) == {"ann@127.0.0.1", "bob@127.0.0.1", "cid@127.0.0.1"}
    for node in (bob, cid):
        assert owners == {key: node.owner(key).name for key in keys}
    caches = {cid.owner(key, where={"role": "cache"}).name for key in keys}
    assert caches == {"ann@127.0.0.1", "bob@127.0.0.1"}
    assert names(bob.owners("user:7", 3)) == names(ann.owners("user:7", 9))
    assert len(ann.owners("user:7", 2)) == 2
    own = next(key for key in keys if owners[key] == "ann@127.0.0.1")
    assert ann.owner(own) == ann.local
    nodes.stop(cid)
    until(lambda: len(ann.nodes()) == 1, "cid is gone")
    assert all(
        ann.owner(key).name == owner for key, owner in owners.items() if owner != "cid@127.0.0.1"
    )


def test_key_has_no_owner_if_no_node_matches(nodes):
    ann = nodes.start("ann")
    assert ann.owners("k", 3, where={"role": "cache"}) == ()
    with pytest.raises(
        ClusterKitError,
        match=r"owner: neither this node nor a linked one has tags {'role': 'cache'}",
    ):
        ann.owner("k", where={"role": "cache"})


def test_owners_are_known_of_a_running_supervisor_only(nodes):
    ann = Supervisor(nodes.config("ann"))
    with pytest.raises(ClusterKitError, match="not started"):
        ann.owner("k")


# -- duties ----------------------------------------------------------------------------------------


def test_the_oldest_has_the_duty_and_hands_it_on(nodes, log):
    ann, bob = nodes.start("ann"), nodes.start("bob")
    at_bob = Worker(bob, log)
    assert log.get(timeout=DEADLINE_S) == ("in", "bob@127.0.0.1")
    at_ann = Worker(ann, log)
    changes = [log.get(timeout=DEADLINE_S) for _ in range(2)]
    assert changes == [("out", "bob@127.0.0.1"), ("in", "ann@127.0.0.1")]
    assert at_ann.duty.held
    again = Worker(bob, log)
    at_ann.leave.set()
    changes = [log.get(timeout=DEADLINE_S) for _ in range(2)]
    assert changes == [("out", "ann@127.0.0.1"), ("in", "bob@127.0.0.1")]
    again.leave.set()
    for each in (at_ann, at_bob, again):
        each.join(DEADLINE_S)
        assert not each.is_alive()


def test_an_older_one_waits_until_the_holder_has_stopped(nodes, log):
    ann, bob = nodes.start("ann"), nodes.start("bob")
    with bob.once("nightly") as duty:
        at_ann = Worker(ann, log)
        assert not duty.wait(DEADLINE_S)
        assert not duty.held
        # time for a mistake
        with pytest.raises(WaitTimeoutError, match=r"once 'other': not acquired within 0.3 s"):
            bob.once("other", min_nodes=3, timeout_s=0.3).__enter__()
        assert log.empty()
    assert log.get(timeout=DEADLINE_S) == ("in", "ann@127.0.0.1")
    at_ann.leave.set()


def test_a_holder_that_dies_is_followed(nodes, log):
    ann, bob = nodes.start("ann"), nodes.start("bob")
    at_ann = Worker(ann, log)
    assert log.get(timeout=DEADLINE_S) == ("in", "ann@127.0.0.1")
    at_bob = Worker(bob, log)
    os.kill(ann.status()["lan"].pid, signal.SIGKILL)
    changes = sorted(log.get(timeout=DEADLINE_S) for _ in range(2))
    assert changes == [("in", "bob@127.0.0.1"), ("out", "ann@127.0.0.1")]
    for each in (at_ann, at_bob):
        each.leave.set()


def test_too_few_nodes_have_no_holder(nodes, log):
    ann, bob = nodes.start("ann"), nodes.start("bob")
    workers = [Worker(each, log, min_nodes=3) for each in (ann, bob)]
    cid = nodes.start("cid")  # which is no candidate, and counts all the same
    assert log.get(timeout=DEADLINE_S) == ("in", "ann@127.0.0.1")
    nodes.stop(cid)
    assert log.get(timeout=DEADLINE_S) == ("out", "ann@127.0.0.1")
    for each in (ann, bob):
        each.stop()
    for each in workers:
        each.join(DEADLINE_S)
    assert log.get(timeout=DEADLINE_S) == ("ClusterKitError", "bob@127.0.0.1")


def test_one_process_is_one_candidate(nodes):
    ann = nodes.start("ann")
    with ann.once("nightly"):
        with pytest.raises(
            ClusterKitError, match="once 'nightly': this process has that duty already"
        ):
            ann.once("nightly").__enter__()
        with ann.once("hourly") as other:
            assert other.held
    with ann.once("nightly") as again:
        assert again.wait(0)


def test_a_second_try_in_one_process_takes_nothing_from_the_holder(nodes):
    ann, bob = nodes.start("ann"), nodes.start("bob")
    with ann.once("nightly") as duty:
        with pytest.raises(ClusterKitError, match="already"):
            ann.once("nightly").__enter__()
        with pytest.raises(WaitTimeoutError):
            bob.once("nightly", timeout_s=1).__enter__()  # time for a mistake
        assert duty.wait(0)


def test_a_forked_child_learns_that_it_has_no_duties(nodes):
    ann = nodes.start("ann")
    board, held, let_go = ann._boards.of("lan"), threading.Event(), threading.Event()

    def hold():
        with board.lock:
            held.set()
            let_go.wait(DEADLINE_S)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(DEADLINE_S)
    reading, writing = os.pipe()
    child = os.fork()  # in which nobody ever lets go of the lock
    if not child:
        signal.alarm(10)
        try:
            ann.once("nightly").__enter__()
        except ClusterKitError as exc:
            os.write(writing, str(exc).encode())
        finally:
            os._exit(0)
    let_go.set()
    holder.join(DEADLINE_S)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert b"it belongs to process" in pipe.read()
    os.waitpid(child, 0)


def test_many_candidates_take_turns(nodes, log):
    """Five nodes that have a duty for a moment each: never two at a time."""
    started = [nodes.start(f"n{i}") for i in range(5)]
    holders, most = [], []
    lock = threading.Lock()

    def work(node):
        for _ in range(5):
            with node.once("turn") as duty:
                with lock:
                    holders.append(node.local.name)
                    most.append(len(holders))
                duty.wait(0.01)
                with lock:
                    holders.remove(node.local.name)

    threads = [threading.Thread(target=work, args=(node,)) for node in started]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * DEADLINE_S)
        assert not thread.is_alive()
    assert len(most) == 25
    assert set(most) == {1}


def test_asyncio_programs_have_duties_too(nodes):
    async def main():
        async with AsyncSupervisor(nodes.config("ann")) as ann:
            async with ann.once("nightly", timeout_s=DEADLINE_S) as duty:
                assert await duty.wait(0.01)
                assert duty.held
            with pytest.raises(WaitTimeoutError):
                await ann.once("nightly", min_nodes=2, timeout_s=0.01).__aenter__()
            assert (
                (await ann.owner("k")).name == (await ann.owners("k", 2))[0].name == "ann@127.0.0.1"
            )
            async with asyncio.timeout(DEADLINE_S), ann.once("nightly") as duty:
                asyncio.get_running_loop().call_later(0.05, asyncio.create_task, ann.stop())
                assert not await duty.wait()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("name", "message"), [("", "has 0 bytes"), ("x" * 250, "has 250 bytes: expected 1 to 249")]
)
def test_a_duty_has_a_name(nodes, name, message):
    with pytest.raises(ValueError, match=message):
        Supervisor(nodes.config("ann")).once(name)


@pytest.mark.parametrize("min_nodes", [0, -1, 1.5, True, "3"])
def test_min_nodes_is_a_number(nodes, min_nodes):
    with pytest.raises(ValueError, match="at least 1"):
        Supervisor(nodes.config("ann")).once("d", min_nodes=min_nodes)


def test_links_have_to_carry_messages(nodes):
    config = nodes.config("ann")
    config["topologies"]["lan"]["connector"] = "none"
    with pytest.raises(ConfigError, match="tcp"):
        Supervisor(config).once("d")


def test_an_application_can_not_name_the_topic_of_a_duty(nodes):
    with pytest.raises(ValueError, match=r"names with '\$' are reserved"):
        Supervisor(nodes.config("ann")).topic("$once/nightly")
