"""Plugins that raise BaseExceptions, return no nodes or report nonsense: nothing fails silently."""

import logging

import pytest
from misbehaving import Explodes, Sticky
from waiting import next_of, until

from cluster_kit import (
    CommandError,
    ConfigError,
    NodeFound,
    NodeUpdated,
    TopologyDegraded,
    TopologyEvent,
    TopologyRestarted,
)
from cluster_kit.supervisor.status import State

ODDITIES = ["cancelled", "exit", "interrupt", "own", "mute"]
KNOWS_MANY = "misbehaving:KnowsMany"
WAN = {"strategy": "misbehaving:Knows", "connector": "none"}


def topology(strategy="misbehaving:Knows", connector="none", **config):
    return {"lan": {"strategy": strategy, "connector": connector, **config}}


@pytest.mark.parametrize("what", ODDITIES)
def test_strategy_that_raises_oddly_is_restarted_and_degraded(bench, what):
    a = bench.start("a", **topology({"name": "misbehaving:RaisesOddly", "what": what}))
    assert "raised" in next_of(a.subscribe(), TopologyDegraded).error
    assert a.status()["lan"].state is State.DEGRADED
    assert a.status()["lan"].restarts == 0


@pytest.mark.parametrize("plugin", ["CancelsItself", "HangsWhenClosed"])
def test_strategy_that_ends_oddly_is_restarted_and_degraded(bench, plugin):
    a = bench.start(
        "a", **topology(f"misbehaving:{plugin}", child_spec={"max_restarts": 2, "max_seconds": 60})
    )
    assert "raised" in next_of(a.subscribe(), TopologyDegraded).error
    assert a.status()["lan"].restarts == 0


@pytest.mark.parametrize("what", [*ODDITIES, "nothing", "cancels itself"])
def test_connector_that_connects_oddly_is_asked_again(bench, what):
    a = bench.start("a", **topology(connector={"name": "misbehaving:ConnectsOddly", "what": what}))
    until(lambda: len(a.call("lan", "tried")) >= 2, "another try")
    with pytest.raises(CommandError, match="'odd' raised"):
        a.call("lan", "odd")
    a.update_metadata({"still": "here"})
    assert a.call("lan", "add", a=1, b=2) == 3
    assert a.status()["lan"].restarts == 0


def test_connector_that_goes_on_when_cancelled_is_not_asked_twice_at_a_time(bench, caplog):
    strategy = {"name": KNOWS_MANY, "count": 2}
    a = bench.start(
        "a", **topology(strategy, "misbehaving:GoesOnWhenCancelled", connect_timeout_s=0.1)
    )
    until(lambda: "a plugin still runs 1 s after it was cancelled" in caplog.text, "the complaint")
    a.wait_for(2, timeout_s=30)
    a.update_metadata({"still": "here"})
    assert sorted(a.call("lan", "tried")) == ["n0@127.0.0.1", "n1@127.0.0.1"]


@pytest.mark.parametrize("what", [*ODDITIES, "nothing", "own error"])
def test_connector_that_starts_oddly_is_an_error_of_start(bench, what):
    with pytest.raises(ConfigError, match="connector raised"):
        bench.start("a", **topology(connector={"name": "misbehaving:StartsOddly", "what": what}))


def test_topology_that_selects_oddly_is_an_error_of_start(bench):
    with pytest.raises(ConfigError, match="topology raised OwnBase: no selection"):
        bench.start("a", **topology(topology="misbehaving:SelectsOddly"))


def test_kind_of_an_event_arrives_as_nothing_but_text(bench):
    a = bench.start("a", **topology(connector="misbehaving:TellsOddly"))
    events = a.subscribe()
    a.call("lan", "tell_oddly")
    kind = next_of(events, TopologyEvent).kind
    assert type(kind) is str
    assert kind == "odd"


def test_metadata_of_an_odd_kind_of_text_arrives_as_nothing_but_text(bench):
    a, b = bench.start("a"), bench.start("b")
    events = b.subscribe()
    a.wait_for(2, timeout_s=30)
    a.update_metadata({Sticky("role"): Sticky("web")})
    assert dict(next_of(events, NodeUpdated).node.metadata) == {"role": "web"}


def test_order_that_the_worker_cannot_read_costs_that_worker(bench):
    a = bench.start("a", **topology())
    events = a.subscribe()
    a._loop.submit("lan", lambda worker: worker.send(Explodes()))
    assert "cannot read: OwnBase" in next_of(events, TopologyRestarted).error
    until(lambda: a.status()["lan"].state is State.READY, "the successor")


def test_message_that_the_supervisor_cannot_read_costs_that_worker(bench):
    a = bench.start(
        "a",
        wan={"strategy": "misbehaving:Knows", "connector": "none"},
        **topology("misbehaving:SendsTheUnreadable"),
    )
    restarted = next_of(a.subscribe(), TopologyRestarted, topology="lan")
    assert "sent unreadable data: OwnBase" in restarted.error
    assert a.status()["wan"].restarts == 0


def test_endless_twins_are_reported_once(bench, caplog):
    a = bench.start("a", **topology("misbehaving:SeesManyTwins"))
    events = a.subscribe()
    next_of(events, NodeFound, node="last@127.0.0.1")
    a.stop()
    assert len([record for record in caplog.records if "name conflict" in record.message]) == 1


def test_connector_that_raises_for_every_node_is_logged_once(bench, caplog):
    caplog.set_level(logging.WARNING)
    a = bench.start(
        "a", **topology(KNOWS_MANY, {"name": "misbehaving:ConnectsOddly", "what": "own"})
    )
    until(lambda: len(set(a.call("lan", "tried"))) == 200, "a try of each")
    a.stop()
    messages = [record.message for record in caplog.records]
    assert sum("the connector raised for" in message for message in messages) == 1
