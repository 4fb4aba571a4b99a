"""Questions to nodes that a fault hits: each of the four outcomes comes in good time."""

import signal
import time

import pytest
from talking import Talk
from waiting import until

pytestmark = pytest.mark.once

LONG_S = 60  # for an answer
SOON_S = 20  # far less
OPEN = 256  # questions to one node


@pytest.fixture
def talk():
    with Talk() as talk:
        ann, bob = talk.make("ann"), talk.make("bob")
        for how in ("raise", "wait", "echo"):
            ann.do("answer", topic=how, how=how)
        talk.start(ann, bob)
        yield talk


@pytest.fixture
def ann(talk):
    return talk.talkers["ann"]


@pytest.fixture
def bob(talk):
    return talk.talkers["bob"]


def ask(bob, topic="echo", to="ann@127.0.0.1", timeout_s=SOON_S):
    return bob.do("ask", to=to, topic=topic, data=7, timeout_s=timeout_s)


def test_each_end(ann, bob):
    assert ask(bob)["value"] == 7
    raised = ask(bob, "raise")
    assert raised["error"] == "RemoteError"
    assert raised["text"].startswith("ann@127.0.0.1: ValueError: xxx")
    assert ask(bob, "nobody's")["error"] == "NotSentError"
    assert ask(bob, to="eve@127.0.0.1")["error"] == "NotLinkedError"
    unanswered = ask(bob, "wait", timeout_s=0.3)
    assert unanswered["error"] == "UnansweredError"
    ann.do("let_go")
    assert ask(bob, "wait")["value"] == 7


@pytest.mark.parametrize("whom", ["application", "worker", "own worker"])
def test_kill_during_an_answer_leaves_the_question_unanswered_at_once(ann, bob, whom):
    bob.begin("ask", to=ann.name, topic="wait", data=7, timeout_s=LONG_S)
    until(lambda: ann.do("asked"), "it is asked")
    if whom == "application":
        ann.process.kill()
    else:
        (ann if whom == "worker" else bob).signal_worker(signal.SIGKILL)
    unanswered = bob.done()
    assert unanswered["error"] == "UnansweredError"
    assert "the link is down" in unanswered["text"]
    assert unanswered["s"] < SOON_S
    if whom == "application":
        assert ask(bob)["error"] == "NotLinkedError"
    else:
        until(lambda: ask(bob).get("value") == 7, "it answers again")


def test_application_that_is_frozen_leaves_it_unanswered_in_time(ann, bob):
    began_s = time.monotonic()
    with ann.frozen():
        assert ask(bob, timeout_s=0.5)["error"] == "UnansweredError"
    assert time.monotonic() - began_s < SOON_S
    assert ask(bob)["value"] == 7


def test_where_too_many_are_open_the_others_certainly_do_not_run(ann, bob):
    ends = bob.do("ask_many", to=ann.name, topic="wait", count=OPEN + 50, timeout_s=2)
    assert ends == {"UnansweredError": OPEN, "NotSentError": 50}
    ann.do("let_go")
    until(lambda: ask(bob).get("value") == 7, "there is room again")
    assert ann.do("asked") <= OPEN


def test_node_that_leaves_ends_them(ann, bob):
    bob.begin("ask", to=ann.name, topic="wait", data=7, timeout_s=LONG_S)
    until(lambda: ann.do("asked"), "it is asked")
    ann.do("stop")
    unanswered = bob.done()
    assert unanswered["error"] == "UnansweredError"
    assert unanswered["s"] < SOON_S
