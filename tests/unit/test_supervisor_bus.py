"""Publish and subscribe: snapshot first, no gap, bounded, and no subscriber delays another."""

import threading

import pytest

from cluster_kit.events import NodeFound, NodeUp, Snapshot
from cluster_kit.node import Node
from cluster_kit.supervisor.bus import EventBus
from cluster_kit.supervisor.delivery import Delivery
from cluster_kit.supervisor.logs import LogRelay


def found(number, topology="lan"):
    return NodeFound(topology=topology, node=Node(f"n{number}@h"))


@pytest.fixture
def bus():
    bus = EventBus(["lan", "wan"])
    yield bus
    bus.close()


@pytest.fixture
def logs():
    logs = LogRelay()
    logs.start()
    yield logs
    logs.close()
    logs.join()


def test_subscription_begins_with_a_snapshot_of_each_topology(bus):
    bus.publish(found(1))
    with bus.subscribe() as events:
        first, second = next(events), next(events)
    assert (first.topology, first.seq, [str(n) for n in first.known]) == ("lan", 1, ["n1@h"])
    assert (second.topology, second.seq, second.known) == ("wan", 0, ())


def test_events_follow_the_snapshot_without_a_gap(bus):
    bus.publish(found(1))
    events = bus.subscribe("lan")
    for number in range(2, 6):
        bus.publish(found(number))
        bus.publish(found(number, "wan"))
    assert [next(events).seq for _ in range(5)] == [1, 2, 3, 4, 5]


def test_slow_subscriber_gets_a_fresh_snapshot_and_then_no_gap(bus):
    events = bus.subscribe("lan", maxsize=3)
    for number in range(20):
        bus.publish(found(number))
        assert events.queued <= 3
    read = [next(events) for _ in range(events.queued)]
    assert isinstance(read[0], Snapshot)
    assert len(read[0].known) + len(read) - 1 == 20
    assert [event.seq for event in read] == list(range(read[0].seq, 21))


def test_one_slow_subscriber_does_not_cost_another_its_events(bus):
    bus.subscribe("lan", maxsize=2)
    quick = bus.subscribe("lan")
    for number in range(10):
        bus.publish(found(number))
    assert [next(quick).seq for _ in range(11)] == list(range(11))


def test_closing_the_bus_ends_iteration_after_what_is_queued(bus):
    events = bus.subscribe("lan")
    bus.publish(found(1))
    bus.close()
    assert [type(event) for event in events] == [Snapshot, NodeFound]


def test_closing_a_subscription_wakes_its_reader(bus):
    events = bus.subscribe("lan")
    next(events)
    reader = threading.Thread(target=lambda: list(events))
    reader.start()
    events.close()
    reader.join(10)
    assert not reader.is_alive()


def test_get_times_out_with_the_time_in_the_message(bus):
    events = bus.subscribe("lan")
    next(events)
    with pytest.raises(TimeoutError, match=r"0\.01 s"):
        events.get(0.01)


def test_subscribing_to_a_closed_bus_says_how_it_ended(bus):
    bus.publish(found(1))
    bus.close()
    assert [event.seq for event in bus.subscribe("lan")] == [1]


@pytest.mark.parametrize("raised", [ValueError, SystemExit, KeyboardInterrupt])
def test_callbacks_are_isolated_from_each_other(bus, logs, caplog, raised):
    delivery = Delivery(bus, logs)
    delivery.start()
    heard = []

    def broken(event):
        raise raised("no")

    delivery.add(bus.subscribe("lan"), broken)
    delivery.add(bus.subscribe("lan"), heard.append)
    for number in range(5):
        bus.publish(NodeUp(topology="lan", node=Node(f"n{number}@h")))
    bus.close()
    delivery.join()
    logs.join()
    assert [event.seq for event in heard] == [0, 1, 2, 3, 4, 5]
    first, rest = [r.message for r in caplog.records if "callback" in r.message]
    assert f"raised {raised.__name__}: no on Snapshot" in first
    assert first.endswith(f"{raised.__name__}: no")  # with its traceback
    assert rest.endswith(" (the last of 5 more of this kind)")


def test_a_callback_may_close_its_own_subscription(bus, logs):
    delivery = Delivery(bus, logs)
    delivery.start()
    subscription = bus.subscribe("lan")
    heard = []

    def once(event):
        heard.append(event)
        subscription.close()

    delivery.add(subscription, once)
    bus.publish(found(1))
    bus.close()
    delivery.join()
    assert heard
    assert isinstance(heard[0], Snapshot)
