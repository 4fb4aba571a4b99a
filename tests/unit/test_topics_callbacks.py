"""Callbacks of topics, and the end of topics: a call that hangs or waits holds up no other."""

import os
import threading

import pytest
from waiting import until

from cluster_kit.errors import ClusterKitError

# -- callbacks -------------------------------------------------------------------------------------


def test_callback_is_called_again_after_it_raised(ann, bob, caplog):
    heard = []

    def hear(item):
        heard.append(item.data)
        if item.data == 1:
            raise LookupError("no such shelf")

    bob.topic("cache").subscribe(hear)
    ann.link(bob)
    for number in range(3):
        ann.topic("cache").publish(number)
    until(lambda: heard == [0, 1, 2], "all were heard")
    assert (
        "callback test_callback_is_called_again_after_it_raised.<locals>.hear raised" in caplog.text
    )


def test_slow_callback_does_not_hold_up_others(ann, bob):
    let_go = threading.Event()
    heard = []
    bob.topic("slow").subscribe(lambda _: let_go.wait(30))
    bob.topic("fast").subscribe(lambda item: heard.append(item.data))
    ann.link(bob)
    ann.topic("slow").publish(1)
    ann.topic("fast").publish(2)
    until(lambda: heard == [2], "the other one is called")
    let_go.set()


async def coroutine(item):
    pass


@pytest.mark.parametrize("callback", [7, "print", coroutine])
def test_invalid_callback_is_refused(ann, callback):
    with pytest.raises(TypeError, match=r"^subscribe: .*expected a plain function"):
        ann.topic("cache").subscribe(callback)


def test_callback_that_never_returns_is_abandoned(ann, bob, monkeypatch, caplog):
    monkeypatch.setattr("cluster_kit.supervisor.application_calls.LIMIT_S", 0.1)
    let_go, called = threading.Event(), threading.Event()

    def wait(item):
        called.set()
        let_go.wait(30)

    bob.topic("cache").subscribe(wait)
    ann.link(bob)
    ann.topic("cache").publish(1)
    assert called.wait(10)
    bob.boards.close()
    bob.boards.join()
    assert "wait has not returned for 0.1 s: abandoned" in caplog.text
    let_go.set()


@pytest.mark.parametrize(
    "bounds", [{"max_messages": 0}, {"max_bytes": 0}, {"max_messages": 1.5}, {"max_messages": True}]
)
def test_queue_bounds_must_be_positive_integers(ann, bounds):
    with pytest.raises(ValueError, match="expected a number, at least 1"):
        ann.topic("cache").subscribe(**bounds)


# -- the end ---------------------------------------------------------------------------------------


def test_stopping_supervisor_ends_subscriptions_after_queued_messages(ann, bob):
    heard = bob.topic("cache").subscribe()
    ann.link(bob)
    ann.topic("cache").publish(1)
    bob.settle()
    bob.boards.close()
    assert [item.data for item in heard] == [1]
    assert heard.exhausted
    for call in (
        lambda: bob.topic("cache").publish(1),
        bob.topic("cache").nodes,
        bob.topic("cache").subscribe,
    ):
        with pytest.raises(ClusterKitError, match=r"^topic: the supervisor has stopped"):
            call()
    heard.close()


def test_removed_topology_ends_its_topics(bob):
    cache = bob.topic("cache")
    heard = cache.subscribe()
    bob.boards.remove("lan")
    assert heard.get(10) is None
    with pytest.raises(ClusterKitError, match=r"^topic: topology 'lan' was removed"):
        cache.publish(1)


def test_waiting_reader_is_woken_when_the_subscription_closes(bob):
    heard = bob.topic("cache").subscribe()
    items = []
    reader = threading.Thread(target=lambda: items.extend(heard))
    reader.start()
    heard.close()
    reader.join(10)
    assert not reader.is_alive()
    assert items == []


def test_get_waits_no_longer_than_its_timeout(bob):
    heard = bob.topic("cache").subscribe()
    with pytest.raises(TimeoutError, match=r"topic 'cache': nothing came within 0.01 s"):
        heard.get(0.01)
    with pytest.raises(TypeError, match="get: timeout_s"):
        heard.get("soon")


def test_signal_handler_during_a_call_gets_an_error_instead_of_a_deadlock(ann):
    cache = ann.topic("cache")
    with ann.board.lock:  # as the handler finds it
        for call in (
            lambda: cache.publish(1),
            lambda: cache.send("bob@h", 1),
            cache.subscribe,
            cache.nodes,
        ):
            with pytest.raises(ClusterKitError, match="signal handler"):
                call()
    assert cache.publish(1) == 0


def test_interrupted_calls_lose_messages_but_keep_the_link(ann, bob, monkeypatch):
    """Like Ctrl-C in a notebook, where the cluster goes on."""
    heard = bob.topic("cache").subscribe()
    ann.link(bob)
    cache = ann.topic("cache")
    cache.publish("first")

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ann, "send_parcel", interrupt)
        for number in range(10):
            with pytest.raises(KeyboardInterrupt):
                cache.publish(number)
    assert cache.publish("last") == 1
    items = [heard.get(10) for _ in range(3)]
    assert [getattr(item, "data", None) or item.lost for item in items] == ["first", 10, "last"]


def test_forked_child_gets_an_error_instead_of_a_deadlock(bob):
    cache = bob.topic("cache")
    heard = cache.subscribe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for call in (lambda: cache.publish(1), lambda: heard.get(5), heard.close):
                with pytest.raises(ClusterKitError, match="after the fork"):
                    call()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
