"""Messages between real supervisors, over real workers and links."""

import asyncio
import itertools
import os
import secrets
import signal
import threading
from contextlib import ExitStack

import pytest
from waiting import next_of, until

from cluster_kit import (
    AsyncSupervisor,
    ClusterKitError,
    ConfigError,
    Gap,
    Message,
    NodeUp,
    NotLinkedError,
    NotSentError,
    RemoteError,
    Supervisor,
    UnansweredError,
)

DEADLINE_S = 30


class Nodes:
    """Nodes of a cluster of their own, unstarted, so that topics exist from the first moment."""

    def __init__(self, running):
        self._running = running
        self._cluster = f"test-{secrets.token_hex(6)}"
        self._secret = secrets.token_hex(32)

    def config(self, name, **topologies):
        gossip = {"lan": {"strategy": "gossip"}}
        return {
            "node": f"{name}@127.0.0.1",
            "cluster": self._cluster,
            "secret": self._secret,
            "topologies": topologies or gossip,
        }

    def make(self, name, **topologies):
        supervisor = Supervisor(self.config(name, **topologies))
        self._running.callback(supervisor.stop)
        return supervisor

    def start(self, *supervisors):
        for each in supervisors:
            each.start()
        for each in supervisors:
            each.wait_for(len(supervisors), timeout_s=DEADLINE_S)
        return supervisors


@pytest.fixture
def nodes():
    with ExitStack() as running:
        yield Nodes(running)


def read(subscription, count):
    return [subscription.get(DEADLINE_S) for _ in range(count)]


def test_what_is_published_after_the_wait_reaches(nodes):
    ann, bob = nodes.make("ann"), nodes.make("bob")
    heard = bob.topic("cache").subscribe()
    nodes.start(ann, bob)
    assert ann.topic("cache").publish({"user": 7}) == 1
    assert heard.get(DEADLINE_S) == Message(sender=bob.nodes()[0], data={"user": 7}, topic="cache")


def test_what_is_published_on_a_join_reaches(nodes):
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
    """Have a node greet others as they come up; return what it receives itself."""
    topic = supervisor.topic("hello")
    supervisor.subscribe(lambda event: isinstance(event, NodeUp) and topic.publish(event.node.name))
    return topic.subscribe()


def _senders(subscription, supervisor, count):
    """Return who has greeted a node, once so many have."""
    senders = set()
    while len(senders) < count:
        item = subscription.get(DEADLINE_S)
        if item.data == supervisor.local.name:
            senders.add(item.sender.name)
    return senders


def test_each_receives_each_other_in_order(nodes):
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


def test_to_one_by_its_name_or_to_this_very_run(nodes):
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


def test_a_reader_that_does_not_read_costs_its_own_messages_only(nodes):
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


def test_a_question_has_four_ends(nodes):
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


def test_partial_answers_are_answers(nodes):
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
def test_worker_that_is_killed_loses_what_gaps_say_and_doubles_nothing(nodes, whose):
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


def test_what_was_published_before_the_end_arrives(nodes):
    ann, bob = nodes.make("ann"), nodes.make("bob")
    heard = bob.topic("cache").subscribe()
    nodes.start(ann, bob)
    for number in range(3000):
        assert ann.topic("cache").publish(number) == 1
    ann.stop()
    assert [item.data for item in read(heard, 3000)] == list(range(3000))
    until(lambda: bob.nodes() == (), "ann has left")
    assert heard.queued == 0


def test_a_large_message_arrives_whole(nodes):
    ann, bob = nodes.make("ann"), nodes.make("bob")
    heard = bob.topic("cache").subscribe()
    nodes.start(ann, bob)
    large = os.urandom(1_000_000)
    ann.topic("cache").send("bob@127.0.0.1", large)
    ann.topic("cache").send("bob@127.0.0.1", "small")
    assert [item.data for item in read(heard, 2)] == [large, "small"]
    with pytest.raises(ValueError, match="at most 1048576"):
        ann.topic("cache").publish(bytes(1_048_576))


def test_callback_runs_in_a_thread_of_its_own(nodes):
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


def test_asyncio(nodes):
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


# -- which topology --------------------------------------------------------------------------------


def test_links_that_carry_nothing_have_no_topics(nodes):
    bare = nodes.make("ann", lan={"strategy": "gossip", "connector": "none"})
    with pytest.raises(
        ConfigError, match=r"no topology carries messages, .* \('none'\): use connector 'tcp'"
    ):
        bare.topic("cache")
    with pytest.raises(
        ConfigError,
        match="'lan' carries no messages, as its connector 'none' doesn't: use connector 'tcp'",
    ):
        bare.topic("cache", topology="lan")
    with pytest.raises(ClusterKitError, match="topology 'wan': not configured"):
        bare.topic("cache", topology="wan")


def test_callback_connector_has_no_topics(nodes):
    called = nodes.make(
        "ann",
        lan={"strategy": "gossip", "connect": "builtins:print", "disconnect": "builtins:print"},
    )
    with pytest.raises(ConfigError, match=r"'callback'.*use connector 'tcp'"):
        called.topic("cache")


def test_the_one_topology_that_carries_is_found_and_of_several_one_is_named(nodes):
    none = {"strategy": "gossip", "connector": "none"}
    assert nodes.make("ann", lan={"strategy": "gossip"}, far=none).topic("cache").topology == "lan"
    both = nodes.make("bob", lan={"strategy": "gossip"}, wan={"strategy": "gossip"})
    with pytest.raises(
        ConfigError,
        match="several topologies carry messages: name one of them as topology=: lan, wan",
    ):
        both.topic("cache")
    assert repr(both.topic("cache", topology="wan")) == "<Topic 'cache' of topology 'wan'>"


def test_observer_has_no_topics(nodes):
    with pytest.raises(ClusterKitError, match="an observer has no links"):
        Supervisor(nodes.config("ann"), observe=True).topic("cache")


@pytest.mark.parametrize("name", ["", "x" * 256, 7])
def test_what_is_no_name_is_refused(nodes, name):
    with pytest.raises((ValueError, TypeError), match=r"^topic"):
        nodes.make("ann").topic(name)


# -- before, after and amid ------------------------------------------------------------------------


def test_before_the_start_and_after_the_stop(nodes):
    ann = nodes.make("ann")
    cache = ann.topic("cache")
    heard = cache.subscribe()
    for call in (
        lambda: cache.publish(1),
        lambda: cache.send("b@h", 1),
        lambda: cache.ask("b@h", 1),
        cache.nodes,
    ):
        with pytest.raises(ClusterKitError, match="not started"):
            call()
    ann.start()
    assert cache.publish(1) == 0
    ann.stop()
    assert list(heard) == []
    for call in (
        lambda: cache.publish(1),
        lambda: cache.send("b@h", 1),
        cache.subscribe,
        lambda: cache.answer(print),
    ):
        with pytest.raises(ClusterKitError, match="the supervisor has stopped"):
            call()


def test_topology_that_is_replaced_keeps_its_topics(nodes):
    ann, bob = nodes.make("ann"), nodes.make("bob")
    heard = bob.topic("cache").subscribe()
    bob.topic("stock").answer(lambda message: message.data)
    nodes.start(ann, bob)
    ann.topic("cache").publish(1)
    assert heard.get(DEADLINE_S).data == 1
    bob.replace_topology(
        "lan", {"strategy": "gossip", "connector": {"name": "tcp", "max_message_bytes": 2000}}
    )
    ann.wait_for(2, timeout_s=DEADLINE_S)
    until(ann.topic("cache").nodes, "bob is linked anew")
    assert ann.topic("stock").nodes() == ()
    assert ann.topic("stock").nodes(answering=True) == ann.nodes()
    assert ann.topic("cache").publish(2) == 1
    assert [item.data for item in read(heard, 1)] == [2]
    assert ann.topic("stock").ask("bob@127.0.0.1", 3) == 3
    with pytest.raises(NotSentError, match="at most 2000"):
        ann.topic("cache").send("bob@127.0.0.1", "x" * 3000)


def test_topology_that_is_removed_ends_its_topics(nodes):
    ann = nodes.make(
        "ann", lan={"strategy": "gossip"}, far={"strategy": "gossip", "connector": "none"}
    )
    cache = ann.topic("cache")
    heard = cache.subscribe()
    ann.start()
    ann.remove_topology("lan")
    assert heard.get(DEADLINE_S) is None
    with pytest.raises(ClusterKitError, match="topology 'lan' was removed"):
        cache.publish(1)


def test_supervisor_that_was_made_before_a_fork_has_topics_in_the_child(nodes):
    ann = nodes.make("ann")
    cache = ann.topic("cache")
    heard = cache.subscribe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            ann.start()
            assert cache.publish(1) == 0
            ann.stop()
            assert heard.get(0) is None
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("how", ["callback", "answer", "coroutine"])
def test_stop_by_what_messages_call(nodes, how):
    ann, bob = nodes.make("ann"), nodes.make("bob")

    async def stop(_):
        bob.stop()

    if how == "callback":
        bob.topic("end").subscribe(lambda _: bob.stop())
    else:
        bob.topic("end").answer(stop if how == "coroutine" else lambda _: bob.stop())
    nodes.start(ann, bob)
    if how == "callback":
        ann.topic("end").publish(None)
    else:
        with pytest.raises(UnansweredError):
            ann.topic("end").ask("bob@127.0.0.1", None, timeout_s=DEADLINE_S)
    assert bob.join(DEADLINE_S)


def test_stop_in_a_signal_handler_amid_a_call(nodes):
    ann, bob = nodes.make("ann"), nodes.make("bob")
    bob.topic("cache").subscribe(max_messages=10)
    nodes.start(ann, bob)
    cache = ann.topic("cache")
    before = signal.signal(signal.SIGALRM, lambda *_: ann.stop())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(ClusterKitError, match="the supervisor has stopped"):
            _publish_for_ever(cache)
    finally:
        signal.signal(signal.SIGALRM, before)
    ann.stop()


def _publish_for_ever(topic):
    while True:
        topic.publish(1)
