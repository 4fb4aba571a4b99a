"""The event bus and its asyncio readers under detangle, which explores the order of their turns.

Readers in threads are left out: they wait on a lock, and detangle runs a thread to its end before
anything else.
"""

import asyncio

import detangle
import pytest

from cluster_kit.events import NodeFound, NodeLost, Reason, Snapshot
from cluster_kit.node import Node
from cluster_kit.supervisor.aio import AsyncSubscription
from cluster_kit.supervisor.bus import EventBus

RUNS = 200
NODES = [Node(f"n{number}@h") for number in range(4)]


async def publish(bus, topology):
    for node in NODES:
        bus.publish(NodeFound(topology=topology, node=node))
        await asyncio.sleep(0)
    bus.publish(NodeLost(topology=topology, node=NODES[0], reason=Reason.GONE))


async def read(subscription):
    """Return all events of a subscription."""
    async with AsyncSubscription(subscription, None) as events:
        return [event async for event in events]


def check(events, bus, topology):
    """Check that a topology's events begin with a snapshot and reach the end without a gap."""
    seqs = [event.seq for event in events]
    assert isinstance(events[0], Snapshot)
    for event, before in zip(events[1:], seqs, strict=False):
        assert event.seq == before + 1 or (isinstance(event, Snapshot) and event.seq >= before), (
            f"a gap: {events}"
        )
    assert seqs[-1] == bus.views[topology].seq == len(NODES) + 1, "the last event is missing"


async def readers_and_publishers():
    bus = EventBus(["lan", "wan"])
    readers = [
        asyncio.create_task(read(bus.subscribe(topology, maxsize)))
        for topology in ("lan", None)
        for maxsize in (1, 3, 100)
    ]
    await asyncio.gather(publish(bus, "lan"), publish(bus, "wan"))
    bus.close()
    for reader in readers:
        events = await reader
        for topology in {event.topology for event in events}:
            check([event for event in events if event.topology == topology], bus, topology)


async def subscription_closed_while_it_is_read():
    bus = EventBus(["lan"])
    events = AsyncSubscription(bus.subscribe(), None)

    async def close():
        await asyncio.sleep(0)
        await events.close()

    async def drain():
        return [event.seq async for event in events]

    seqs, *_ = await asyncio.gather(drain(), publish(bus, "lan"), close())
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    bus.close()


async def topology_removed_while_it_is_read():
    bus = EventBus(["lan", "wan"])
    reader = asyncio.create_task(read(bus.subscribe("wan")))

    async def remove():
        await asyncio.sleep(0)
        bus.remove("wan")

    await asyncio.gather(publish(bus, "lan"), remove())
    await reader
    bus.close()


async def callback_that_is_given_events():
    bus = EventBus(["lan"])
    seqs = []
    events = AsyncSubscription(bus.subscribe(), lambda event: seqs.append(event.seq))
    await publish(bus, "lan")
    bus.close()
    await events._reader
    assert seqs == list(range(seqs[0], len(NODES) + 2))


@pytest.mark.parametrize("strategy", ["pct:3", "random", "dfs:2"])
@pytest.mark.parametrize(
    "scenario",
    [
        readers_and_publishers,
        subscription_closed_while_it_is_read,
        topology_removed_while_it_is_read,
        callback_that_is_given_events,
    ],
    ids=lambda scenario: scenario.__name__,
)
def test_events_have_no_gap_and_no_reader_hangs_in_any_order(scenario, strategy):
    print(
        detangle.explore(
            scenario, runs=RUNS, seed=1, strategy=strategy, database=False, check_leaks=True
        ).summary()
    )
