"""Messages and questions between real supervisors, over real workers and links."""

import asyncio
import itertools
import os
import signal
import threading

import pytest
from topic_nodes import DEADLINE_S, read
from waiting import next_of, until

from cluster_kit import (
    AsyncSupervisor,
    Gap,
    Message,
    NodeUp,
    NotLinkedError,
    NotSentError,
    RemoteError,
    UnansweredError,
)


def test_message_published_after_wait_for_arrives(nodes):
    ann, bob = nodes.make("ann"), nodes.make("bob")
    heard = bob.topic("cache").subscribe()
    nodes.start(ann, bob)
    assert ann.topic("cache").publish({"user": 7}) == 1
    assert heard.get(DEADLINE_S) == Message(sender=bob.nodes()[0], data={"user": 7}, topic="cache")


def test_message_published_on_node_up_arrives(nodes):
    """Twenty nodes join one, five at a time: sixty links, each greeted by both ends at once."""
    ann = nodes.make("ann")
    at_ann = _greeted(ann)
    ann.start()
    for row in range(4):
        joining = [nodes.make(f"bob{row}-{number}") for number in range(5)]
        heard = [_greeted(each) for each in joining]
        starting = [threading.Thread(target=each.start) for each in joining]
        for each in starting:
            each.start()
        names = {each.local.name for each in joining}
        assert _senders(at_ann, ann, len(names)) == names
        for each, subscription in zip(joining, heard, strict=True):
            assert _senders(subscription, each, len(names)) == names - {each.local.name} | {
                ann.local.name
            }
        for each in starting:
            each.join()
        for each in joining:
            each.stop()
        until(lambda: ann.nodes() == (), "all have left")


def _greeted(supervisor):
    """Make a node greet others as they come up; return its subscription to their greetings."""
    topic = supervisor.topic("hello")
    supervisor.subscribe(lambda event: isinstance(event, NodeUp) and topic.publish(event.node.name))
    return topic.subscribe()


def _senders(subscription, supervisor, count):
    """Wait until ``count`` nodes have greeted a node, and return their names."""
    senders = set()
    while len(senders) < count:
        item = subscription.get(DEADLINE_S)
        if item.data == supervisor.local.name:
            senders.add(item.sender.name)
    return senders


def test_each_node_receives_messages_of_every_other_node_in_order(nodes):
    three = [nodes.make(name) for name in ("ann", "bob", "eve")]
    heard = [each.topic("cache").subscribe() for each in three]
    nodes.start(*three)
    publishers = [
        threading.Thread(target=_publish_many, args=(each.topic("cache"), each.local.name))
        for each in three
    ]
    for each in publishers:
        each.start()
    for own, subscription in zip(three, heard, strict=True):
        items = read(subscription, 4000)
        others = [each.local.name for each in three if each is not own]
        for name in others:
            assert [item.data[1] for item in items if item.sender.name == name] == list(range(2000))
            assert {item.data[0] for item in items if item.sender.name == name} == {name}
    for each in publishers:
        each.join()


def _publish_many(topic, name):
    for number in range(2000):
        assert topic.publish([name, number]) == 2


def test_send_reaches_a_node_by_name_or_one_run_of_it(nodes):
    ann, bob = nodes.make("ann"), nodes.make("bob")
    heard = bob.topic("cache").subscribe()
    nodes.start(ann, bob)
    cache = ann.topic("cache")
    [first] = cache.nodes()
    assert first == ann.nodes()[0]
    cache.send("bob@127.0.0.1", 1)
    cache.send(first, 2)
    assert [item.data for item in read(heard, 2)] == [1, 2]
    bob.stop()
    until(lambda: ann.nodes() == (), "bob has left")
    for call in (
        lambda: cache.send(first, 3),
        lambda: cache.send("bob@127.0.0.1", 3),
        lambda: cache.ask(first, 3),
    ):
        with pytest.raises(NotLinkedError):
            call()
    again = nodes.make("bob")
    heard = again.topic("cache").subscribe()
    again.start()
    ann.wait_for(2, timeout_s=DEADLINE_S)
    cache.send("bob@127.0.0.1", 4)
    with pytest.raises(NotLinkedError, match="not that run"):
        cache.send(first, 5)
    assert heard.get(DEADLINE_S).data == 4


def test_stalled_reader_loses_only_its_own_messages(nodes):
    ann, bob, eve = nodes.make("ann"), nodes.make("bob"), nodes.make("eve")
    idle = bob.topic("cache").subscribe(max_messages=100)
    at_eve, other = eve.topic("cache").subscribe(), bob.topic("other").subscribe()
    nodes.start(ann, bob, eve)
    cache = ann.topic("cache")
    counts = [cache.publish(number) for number in range(1000)]
    assert counts == [2] * 100 + [1] * 900
    with pytest.raises(NotSentError, match=r"bob@127.0.0.1 had no room in topic 'cache'"):
        cache.send("bob@127.0.0.1", "more", timeout_s=0.1)
    assert [item.data for item in read(at_eve, 1000)] == list(range(1000))
    ann.topic("other").publish("other")
    assert other.get(DEADLINE_S).data == "other"
    assert [item.data for item in read(idle, 100)] == list(range(100))
    assert idle.get(DEADLINE_S) == Gap(sender=idle_sender(bob), lost=900, topic="cache")
    cache.send("bob@127.0.0.1", "again")
    assert idle.get(DEADLINE_S).data == "again"


def idle_sender(supervisor):
    return next(node for node in supervisor.nodes() if node.name == "ann@127.0.0.1")


def test_question_ends_in_one_of_four_ways(nodes):
    ann, bob = nodes.make("ann"), nodes.make("bob")
    let_go, asked = threading.Event(), threading.Event()

    @bob.topic("stock").answer
    def stock(message):
        if message.data == "late":
            asked.set()
            let_go.wait(DEADLINE_S)
        return {"left": 10 / message.data}

    nodes.start(ann, bob)
    asking = ann.topic("stock")
    [node] = ann.nodes()
    assert asking.ask(node, 5) == {"left": 2.0}
    with pytest.raises(RemoteError, match="ZeroDivisionError"):
        asking.ask(node, 0)
    with pytest.raises(NotSentError):
        ann.topic("nobody's").ask(node, 0)
    with pytest.raises(NotLinkedError):
        asking.ask("eve@127.0.0.1", 0)
    with pytest.raises(UnansweredError):
        asking.ask(node, "late", timeout_s=0.1)
    asked.clear()
    threading.Thread(target=_kill_worker_when, args=(bob, asked)).start()
    with pytest.raises(UnansweredError, match="link is down"):
        asking.ask(node, "late", timeout_s=DEADLINE_S)
    let_go.set()


def _kill_worker_when(supervisor, event):
    assert event.wait(DEADLINE_S)
    os.kill(supervisor.status()["lan"].pid, signal.SIGKILL)


def test_ask_all_returns_partial_answers(nodes):
    ann, bob, eve = nodes.make("ann"), nodes.make("bob"), nodes.make("eve")
    let_go = threading.Event()
    bob.topic("stock").answer(lambda message: message.data)
    eve.topic("stock").answer(lambda _: let_go.wait(DEADLINE_S))
    nodes.start(ann, bob, eve)
    answers = ann.topic("stock").ask_all(7, timeout_s=0.5)
    at_bob, at_eve = ann.nodes()
    assert answers[at_bob] == 7
    assert isinstance(answers[at_eve], UnansweredError)
    let_go.set()


@pytest.mark.parametrize("whose", ["sender's", "reader's"])
def test_killed_worker_loses_only_what_gaps_report_and_repeats_nothing(nodes, whose):
    ann, bob = nodes.make("ann"), nodes.make("bob")
    heard = bob.topic("cache").subscribe(max_messages=100_000)
    nodes.start(ann, bob)
    victim, cache = ann if whose == "sender's" else bob, ann.topic("cache")
    events = victim.subscribe()
    handed_over, numbers = [], itertools.count()

    def publish(count):
        for number in itertools.islice(numbers, count):
            if cache.publish(number):
                handed_over.append(number)

    publish(2000)
    os.kill(victim.status()["lan"].pid, signal.SIGKILL)
    publish(2000)
    next_of(events, NodeUp)
    until(cache.nodes, "bob listens again")
    publish(2000)
    items = [heard.get(DEADLINE_S)]
    while items[-1] != Message(sender=items[-1].sender, data=handed_over[-1], topic="cache"):
        items.append(heard.get(DEADLINE_S))
    _check_accounted_for(items, handed_over)


def _check_accounted_for(items, handed_over):
    """Check that every message arrived once and in order, or is counted by a gap."""
    place = {number: index for index, number in enumerate(handed_over)}
    expected, gap = 0, None
    for item in items:
        if isinstance(item, Gap):
            assert gap is None, "two gaps in a row"
            gap = item
            continue
        index = place[item.data]
        assert index >= expected, f"{item.data} came twice, or late"
        if index > expected:
            assert gap is not None, (
                f"{index - expected} are missing before {item.data}, and nobody says so"
            )
        if gap is not None and gap.lost is not None:
            assert gap.lost == index - expected
        expected, gap = index + 1, None


def test_messages_published_before_stop_arrive(nodes):
    ann, bob = nodes.make("ann"), nodes.make("bob")
    heard = bob.topic("cache").subscribe()
    nodes.start(ann, bob)
    for number in range(3000):
        assert ann.topic("cache").publish(number) == 1
    ann.stop()
    assert [item.data for item in read(heard, 3000)] == list(range(3000))
    until(lambda: bob.nodes() == (), "ann has left")
    assert heard.queued == 0


def test_large_message_arrives_whole(nodes):
    ann, bob = nodes.make("ann"), nodes.make("bob")
    heard = bob.topic("cache").subscribe()
    nodes.start(ann, bob)
    large = os.urandom(1_000_000)
    ann.topic("cache").send("bob@127.0.0.1", large)
    ann.topic("cache").send("bob@127.0.0.1", "small")
    assert [item.data for item in read(heard, 2)] == [large, "small"]
    with pytest.raises(ValueError, match="at most 1048576"):
        ann.topic("cache").publish(bytes(1_048_576))


def test_callback_runs_in_its_own_thread(nodes):
    ann, bob = nodes.make("ann"), nodes.make("bob")
    heard, let_go = [], threading.Event()

    def hear(item):
        heard.append((item.data, threading.current_thread().name))
        let_go.wait(DEADLINE_S)

    bob.topic("cache").subscribe(hear)
    nodes.start(ann, bob)
    events = []
    bob.subscribe(events.append)
    ann.topic("cache").publish(1)
    until(lambda: heard == [(1, "cluster-kit-topic")], "the callback is called")
    ann.update_metadata({"zone": "b"})
    until(
        lambda: any(getattr(event, "node", None) and event.node.metadata for event in events),
        "events go on",
    )
    let_go.set()


def test_async_supervisors_exchange_messages_and_questions(nodes):
    async def scenario():
        ann, bob = AsyncSupervisor(nodes.config("ann")), AsyncSupervisor(nodes.config("bob"))
        items, called = bob.topic("cache").subscribe(), []
        bob.topic("cache").subscribe(called.append)

        @bob.topic("stock").answer
        async def stock(message):
            await asyncio.sleep(0)
            return message.data, asyncio.get_running_loop() is loop

        loop = asyncio.get_running_loop()
        async with ann, bob:
            await ann.wait_for(2, timeout_s=DEADLINE_S)
            cache = ann.topic("cache")
            assert [await cache.publish(number) for number in range(100)] == [1] * 100
            await cache.send("bob@127.0.0.1", 100)
            assert [(await anext(items)).data for _ in range(101)] == list(range(101))
            assert await ann.topic("stock").ask("bob@127.0.0.1", 7) == [7, True]
            assert await ann.topic("stock").ask_all(7) == {
                node: [7, True] for node in await ann.nodes()
            }
        assert [item async for item in items] == []
        assert [item.data for item in called] == list(range(101))

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S))


def test_node_that_subscribes_after_link_up_gets_a_gap_for_too_long_a_message(nodes):
    """It has sent no greeting, so the sender doesn't know that it takes less than others."""
    short = {"lan": {"strategy": "gossip", "connector": {"name": "tcp", "max_message_bytes": 1000}}}
    ann, bob = nodes.start(nodes.make("ann"), nodes.make("bob", **short))
    heard = bob.topic("cache").subscribe()
    bob.topic("stock").answer(lambda message: message.data)
    until(lambda: ann.topic("cache").publish("short") == 1, "ann knows that bob listens")
    assert heard.get(DEADLINE_S).data == "short"
    to = bob.local.name
    for size in (2000, 500_000):
        ann.topic("cache").send(to, bytes(size), timeout_s=DEADLINE_S)
        assert heard.get(DEADLINE_S) == Gap(sender=bob.nodes()[0], lost=1, topic="cache")
        with pytest.raises(NotSentError, match="at most 1000 bytes"):
            ann.topic("stock").ask(to, bytes(size), timeout_s=DEADLINE_S)
