"""Topologies that come, go and change while others run: real supervisors and workers."""

import asyncio
import os
import secrets
import socket
import threading
from contextlib import ExitStack, suppress

import psutil
import pytest
from waiting import next_of, until

from cluster_kit import AsyncSupervisor, ClusterKitError, ConfigError, Supervisor
from cluster_kit.events import NodeDown, NodeLost, NodeUp, TopologyReady
from cluster_kit.supervisor.status import State


@pytest.fixture
def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture
def start():
    """Return a function that starts a supervisor of a cluster of its own."""
    cluster = f"test-{secrets.token_hex(6)}"
    with ExitStack() as running:

        def start(name, **topologies):
            return running.enter_context(Supervisor(start.config(name, **topologies)))

        def config(name, metadata=(), **topologies):
            return {
                "node": f"{name}@127.0.0.1",
                "cluster": cluster,
                "metadata": dict(metadata),
                "topologies": topologies,
            }

        start.config = config
        yield start


def lan(**more):
    return {"strategy": "gossip", **more}


def test_unchanged_topology_is_not_disturbed(start):
    a, b = start("a", lan=lan(), old=lan()), start("b", lan=lan())
    a.wait_for(2, topology="lan", timeout_s=30)
    pid, events = a.status()["lan"].pid, a.subscribe(topology="lan")
    events.get(5)
    changes = a.reload(start.config("a", lan=lan(), new=lan()))
    assert str(changes) == "added new; removed old"
    assert a.status().keys() == {"lan", "new"}
    assert a.status()["lan"].pid == pid
    assert events.poll() is None
    assert [str(node) for node in b.nodes()] == ["a@127.0.0.1"]


def test_added_topology_serves_and_links(start):
    a, b = start("a", lan=lan()), start("b", lan=lan(), wan=lan())
    events = a.subscribe()
    a.add_topology("wan", lan())
    assert a.status()["wan"].pid is not None
    next_of(events, TopologyReady, topology="wan")
    next_of(events, NodeUp, topology="wan", node="b@127.0.0.1")
    b.wait_for(2, topology="wan", timeout_s=30)
    with pytest.raises(ClusterKitError, match="is there already: use replace_topology"):
        a.add_topology("wan", lan())


def test_removed_topology_leaves_and_is_forgotten(start):
    a, b = start("a", lan=lan(), wan=lan()), start("b", lan=lan(), wan=lan())
    a.wait_for(2, topology="wan", timeout_s=30)
    b.wait_for(2, topology="wan", timeout_s=30)
    pid = a.status()["wan"].pid
    events, own, theirs = a.subscribe(), a.subscribe(topology="wan"), b.subscribe(topology="wan")
    a.remove_topology("wan")
    assert not psutil.pid_exists(pid)
    down = next_of(events, NodeDown, topology="wan", node="b@127.0.0.1")
    lost = next_of(events, NodeLost, topology="wan")
    assert (down.reason, lost.reason) == ("shutdown", "shutdown")
    assert isinstance(list(own)[-1], NodeLost)  # it has ended
    assert next_of(theirs, NodeDown, node="a@127.0.0.1").reason == "left"
    for ask in (a.nodes, a.subscribe):
        with pytest.raises(ClusterKitError, match="topology 'wan': not configured; there are: lan"):
            ask(topology="wan")


def test_waiting_for_a_topology_that_is_removed_ends(start):
    a = start("a", lan=lan(), wan=lan())
    heard = []

    def wait():
        try:
            a.wait_for(2, topology="wan")
        except ClusterKitError as exc:
            heard.append(str(exc))

    waiting = threading.Thread(target=wait)
    waiting.start()
    a.remove_topology("wan")
    waiting.join(30)
    assert heard == ["topology 'wan': not configured; there are: lan"]


def test_the_last_one_stays(start):
    a = start("a", lan=lan())
    with pytest.raises(ClusterKitError, match="'lan' is the last one: use stop"):
        a.remove_topology("lan")


def test_the_only_one_is_replaced(start, free_port):
    a, b = start("a", lan=lan()), start("b", lan=lan())
    a.wait_for(2, timeout_s=30)
    pid, events = a.status()["lan"].pid, a.subscribe()
    a.replace_topology("lan", lan(connector={"name": "tcp", "port": free_port}))
    next_of(events, NodeDown, node="b@127.0.0.1", reason="shutdown")
    next_of(events, NodeLost, node="b@127.0.0.1", reason="shutdown")
    assert next_of(events, TopologyReady).address == f"127.0.0.1:{free_port}"
    next_of(events, NodeUp, node="b@127.0.0.1")
    assert a.status()["lan"].pid != pid
    assert a.status()["lan"].restarts == 0
    until(
        lambda: [node.address for node in b.nodes()] == [f"127.0.0.1:{free_port}"],
        "b is linked with the new worker",
    )


def test_events_are_numbered_on_through_a_replacement(start):
    a, _ = start("a", lan=lan()), start("b", lan=lan())
    a.wait_for(2, timeout_s=30)
    events = a.subscribe()
    first = events.get(5).seq
    a.replace_topology("lan", lan(prune=False))
    a.wait_for(2, timeout_s=30)
    seen = []
    while event := events.poll():
        seen.append(event.seq)
    assert seen == list(range(first + 1, first + 1 + len(seen)))
    assert len(seen) >= 4


def test_a_port_goes_from_one_topology_to_another(start, free_port):
    on_port = {"name": "tcp", "port": free_port}
    a = start("a", x=lan(connector=on_port), y=lan())
    a.reload(start.config("a", y=lan(connector=on_port), z=lan()))
    until(lambda: a.status()["y"].state is State.READY, "y serves")
    assert a.status()["y"].address == f"127.0.0.1:{free_port}"


def test_faults_change_nothing(start):
    a = start("a", lan=lan())
    pid = a.status()["lan"].pid
    for faulty in ({"lan": lan(), "wan": {"strategy": "gosip"}}, {"lan": lan(prun=True)}, {}):
        with pytest.raises(ConfigError):
            a.reload(start.config("a", **faulty))
    with pytest.raises(ConfigError, match="start another one"):
        a.reload(start.config("z", lan=lan(), wan=lan()))
    with pytest.raises(ConfigError, match=r"topologies\.wan"):
        a.add_topology("wan", {"strategy": "gosip"})
    with pytest.raises(ClusterKitError, match="topology 'wan': not configured"):
        a.replace_topology("wan", lan())
    assert a.status().keys() == {"lan"}
    assert a.status()["lan"].pid == pid


def test_topology_that_cannot_serve_is_not_added(start):
    a = start("a", lan=lan())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="cannot listen"):
            a.add_topology("wan", lan(connector={"name": "tcp", "port": port}))
    assert a.status().keys() == {"lan"}


def test_topology_that_cannot_serve_after_a_reload_is_tried_again(start):
    a = start("a", lan=lan())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="cannot listen"):
            a.reload(start.config("a", lan=lan(connector={"name": "tcp", "port": port})))
    until(
        lambda: a.status()["lan"].address == f"127.0.0.1:{port}",
        "it serves once the port is free",
        60,
    )


def test_metadata_goes_to_everybody(start):
    a, b = start("a", lan=lan()), start("b", lan=lan())
    b.wait_for(2, timeout_s=30)
    a.reload(start.config("a", metadata={"zone": "b"}, lan=lan()))
    until(lambda: dict(b.nodes()[0].metadata) == {"zone": "b"}, "b knows the new metadata")
    a.update_metadata({"zone": "c"})
    # what the application has set stays
    assert not a.reload(start.config("a", metadata={"zone": "b"}, lan=lan()))
    assert dict(a.local.metadata) == {"zone": "c"}


def test_stop_during_a_change_leaves_nothing(start):
    a = start("a", lan=lan(), wan=lan())
    stopper = threading.Timer(0.02, a.stop)
    stopper.start()
    with suppress(ClusterKitError):  # it may have stopped before
        a.reload(start.config("a", lan=lan(prune=False), wan=lan(prune=False), new=lan()))
    stopper.join(30)
    assert a.join(30)


def test_a_supervisor_that_does_not_run_can_t_be_changed(start):
    config = start.config("a", lan=lan())
    a = Supervisor(config)
    with pytest.raises(ClusterKitError, match="not started"):
        a.reload(config)
    with a:
        pass
    with pytest.raises(ClusterKitError, match="it has stopped"):
        a.add_topology("wan", lan())


def test_asyncio_programs_change_without_blocking(start):
    async def main():
        async with AsyncSupervisor(start.config("a", lan=lan())) as a:
            await a.add_topology("wan", lan())
            await a.replace_topology("wan", lan(prune=False))
            assert (await a.reload(start.config("a", lan=lan()))).removed == ("wan",)
            await a.add_topology("wan", lan())
            await a.remove_topology("wan")
            return (await a.status()).keys()

    assert asyncio.run(main()) == {"lan"}


def test_changes_leave_nothing_behind(start):
    a = start("a", lan=lan())
    own = psutil.Process()
    before = None
    for number in range(12):
        a.reload(start.config("a", lan=lan(), **{f"t{number}": lan(connector="none")}))
        held = (own.num_fds(), own.num_threads(), len(own.children()))
        before = before or held
    assert held == before
    assert os.getpid() == own.pid
