"""Sleeping readers and frozen applications cost their own node a queue, and nobody else anything.

``tox -e attacks`` has them sleep for a minute.
"""

import time

import pytest
from talking import Talk
from watched import FULL

pytestmark = [pytest.mark.once, pytest.mark.timeout(3600 if FULL else 120)]

SECONDS = 60 if FULL else 3
EACH_S = 0.0001  # between two messages
MIB = 1 << 20
QUEUE = {"max_messages": 20_000, "max_bytes": 4 * MIB}
# bytes that Python takes for each message besides its own, where it is queued and where it is
# counted
PYTHONS_SHARE = 250
MOST_QUEUED = 4 * MIB + 2 * QUEUE["max_messages"] * PYTHONS_SHARE
BOUND_S = 2.0  # for what takes milliseconds on an idle machine


@pytest.fixture
def talk():
    with Talk() as talk:
        ann, bob, eve, joe = (talk.make(name) for name in ("ann", "bob", "eve", "joe"))
        ann.do("subscribe", topic="slow", **QUEUE)
        ann.do("subscribe", topic="other")
        ann.do("answer", topic="echo", how="echo")
        joe.do("subscribe", topic="slow", max_messages=100_000, max_bytes=64 * MIB)
        talk.start(ann, bob, eve, joe)
        yield talk


def check_others(talk):
    """Check that what has nothing to do with the one topic goes on, and as fast as ever."""
    ann, eve = talk.talkers["ann"], talk.talkers["eve"]
    for _ in range(3):
        began_s = time.monotonic()
        assert eve.do("publish", topic="other", data=began_s) == 1
        assert ann.do("read", topic="other", count=1) == [["message", began_s]]
        assert eve.do("ask", to=ann.name, topic="echo", data=7)["value"] == 7
        assert time.monotonic() - began_s < BOUND_S


def test_reader_that_sleeps_costs_a_queue(talk):
    ann, bob, _, joe = talk.talkers.values()
    check_others(talk)
    before, count = ann.memory(), int(SECONDS / EACH_S)
    events = ann.do("events")
    joe.begin("read_numbers", topic="slow", count=count)
    bob.begin("publish_many", topic="slow", count=count, each_s=EACH_S)
    while not bob.is_done():
        check_others(talk)
        time.sleep(0.1)
    handed_over, took_s = bob.done(SECONDS * 20)
    application, worker = (after - was for after, was in zip(ann.memory(), before, strict=True))
    print(
        f"\n{count / took_s:.0f} messages a second; application {application / MIB:.1f} MiB, "
        f"worker {worker / MIB:.1f} MiB"
    )
    assert application < MOST_QUEUED
    assert worker < 8 * MIB
    assert ann.do("events") == events, "no link was lost, and no worker"
    assert max(ann.do("round_trips")) < BOUND_S
    assert joe.done(SECONDS * 20) == {"first": 0, "last": count - 1, "heard": count}
    queued = handed_over - count  # at who sleeps
    assert queued <= QUEUE["max_messages"]
    items = ann.do("read_numbers", topic="slow", count=queued)
    assert items == {"first": 0, "last": queued - 1, "heard": queued}
    assert ann.do("read", topic="slow", count=1) == [["gap", count - queued]]
    bob.do("send", to=ann.name, topic="slow", data="last")
    assert ann.do("read", topic="slow", count=1) == [["message", "last"]]


def test_frozen_application_whose_worker_lives(talk):
    ann, bob, eve, joe = talk.talkers.values()
    before, count = ann.memory(), int(SECONDS / EACH_S)
    joe.begin("read_numbers", topic="slow", count=count)
    with ann.frozen():
        bob.begin("publish_many", topic="slow", count=count, each_s=EACH_S)
        handed_over, _ = bob.done(SECONDS * 20)
        failed = bob.do("send", to=ann.name, topic="slow", data=7, timeout_s=0.2)
        assert failed["error"] == "NotSentError"
        assert failed["s"] < BOUND_S
        answer = bob.do("ask", to=ann.name, topic="echo", data=7, timeout_s=0.2)
        assert answer["error"] in ("NotSentError", "UnansweredError")
        worker = ann.memory()[1] - before[1]
        print(f"\n{handed_over} handed over; worker {worker / MIB:.1f} MiB")
        assert worker < 8 * MIB
        assert ann.name in eve.do("nodes"), "its worker keeps the links"
    assert joe.done(SECONDS * 20) == {"first": 0, "last": count - 1, "heard": count}
    queued = handed_over - count
    items = ann.do("read_numbers", topic="slow", count=queued)
    assert items == {"first": 0, "last": queued - 1, "heard": queued}
    assert ann.do("read", topic="slow", count=1) == [["gap", count - queued]]
    bob.do("send", to=ann.name, topic="slow", data="last")
    assert ann.do("read", topic="slow", count=1) == [["message", "last"]]
    check_others(talk)
