"""Questions and their four ends: an answer, an exception, certainly not asked, and unknown."""

import pytest
from message_ends import BOB, WIDE, Pair

from cluster_kit.errors import NotLinkedError, NotSentError, RemoteError, UnansweredError
from cluster_kit.topics import lanes
from cluster_kit.topics.outcomes import (
    Arrived,
    LocalInterest,
    OperationFailed,
    QuestionArrived,
    Replied,
)
from cluster_kit.topics.questions import MAX_OPEN
from cluster_kit.wire import topics as wire


def ask(pair, ticket, data=b"?", patience_s=1.5):
    pair.ann.outcomes += pair.ann.messenger.ask("bob@h", "t", data, ticket, patience_s)


def asked(pair):
    pair.pump()
    return pair.bob.told(QuestionArrived)


def ends(pair):
    pair.pump()
    return [
        (each.ticket, each.data if type(each) is Replied else type(each.error))
        for each in pair.ann.told()
    ]


def test_question_is_answered(pair):
    ask(pair, 7, b"how?")
    [question] = asked(pair)
    assert (question.sender.name, question.topic, question.data, question.patience_s) == (
        "ann@h",
        "t",
        b"how?",
        1.5,
    )
    pair.bob.messenger.reply(question.question, b"so")
    assert ends(pair) == [(7, b"so")]


def test_exception_is_reported_as_text(pair):
    ask(pair, 7)
    pair.bob.messenger.fail(asked(pair)[0].question, "ValueError: no such sku")
    pair.pump()
    [failed] = pair.ann.told()
    assert type(failed.error) is RemoteError
    assert str(failed.error) == "bob@h: ValueError: no such sku"
    assert failed.error.node == "bob@h"


def test_exception_text_is_made_encodable_and_short(pair):
    ask(pair, 7)
    pair.bob.messenger.fail(asked(pair)[0].question, "\ud800" + "x" * 100_000)
    pair.pump()
    [failed] = pair.ann.told()
    assert len(str(failed.error)) < 5000


def test_declined_question_ends_as_not_sent(pair):
    ask(pair, 7)
    pair.bob.messenger.decline(asked(pair)[0].question, "the answerer has left")
    pair.pump()
    [failed] = pair.ann.told()
    assert type(failed.error) is NotSentError
    assert "the answerer has left" in str(failed.error)


def test_each_question_ends_once(pair):
    ask(pair, 7)
    question = asked(pair)[0].question
    pair.bob.messenger.reply(question, b"1")
    pair.bob.messenger.reply(question, b"2")
    pair.bob.messenger.fail(question, "3")
    said = [record for record in pair.bob.records() if isinstance(record, wire.QuestionEnd)]
    assert said == [wire.Answered(1, b"1")]
    pair.ann.outcomes += pair.ann.hear(*said)
    assert ends(pair) == [(7, b"1")]
    assert not pair.ann.messenger.withdraw(7)


@pytest.mark.parametrize("interest", [None, LocalInterest(messages=10, bytes=10)])
def test_peer_that_does_not_answer_the_topic_is_not_asked(interest):
    pair = Pair(interest=interest)
    ask(pair, 1)
    assert type(pair.ann.told()[0].error) is NotSentError
    assert not pair.ann.messenger.withdraw(1)


def test_peer_without_a_greeting_is_not_asked():
    pair = Pair(linked=False)
    pair.ann.messenger.up(1, BOB, b"", outdated=False)
    ask(pair, 1)
    assert type(pair.ann.told()[0].error) is NotSentError


def test_question_over_the_limit_of_the_peer_is_not_asked():
    pair = Pair(linked=False)
    pair.bob.messenger.max_message_bytes = 10
    pair.connect()
    ask(pair, 1, b"x" * 11)
    assert type(pair.ann.told()[0].error) is NotSentError


def test_peer_that_stopped_answering_declines(pair):
    ask(pair, 1)
    pair.bob.messenger.listen("t", LocalInterest(messages=10, bytes=10))
    assert asked(pair) == []
    assert ends(pair) == [(1, NotSentError)]


def test_parked_question_fails_when_the_peer_stops_answering(pair):
    for ticket in range(MAX_OPEN + 1):
        ask(pair, ticket)
    pair.pump()
    pair.bob.messenger.listen("t", LocalInterest(messages=10, bytes=10))
    assert ends(pair) == [(MAX_OPEN, NotSentError)]


def test_parked_question_stays_parked_when_other_interests_change(pair):
    pair.bob.messenger.listen("u", WIDE)
    for ticket in range(MAX_OPEN + 1):
        ask(pair, ticket)
    pair.pump()
    pair.bob.messenger.listen("t", LocalInterest(messages=10, bytes=10, answers=True))
    pair.bob.messenger.listen("u", None)
    assert ends(pair) == []


def test_questions_over_the_open_limit_wait(pair):
    for ticket in range(MAX_OPEN + 2):
        ask(pair, ticket)
    questions = asked(pair)
    assert len(questions) == MAX_OPEN
    pair.bob.messenger.reply(questions[0].question, b"")
    assert len(asked(pair)) == 1
    pair.bob.messenger.decline(questions[1].question, "")
    assert len(asked(pair)) == 1


def test_question_over_the_open_limit_is_declined_as_busy(pair):
    pair.bob.hear(
        wire.Opening(b"\1" * 16, 0),
        *(wire.Asked(number, "t", 0, b"") for number in range(MAX_OPEN)),
    )
    assert pair.bob.hear(wire.Asked(MAX_OPEN, "t", 0, b"")) == []
    [declined] = [record for record in pair.bob.records() if type(record) is wire.Declined]
    assert declined.question == MAX_OPEN
    assert "busy" in declined.reason


def test_question_is_declined_as_busy_while_too_many_answers_wait(pair):
    pair.bob.hear(wire.Opening(b"\1" * 16, 0))
    for _ in range(2):
        for number in range(MAX_OPEN):
            [each] = pair.bob.hear(wire.Asked(number, "t", 0, b""))
            pair.bob.messenger.reply(each.question, b"")
        assert pair.bob.hear(wire.Asked(MAX_OPEN, "t", 0, b"")) == []
        assert "busy" in pair.bob.records()[-1].reason


@pytest.mark.parametrize("size", [11, 200_000])
def test_question_longer_than_the_limit_is_declined(pair, size):
    ask(pair, 7, b"x" * size)
    pair.bob.messenger.max_message_bytes = 10
    assert asked(pair) == []
    [failed] = pair.ann.told()
    assert type(failed.error) is NotSentError
    assert "at most 10 bytes" in str(failed.error)


def test_question_withdrawn_while_waiting_is_not_asked(pair):
    for ticket in range(MAX_OPEN + 2):
        ask(pair, ticket)
    assert pair.ann.messenger.withdraw(MAX_OPEN)  # it waits for its turn
    assert pair.ann.messenger.withdraw(3)  # it waits for the link
    assert {each.data for each in asked(pair)} == {b"?"}
    assert not pair.ann.messenger.withdraw(3)


def test_question_already_sent_cannot_be_withdrawn_but_makes_room(pair):
    for ticket in range(MAX_OPEN + 1):
        ask(pair, ticket)
    questions = asked(pair)
    assert not pair.ann.messenger.withdraw(0)
    assert len(pair.ann.records()) == 1
    pair.bob.messenger.reply(questions[0].question, b"nobody waits for this")
    assert ends(pair) == []


def test_long_question_cannot_be_withdrawn_after_its_first_fragment(pair):
    ask(pair, 1, b"x" * 100_000)
    pair.ann.messenger.next_payload(1)
    assert not pair.ann.messenger.withdraw(1)


def test_long_question_and_answer_arrive_whole(pair):
    ask(pair, 1, b"x" * 100_000)
    [question] = asked(pair)
    pair.bob.messenger.reply(question.question, question.data * 2)
    assert ends(pair) == [(1, b"x" * 200_000)]


def test_broken_link_leaves_sent_questions_unanswered_and_others_not_linked(pair):
    ask(pair, 1)
    pair.pump()
    for ticket in range(2, MAX_OPEN + 2):
        ask(pair, ticket)
    pair.ann.outcomes += pair.ann.messenger.down(1, 0.0)
    found = {each.ticket: type(each.error) for each in pair.ann.told(OperationFailed)}
    assert found.pop(1) is UnansweredError
    assert set(found.values()) == {NotLinkedError}
    assert len(found) == MAX_OPEN


def test_answers_to_questions_of_a_broken_link_are_dropped(pair):
    ask(pair, 1)
    question = asked(pair)[0].question
    pair.cut()
    pair.bob.messenger.reply(question, b"late")
    pair.connect()
    pair.bob.messenger.reply(question, b"later")
    pair.pump()
    assert [type(each) for each in pair.ann.told()] == [OperationFailed]


def test_answer_over_the_limit_of_the_asker_becomes_an_error():
    pair = Pair(linked=False)
    pair.ann.messenger.max_message_bytes = 10
    pair.connect()
    ask(pair, 1)
    question = asked(pair)[0].question
    pair.bob.messenger.reply(question, b"x" * 11)
    pair.pump()
    [failed] = pair.ann.told()
    assert type(failed.error) is RemoteError
    assert "11 bytes" in str(failed.error)


@pytest.mark.parametrize("size", [11, 200_000])
def test_answer_over_a_newly_lowered_limit_leaves_the_question_unanswered(pair, size):
    ask(pair, 1)
    question = asked(pair)[0].question
    pair.ann.messenger.max_message_bytes = 10
    pair.bob.messenger.reply(question, b"x" * size)
    assert ends(pair) == [(1, UnansweredError)]


def test_answer_over_the_limit_of_the_answerer_is_refused(pair):
    ask(pair, 1)
    question = asked(pair)[0].question
    pair.bob.messenger.max_message_bytes = 10
    with pytest.raises(ValueError, match="11 bytes: at most 10"):
        pair.bob.messenger.reply(question, b"x" * 11)
    pair.bob.messenger.fail(question, "too long")
    assert ends(pair) == [(1, RemoteError)]


def test_answers_over_the_queue_limit_become_errors(pair, monkeypatch):
    monkeypatch.setattr(lanes, "MAX_REPLY_BYTES", 1000)
    for ticket in (1, 2):
        ask(pair, ticket)
    for each in asked(pair):
        pair.bob.messenger.reply(each.question, b"x" * 900)
    assert ends(pair) == [(1, b"x" * 900), (2, RemoteError)]


@pytest.mark.parametrize("sizes", [[500, 500, 32], [1000, 32], [1001, 32], [70_000, 32]], ids=str)
def test_answer_queue_holds_its_limit_of_bytes_or_one_longer_answer(pair, monkeypatch, sizes):
    monkeypatch.setattr(lanes, "MAX_REPLY_BYTES", 1000)
    answers = [bytes(size - wire.RECORD_BYTES) for size in sizes]
    for _ in range(2):
        for ticket in range(len(sizes)):
            ask(pair, ticket)
        for each, answer in zip(asked(pair), answers, strict=True):
            pair.bob.messenger.reply(each.question, answer)
        assert dict(ends(pair)) == dict(enumerate([*answers[:-1], RemoteError]))


def test_patience_is_bounded_and_never_negative(pair):
    for ticket, patience_s in enumerate((-1.0, 1e300, float("inf"))):
        pair.ann.messenger.ask(BOB, "t", b"", ticket, patience_s)
    assert [each.patience_s for each in asked(pair)] == [0.0, 2**53 / 1000, 2**53 / 1000]


def test_question_waits_while_the_queue_is_full(pair, monkeypatch):
    monkeypatch.setattr(lanes, "MAX_QUEUED_BYTES", 1000)
    for ticket in (1, 2):
        ask(pair, ticket, b"x" * 600)
    assert len(pair.ann.messenger._links[1].questions.parked) == 1
    assert len(asked(pair)) == 2


def test_waiting_messages_and_questions_are_not_sent_after_close():
    pair = Pair(interest=LocalInterest(messages=1, bytes=1000, answers=True))
    for ticket in range(MAX_OPEN + 1):
        ask(pair, ticket)
    for ticket in (1000, 1001):
        pair.ann.outcomes += pair.ann.messenger.send("bob@h", "t", b"", ticket)
    pair.pump()
    pair.ann.messenger.close()
    pair.read(pair.bob.told(Arrived))
    pair.ann.hear(*pair.bob.records(), wire.Answered(1, b""))
    assert [type(record) for record in pair.ann.records()] == [wire.Closing]
    pair.ann.told()
    pair.cut()
    gone = {each.ticket: type(each.error) for each in pair.ann.told(OperationFailed)}
    assert (gone[MAX_OPEN], gone[1001]) == (NotLinkedError, NotLinkedError)


def test_no_answer_is_sent_after_close(pair):
    ask(pair, 1)
    [question] = asked(pair)
    pair.bob.messenger.close()
    pair.bob.messenger.reply(question.question, b"")
    assert [type(record) for record in pair.bob.records()] == [wire.Opening, wire.Closing]


def test_withdrawn_question_frees_exactly_the_room_it_took(pair, monkeypatch):
    monkeypatch.setattr(lanes, "MAX_QUEUED_BYTES", 1000)
    for ticket in range(5):
        ask(pair, ticket, b"x" * 100)
        assert pair.ann.messenger.withdraw(ticket)
    for ticket in range(3):
        ask(pair, ticket, b"x" * 100)
    assert list(pair.ann.messenger._links[1].questions.parked) == [2]


def test_question_after_close_is_not_sent(pair):
    pair.ann.messenger.close()
    ask(pair, 1)
    assert ends(pair) == [(1, NotSentError)]
