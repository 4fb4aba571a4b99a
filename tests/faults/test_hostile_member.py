"""A member with the secret lies to applications: only its victim pays, and nothing that lasts.

``tox -e attacks`` sends a million of each.
"""

import random
from contextlib import contextmanager

import pytest
from mallory import PLENTY, RUN, Mallory, greeting
from talking import Talk
from waiting import until
from watched import FULL

from cluster_kit.abc import MAX_GREETING_BYTES
from cluster_kit.wire import topics as wire

pytestmark = [pytest.mark.once, pytest.mark.timeout(3600 if FULL else 80)]

MANY = 1_000_000 if FULL else 30_000
RUNS = 200 if FULL else 8
MIB = 1 << 20
MAX_LOG_LINES = 60
OPENING = wire.Opening(RUN, 0)
EVERYTHING = {"hostile": wire.Interest(1, PLENTY, PLENTY, answers=True)}


@pytest.fixture(scope="module")
def talk():
    with Talk() as talk:
        ann, bob = talk.make("ann"), talk.make("bob")
        for topic in ("honest", "hostile"):
            ann.do("subscribe", topic=topic)
        ann.do("answer", topic="raises", how="raise")
        ann.do("answer", topic="echoes", how="echo")
        ann.do("answer", topic="waits", how="wait")
        talk.start(ann, bob)
        yield talk


@pytest.fixture
def ann(talk):
    return talk.talkers["ann"]


@pytest.fixture
def victim(ann):
    return ann.do("address")


@contextmanager
def unharmed(talk, growth=8 * MIB):
    """Check that an attack changes neither memory, log nor honest topics, during it and after."""
    ann, bob = talk.talkers["ann"], talk.talkers["bob"]
    _speak_honestly(ann, bob)
    before, lines, worker = ann.memory(), len(ann.log), ann.worker
    yield
    _speak_honestly(ann, bob)
    assert ann.do("pid") == worker
    grown = [after - was for after, was in zip(ann.memory(), before, strict=True)]
    assert max(grown) < growth, f"memory of application and worker grew by {grown}"
    assert len(ann.log) - lines < MAX_LOG_LINES, "".join(ann.log[lines:][:100])


def _speak_honestly(ann, bob):
    data = random.random()
    assert bob.do("publish", topic="honest", data=data) == 1
    assert ann.do("read", topic="honest", count=1, of=bob.name) == [["message", data]]
    assert bob.do("ask", to=ann.name, topic="echoes", data=data)["value"] == data


def test_topics_that_are_announced_without_end(talk, ann, victim):
    with unharmed(talk), Mallory(talk, victim, greeting()) as mallory:
        mallory.say(OPENING)
        for start in range(0, MANY, 200):
            topics = [f"{number:0>200}" for number in range(start, start + 200)]
            mallory.flood(
                wire.encode([wire.Interested(topic, EVERYTHING["hostile"]) for topic in topics])
            )
        until(lambda: "listens to more than 1024 topics" in "".join(ann.log), "it is ignored")
        assert mallory.is_linked


def test_topics_that_come_and_go(talk, ann, victim):
    with unharmed(talk), Mallory(talk, victim, greeting()) as mallory:
        mallory.say(OPENING)
        for start in range(0, MANY, 100):
            topics = [f"{number:0>200}" for number in range(start, start + 100)]
            records = [wire.Interested(topic, EVERYTHING["hostile"]) for topic in topics]
            mallory.say(*records, *map(wire.Uninterested, topics))
        mallory.say(wire.Interested("mallory is done", EVERYTHING["hostile"]))
        until(lambda: ann.do("nodes", topic="mallory is done"), "all is heard")


def test_runs_without_end_that_listen_to_much(talk, ann, victim):
    """Each run is remembered for a while, as it may return, but its topics are not."""
    topics = {f"{number:0>200}": EVERYTHING["hostile"] for number in range(1024)}
    with unharmed(talk), Mallory(talk, victim, greeting(topics)) as mallory:
        for run in range(RUNS):
            told = greeting(topics, run=run.to_bytes(wire.RUN_BYTES))
            mallory.unlink()
            mallory.link(told)
            mallory.say(wire.Opening(run.to_bytes(wire.RUN_BYTES), 0))


def test_memory_is_bounded_when_endless_runs_flood_an_unread_topic(talk, ann, victim):
    """The queue is bounded, and so must be the record of unread messages."""
    with unharmed(talk, growth=24 * MIB), Mallory(talk, victim, greeting()) as mallory:
        number_of_topic = mallory.told.interests["hostile"].stream
        for run in range(RUNS):
            own = run.to_bytes(wire.RUN_BYTES)
            mallory.unlink()
            mallory.link(greeting(run=own))
            mallory.say(wire.Opening(own, 0))
            for start in range(1, 20_001, 2000):
                mallory.say(
                    *(
                        wire.Data(number_of_topic, number, b"\xc0")
                        for number in range(start, start + 2000)
                    )
                )
        until(lambda: ann.do("queued", topic="hostile") >= 10_000, "the queue is full")
    ann.do("empty", topic="hostile")


@pytest.mark.parametrize("topic", ["raises", "echoes", "nobody's"])
def test_questions_without_end_whose_answers_are_not_taken(talk, victim, topic):
    with unharmed(talk, growth=48 * MIB), Mallory(talk, victim, greeting()) as mallory:
        mallory.say(OPENING)
        data = b"\xc5\x07\xd0" + bytes(2000)
        for start in range(0, MANY, 25):
            mallory.say(
                *(wire.Asked(number, topic, 60_000, data) for number in range(start, start + 25))
            )


def test_flood_of_questions_is_declined_and_others_are_answered(talk, ann, victim):
    """One member's questions fill its share of the answering threads; others are refused."""
    with Mallory(talk, victim, greeting()) as mallory:
        mallory.say(OPENING)
        for start in range(0, MANY, 500):
            mallory.say(
                *(wire.Asked(number, "waits", 1, b"\xc0") for number in range(start, start + 500))
            )
        declined = until(
            lambda: [r for r in mallory.records() if isinstance(r, wire.Declined)], "it is declined"
        )
        assert "busy" in declined[0].reason
        ann.do("let_go")
        until(
            lambda: (
                talk.talkers["bob"].do("ask", to=ann.name, topic="echoes", data=7).get("value") == 7
            ),
            "others are answered",
        )
    with unharmed(talk):
        pass


def test_chunks_that_never_end(talk, victim):
    """Eight of the longest, or a little more than each may be, at once."""
    with unharmed(talk, growth=16 * MIB), Mallory(talk, victim, greeting()) as mallory:
        mallory.say(OPENING)
        part = bytes(wire.FRAGMENT_BYTES)
        for number in range(MANY // 50):
            mallory.say(wire.Fragment(number % wire.MAX_LANES, False, part))
        assert mallory.is_linked


def test_unsolicited_answers_are_harmless(talk, victim):
    with unharmed(talk), Mallory(talk, victim, greeting()) as mallory:
        mallory.say(OPENING)
        for start in range(0, MANY, 150):
            records = [
                (wire.Answered(n, b"\xc0"), wire.Raised(n, "no"), wire.Declined(n, "no"))
                for n in range(start, start + 50)
            ]
            mallory.say(*(record for row in records for record in row))


@pytest.mark.parametrize(
    "lie",
    [wire.Received(PLENTY), wire.Credit(1, PLENTY), wire.Opening(b"o" * 16, 0), wire.Closing()],
    ids=repr,
)
def test_lies_end_the_talk_and_nothing_else(talk, ann, victim, lie):
    with unharmed(talk), Mallory(talk, victim, greeting(EVERYTHING)) as mallory:
        until(lambda: ann.do("nodes", topic="hostile"), "it listens")
        assert ann.do("publish", topic="hostile", data=1) == 1
        mallory.say(OPENING)
        for _ in range(20):
            mallory.say(lie)
        if not isinstance(lie, wire.Closing):
            until(lambda: not ann.do("nodes", topic="hostile"), "it is ignored")
        assert mallory.is_linked


def test_garbage(talk, ann, victim):
    with unharmed(talk), Mallory(talk, victim, greeting(EVERYTHING)) as mallory:
        chance = random.Random(1)
        for _ in range(MANY // 20):
            mallory.flood(chance.randbytes(chance.randint(0, 2000)))
        until(lambda: not ann.do("nodes", topic="hostile"), "it is ignored")
        assert mallory.is_linked


def test_garbage_on_one_link_after_the_other(talk, ann, victim):
    with unharmed(talk), Mallory(talk, victim, b"\xc1 garbage") as mallory:
        for number in range(RUNS):
            mallory.unlink()
            mallory.link(greeting() if number % 2 else b"\xc1 garbage")
            mallory.flood(b"\xc1 garbage")


def test_more_than_there_is_room_for(talk, ann, victim):
    with unharmed(talk, growth=32 * MIB), Mallory(talk, victim, greeting()) as mallory:
        number_of_topic = mallory.told.interests["hostile"].stream
        mallory.say(OPENING)
        for start in range(1, MANY, 30):
            mallory.say(
                *(
                    wire.Data(number_of_topic, number, b"\xc5\x07\xd0" + bytes(2000))
                    for number in range(start, start + 30)
                )
            )
        until(lambda: ann.do("queued", topic="hostile") > 4000, "the queue is full")
    ann.do("empty", topic="hostile")


def test_flood_while_the_application_is_frozen(talk, ann, victim):
    """Its worker keeps some, and then ends the talk."""
    before = ann.memory()[1]
    with unharmed(talk, growth=24 * MIB), Mallory(talk, victim, greeting()) as mallory:
        number_of_topic = mallory.told.interests["hostile"].stream
        mallory.say(OPENING)
        said = [
            wire.Data(number_of_topic, number, b"\xc5\x07\xd0" + bytes(2000))
            for number in range(1, 31)
        ]
        with ann.frozen():
            for _ in range(MANY // 30):
                mallory.flood(wire.encode(said))
            assert ann.memory()[1] - before < 24 * MIB
        assert mallory.is_linked
    ann.do("empty", topic="hostile")


def test_links_without_end_while_the_application_is_frozen(talk, ann, victim):
    """Nothing is kept of links that end before the application learns of them."""
    before = ann.memory()[1]
    topics = {f"{number:0>250}": EVERYTHING["hostile"] for number in range(1024)}
    told = greeting(topics)
    assert MAX_GREETING_BYTES / 2 < len(told) <= MAX_GREETING_BYTES
    with unharmed(talk, growth=16 * MIB), Mallory(talk, victim, told) as mallory:
        with ann.frozen():
            for _ in range(RUNS):
                mallory.unlink()
                mallory.link()
            assert ann.memory()[1] - before < 24 * MIB
        until(
            lambda: ann.do("nodes", topic=f"{7:0>250}") == ["mallory@127.0.0.1"],
            "the last of them is known",
        )


def test_subscriber_that_never_grants_credit_costs_bounded_memory(talk, ann, victim):
    """It subscribes with the largest window, but never reports what it has taken."""
    with unharmed(talk, growth=32 * MIB), Mallory(talk, victim, greeting(EVERYTHING)) as mallory:
        mallory.say(OPENING)
        until(lambda: ann.do("nodes", topic="hostile"), "it listens")
        handed_over, _ = ann.do("publish_many", topic="hostile", count=MANY, each_s=0, size=1000)
        assert handed_over < 12_000
        to_mallory = {"to": "mallory@127.0.0.1", "topic": "hostile", "timeout_s": 0.1}
        assert ann.do("send", **to_mallory, data="x" * 1000)["error"] == "NotSentError"
        asked = ann.do(
            "ask_many", to="mallory@127.0.0.1", topic="hostile", count=300, timeout_s=0.2
        )
        assert asked.keys() <= {"NotSentError", "UnansweredError"}
