"""Which record has the next turn on a link, and what fits into a payload."""

from itertools import groupby

import pytest
from message_ends import WIDE, Pair

from cluster_kit.errors import RemoteError
from cluster_kit.topics import control
from cluster_kit.topics.outcomes import Arrived, QuestionArrived, Replied
from cluster_kit.topics.questions import MAX_OPEN
from cluster_kit.wire import topics as wire

LONGEST_NAME = "n" * wire.MAX_TOPIC_BYTES


def listening(*topics):
    """Return a pair whose bob listens to these topics as well."""
    pair = Pair()
    for topic in topics:
        pair.bob.messenger.listen(topic, WIDE)
    pair.pump()
    return pair


def ask(pair, topic, sizes):
    """Ask bob a question of each size; return those that arrive."""
    for ticket, size in enumerate(sizes):
        pair.ann.messenger.ask("bob@h", topic, b"x" * size, ticket, 60.0)
    pair.pump()
    return pair.bob.told(QuestionArrived)


def test_topics_take_turns_in_order_of_their_first_message():
    pair = listening(*"abc")
    for topic in "abc":
        for _ in range(20):
            pair.ann.messenger.publish(topic, bytes(1000))
    pair.pump()
    turns = [topic for topic, _ in groupby(each.topic for each in pair.bob.told())]
    assert turns[:4] == ["a", "b", "c", "a"]


@pytest.mark.parametrize("size", [60_000, 100_000])
def test_message_too_long_for_the_rest_of_a_payload_still_gets_its_turn(size):
    """Short messages of other topics always leave too little of a payload for it."""
    pair = listening(*"abcdef")
    for topic in "abcdef":
        for _ in range(60):
            pair.ann.messenger.publish(topic, bytes(2000))
    pair.ann.messenger.publish("t", bytes(size))
    pair.pump()
    arrived = [each.topic for each in pair.bob.told(Arrived)]
    assert len(arrived) == 361
    assert arrived.index("t") < 200


def test_long_questions_and_answers_are_interleaved(pair):
    questions = ask(pair, "t", [400_000, 100_000])
    assert [len(each.data) for each in questions] == [100_000, 400_000]
    for each in reversed(questions):
        pair.bob.messenger.reply(each.question, each.data)
    pair.pump()
    assert [len(each.data) for each in pair.ann.told(Replied)] == [100_000, 400_000]


def test_every_question_longer_than_a_payload_gets_its_turn():
    pair = listening(LONGEST_NAME)
    for _ in range(2):
        assert len(ask(pair, LONGEST_NAME, [70_000] * 3 * wire.MAX_LANES)) == 3 * wire.MAX_LANES


def test_received_bytes_are_reported_once_they_reach_the_step(pair, monkeypatch):
    pair.ann.messenger.publish("t", b"x")
    [payload] = pair.ann.said()
    monkeypatch.setattr(control, "RECEIVED_STEP_BYTES", len(payload))
    pair.bob.messenger.receive(1, payload)
    told = pair.bob.messenger.next_payload(1)
    assert wire.decode(told)[-1] == wire.Received(len(payload))
    assert not pair.bob.messenger.ready()
    pair.bob.messenger.listen("u", WIDE)
    assert [type(each) for each in pair.bob.records()] == [wire.Interested]


def test_error_texts_of_four_byte_characters_fit_into_payloads(pair):
    for each in ask(pair, "t", [1] * MAX_OPEN):
        pair.bob.messenger.fail(each.question, "\U0001d11e" * 100)
    pair.pump()
    errors = [each.error for each in pair.ann.told()]
    assert {type(error) for error in errors} == {RemoteError}
    assert len(errors) == MAX_OPEN
