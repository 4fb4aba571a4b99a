"""Which topologies have topics, and how topics outlive changes but not the supervisor's stop."""

import os
import signal

import pytest
from topic_nodes import DEADLINE_S, read
from waiting import until

from cluster_kit import ClusterKitError, ConfigError, NotSentError, Supervisor, UnansweredError


def test_topology_that_carries_no_messages_has_no_topics(nodes):
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


def test_topology_is_optional_unless_several_carry_messages(nodes):
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
def test_invalid_topic_name_is_refused(nodes, name):
    with pytest.raises((ValueError, TypeError), match=r"^topic"):
        nodes.make("ann").topic(name)


# -- before, during and after a run ----------------------------------------------------------------


def test_calls_raise_before_the_start_and_after_the_stop(nodes):
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


def test_replaced_topology_keeps_its_topics(nodes):
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


def test_removed_topology_ends_its_topics(nodes):
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


def test_supervisor_made_before_a_fork_has_topics_in_the_child(nodes):
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
def test_callback_or_answer_may_stop_the_supervisor(nodes, how):
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


def test_signal_handler_may_stop_the_supervisor_during_a_call(nodes):
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
