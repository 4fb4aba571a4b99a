"""Failures stay in one topology: workers die, block and hang; the application learns the truth."""

import os
import signal

import pytest
from waiting import next_of, until

from cluster_kit import (
    CommandError,
    ConfigError,
    NodeDown,
    NodeLeaving,
    NodeLost,
    NodeUp,
    Reason,
    RestartLimitError,
    TopologyDegraded,
    TopologyEvent,
    TopologyRecovered,
    TopologyRestarted,
    WaitTimeoutError,
)
from cluster_kit.supervisor.status import State

GOSSIP = {"strategy": "gossip"}
NAMES = ["a@127.0.0.1", "b@127.0.0.1"]


def linked(supervisor, topology="lan"):
    return [str(node) for node in supervisor.nodes(topology)]


def test_two_nodes_form_a_cluster_and_one_leaves_with_a_goodbye(bench):
    a, b = bench.start("a"), bench.start("b")
    events = a.subscribe()
    a.wait_for(2, timeout_s=30)
    b.wait_for(2, timeout_s=30)
    b.stop()
    assert next_of(events, NodeDown, node="b@127.0.0.1").reason is Reason.LEFT
    assert linked(a) == []


def test_killed_worker_is_replaced_and_links_again(bench):
    a, b = bench.start("a"), bench.start("b")
    a.wait_for(2, timeout_s=30)
    b.wait_for(2, timeout_s=30)
    at_a, at_b = a.subscribe(), b.subscribe()
    os.kill(a.status()["lan"].pid, signal.SIGKILL)
    assert next_of(at_a, NodeDown).reason is Reason.WORKER
    assert next_of(at_a, TopologyRestarted).restarts == 1
    next_of(at_a, NodeUp, node="b@127.0.0.1")
    assert next_of(at_b, NodeDown).reason is Reason.CLOSED
    next_of(at_b, NodeUp, node="a@127.0.0.1")
    status = a.status()["lan"]
    assert status.restarts == 1
    assert "signal 9" in status.last_error


def test_handed_over_roster_loses_no_node_and_finds_none_twice(bench):
    a, b = bench.start("a"), bench.start("b")
    a.wait_for(2, timeout_s=30)
    events = a.subscribe()
    os.kill(a.status()["lan"].pid, signal.SIGKILL)
    next_of(events, NodeUp, node="b@127.0.0.1")
    seen = []
    while events.queued:
        seen.append(type(events.get()).__name__)
    assert "NodeLost" not in seen
    assert "NodeFound" not in seen
    until(lambda: linked(b) == NAMES[:1], "b linked again")


def test_strategy_that_raises_is_degraded_and_its_link_stays_up(bench):
    peer = bench.start("peer", flaky={"strategy": "misbehaving:Knows"})
    address = peer.status()["flaky"].address
    flaky = {
        "strategy": {
            "name": "misbehaving:RaisesOnThirdAnswer",
            "peer": "peer@127.0.0.1",
            "address": address,
        }
    }
    a = bench.start("a", lan=GOSSIP, flaky=flaky)
    a.wait_for(2, topology="flaky", timeout_s=30)
    events = a.subscribe()
    next_of(events, TopologyDegraded, topology="flaky")
    status = a.status()
    assert status["flaky"].state is State.DEGRADED
    assert "one too many" in status["flaky"].sources["misbehaving:RaisesOnThirdAnswer"]
    assert status["flaky"].restarts == 0
    assert linked(a, "flaky") == ["peer@127.0.0.1"]
    assert not [event for event in drain(events) if isinstance(event, NodeDown)]
    assert status["lan"].last_error is None


def drain(events):
    while events.queued:
        yield events.get()


@pytest.mark.parametrize("plugin", ["BlocksTheLoop", "SpinsTheLoop"])
def test_blocked_worker_is_replaced_and_its_neighbour_never_notices(bench, plugin):
    b = bench.start("b")
    a = bench.start(
        "a", lan=GOSSIP, sick={"strategy": f"misbehaving:{plugin}", "connector": "none"}
    )
    a.wait_for(2, topology="lan", timeout_s=30)
    events = a.subscribe()
    assert "blocks its event loop" in next_of(events, TopologyRestarted, topology="sick").error
    status = a.status()
    assert status["lan"].restarts == 0
    assert (linked(a), linked(b)) == (NAMES[1:], NAMES[:1])
    assert not [
        event for event in drain(events) if event.topology == "lan" and isinstance(event, NodeDown)
    ]


def test_worker_whose_plugin_exits_is_crash_looping_and_still_retried(bench):
    spec = {"max_seconds": 60}  # starts may be slow
    a = bench.start(
        "a",
        lan=GOSSIP,
        sick={"strategy": "misbehaving:ExitsTheProcess", "connector": "none", "child_spec": spec},
    )
    events = a.subscribe(topology="sick")
    next_of(events, TopologyDegraded, timeout_s=60)
    status = a.status()
    assert status["sick"].state is State.CRASH_LOOPING
    assert "code 3" in status["sick"].last_error
    assert status["sick"].restarts >= 3
    assert status["lan"].restarts == 0


def test_crash_loop_is_over_once_a_worker_has_served_for_long_enough(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("CLUSTER_KIT_TEST_COUNT", str(tmp_path / "count"))
    spec = {"max_restarts": 1, "max_seconds": 5}
    a = bench.start(
        "a",
        sick={"strategy": "misbehaving:ServesForAWhile", "connector": "none", "child_spec": spec},
    )
    events = a.subscribe()
    next_of(events, TopologyRecovered, timeout_s=60)
    status = a.status()["sick"]
    assert status.state is State.READY
    assert status.restarts == 2


def test_topology_that_cannot_select_is_an_error_of_start(bench):
    with pytest.raises(ConfigError, match="topology raised RuntimeError: no choice"):
        bench.start(
            "a", sick={"strategy": "misbehaving:Knows", "topology": "misbehaving:CannotSelect"}
        )


@pytest.mark.parametrize("plugin", ["RaisesSystemExit", "YieldsNonsense"])
def test_strategy_that_misbehaves_otherwise_costs_no_worker(bench, plugin):
    a = bench.start("a", sick={"strategy": f"misbehaving:{plugin}", "connector": "none"})
    next_of(a.subscribe(), TopologyDegraded)
    assert a.status()["sick"].restarts == 0


def test_escalation_stops_the_supervisor_and_join_raises(bench):
    spec = {"max_restarts": 1, "max_seconds": 60, "escalate": True}
    a = bench.start(
        "a",
        sick={"strategy": "misbehaving:ExitsTheProcess", "connector": "none", "child_spec": spec},
    )
    with pytest.raises(RestartLimitError, match="code 3") as caught:
        a.join(60)
    assert caught.value.topology == "sick"


def start_one_that_exits(bench, plugin, restart):
    sick = {
        "strategy": f"misbehaving:{plugin}",
        "connector": "none",
        "child_spec": {"restart": restart},
    }
    return bench.start("a", lan=GOSSIP, sick=sick)


@pytest.mark.parametrize(
    ("restart", "plugin", "code"),
    [
        ("transient", "ExitsNormally", 0),
        ("temporary", "ExitsNormally", 0),
        ("temporary", "ExitsTheProcess", 3),
    ],
)
def test_worker_that_exits_so_is_not_replaced(bench, restart, plugin, code):
    a = start_one_that_exits(bench, plugin, restart)
    until(lambda: a.status()["sick"].state is State.STOPPED, "stopped for good")
    status = a.status()
    assert (status["sick"].restarts, status["sick"].pid) == (0, None)
    assert f"exited with code {code}" in status["sick"].last_error
    assert status["lan"].state is not State.STOPPED


@pytest.mark.parametrize(
    ("restart", "plugin", "code"),
    [
        ("permanent", "ExitsNormally", 0),
        ("permanent", "ExitsTheProcess", 3),
        ("transient", "ExitsTheProcess", 3),
    ],
)
def test_worker_that_exits_so_is_replaced(bench, restart, plugin, code):
    a = start_one_that_exits(bench, plugin, restart)
    restarted = next_of(a.subscribe(), TopologyRestarted, topology="sick")
    assert f"exited with code {code}" in restarted.error


def test_transient_worker_that_is_killed_is_replaced(bench):
    a = bench.start("a", lan=GOSSIP | {"child_spec": {"restart": "transient"}})
    events = a.subscribe()
    os.kill(a.status()["lan"].pid, signal.SIGKILL)
    assert "signal 9" in next_of(events, TopologyRestarted).error


def test_topology_that_has_ended_can_be_removed_and_its_nodes_are_lost(bench, caplog):
    a = start_one_that_exits(bench, "ExitsNormally", "transient")
    until(lambda: a.status()["sick"].state is State.STOPPED, "stopped for good")
    events = a.subscribe(topology="sick")
    a.remove_topology("sick")
    assert next_of(events, NodeLost, node="gone@127.0.0.1").reason is Reason.SHUTDOWN
    assert a.status().keys() == {"lan"}
    a.stop()
    assert not [
        record for record in caplog.records if "supervising it failed" in record.getMessage()
    ]


def test_topology_that_has_ended_starts_again_when_it_is_replaced(bench):
    a = start_one_that_exits(bench, "ExitsNormally", "transient")
    until(lambda: a.status()["sick"].state is State.STOPPED, "stopped for good")
    a.reload(a._config)
    assert a.status()["sick"].state is State.STOPPED
    a.replace_topology("sick", {"strategy": "misbehaving:Knows", "connector": "none"})
    until(lambda: a.status()["sick"].state is State.READY, "ready again")


def test_flood_is_capped_reported_once_and_starves_no_other_topology(bench, caplog):
    b = bench.start("b")
    a = bench.start(
        "a",
        lan=GOSSIP,
        flood={"strategy": "misbehaving:Floods", "connector": "none", "max_nodes": 500},
    )
    a.wait_for(2, topology="lan", timeout_s=60)
    a.wait_for(501, topology="flood", timeout_s=60)
    until(lambda: [r for r in caplog.records if "max_nodes" in r.getMessage()], "cap told")
    assert len(a.nodes("flood", "known")) == 500
    assert len([r for r in caplog.records if "max_nodes" in r.getMessage()]) == 1
    assert a.status()["flood"].restarts == 0
    assert linked(b) == ["a@127.0.0.1"]


def test_connector_that_hangs_in_connect_hangs_alone(bench):
    bench.start("b")
    hangs = {
        "strategy": "misbehaving:Knows",
        "connector": "misbehaving:HangsInConnect",
        "connect_timeout_s": 0.2,
    }
    a = bench.start("a", lan=GOSSIP, sick=hangs)
    a.wait_for(2, topology="lan", timeout_s=30)
    a.wait_for(2, topology="sick", state="known", timeout_s=30)
    until(lambda: a.status()["sick"].state is State.READY, "ready all the same")
    assert linked(a, "sick") == []


def test_connector_that_cannot_start_is_an_error_of_start_that_leaves_nothing(bench):
    with pytest.raises(ConfigError, match="RuntimeError: no way"):
        bench.start(
            "a",
            lan=GOSSIP,
            sick={"strategy": "misbehaving:Knows", "connector": "misbehaving:CannotStart"},
        )


def test_port_in_use_is_one_line_that_names_the_port(bench):
    b = bench.start("b")
    port = b.status()["lan"].address.rpartition(":")[2]
    with pytest.raises(ConfigError, match=port) as caught:
        bench.start("a", lan=GOSSIP | {"connector": {"name": "tcp", "port": int(port)}})
    assert "\n" not in str(caught.value)


@pytest.fixture
def called(bench):
    sick = {
        "strategy": "misbehaving:Knows",
        "connector": "misbehaving:HangsInConnect",
        "connect_timeout_s": 0.2,
    }
    return bench.start("a", sick=sick)


def test_command_of_a_connector_is_called_in_its_worker(called):
    assert called.call("sick", "add", a=1, b=2) == 3


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("fail", "as asked"),
        ("hang", "longer than"),
        ("leak", "plain data"),
        ("secret", "no command 'secret'.*add"),
        ("stop", "no command 'stop'"),
        ("__init__", "no command"),
    ],
)
def test_command_that_fails_says_why(called, command, message):
    with pytest.raises(CommandError, match=message):
        called.call("sick", command, timeout_s=1)


def test_connector_event_reaches_the_application(called):
    events = called.subscribe()
    called.call("sick", "tell", kind="hello", data={"x": [1]})
    event = next_of(events, TopologyEvent)
    assert (event.kind, event.data) == ("hello", {"x": [1]})


def test_worker_that_will_not_leave_is_killed_in_time(bench):
    a = bench.start("a", sick={"strategy": "misbehaving:NeverSaysGoodbye", "connector": "none"})
    pid = a.status()["sick"].pid
    a.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_waiting_for_more_than_can_ever_be_is_refused_at_once(bench):
    a = bench.start("a", lan=GOSSIP | {"max_nodes": 3})
    with pytest.raises(ConfigError, match="can never be"):
        a.wait_for(5, timeout_s=60)


def test_wait_timeout_reports_the_nodes_that_are_up(bench):
    a = bench.start("a")
    with pytest.raises(WaitTimeoutError, match=r"1 of 3 nodes are up.*a@127\.0\.0\.1"):
        a.wait_for(3, timeout_s=0.1)


def test_metadata_reaches_the_others(bench):
    a, b = bench.start("a"), bench.start("b")
    b.wait_for(2, timeout_s=30)
    a.update_metadata({"zone": "x"})
    until(lambda: [dict(node.metadata) for node in b.nodes()] == [{"zone": "x"}], "metadata at b")


def test_draining_node_is_leaving_and_keeps_its_links(bench):
    a, b = bench.start("a"), bench.start("b")
    a.wait_for(2, timeout_s=30)
    b.wait_for(2, timeout_s=30)
    events = b.subscribe()
    a.drain()
    next_of(events, NodeLeaving, node="a@127.0.0.1")
    assert linked(b) == ["a@127.0.0.1"]
    assert not [event for event in drain(events) if isinstance(event, NodeDown)]


def test_status_names_every_source_and_reports_a_name_conflict(bench):
    first = bench.start("a")
    assert first.status()["lan"].sources == {"gossip": None}
    second = bench.start("a")
    until(
        lambda: "name conflict" in (second.status()["lan"].last_error or ""),
        "the conflict in the status",
    )
