"""Links whose handshake has a greeting that the peer's application has replaced meanwhile.

Its interests as of now come behind it, as records.
"""

import pytest
from message_ends import WIDE, Pair, lost

from cluster_kit.topics.outcomes import Arrived, LocalInterest
from cluster_kit.topics.peers import DOUBT_S
from cluster_kit.wire import topics as wire

ANSWERS_ONLY = LocalInterest(messages=0, bytes=0, answers=True)


@pytest.fixture
def before():
    """Return a pair, after a message on ``u``, and bob's greeting from before he listened to it."""
    pair = Pair()
    greeting = pair.bob.messenger.greeting
    pair.bob.messenger.listen("u", LocalInterest(messages=2, bytes=1000))
    exchange(pair, b"1")
    pair.read(pair.bob.told())
    return pair, greeting


def exchange(pair, *messages):
    """Publish on ``u`` and carry everything."""
    pair.pump()
    for data in messages:
        pair.ann.messenger.publish("u", data)
    pair.pump()


def numbered(pair):
    return [(each.number, each.data) for each in pair.bob.told(Arrived)]


def close_unheard(pair):
    """Have ann close before she hears anything of bob; return what he is told."""
    pair.bob.told()
    pair.ann.messenger.close()
    for payload in pair.ann.said():
        pair.bob.outcomes += pair.bob.messenger.receive(pair.bob.link, payload)
    pair.cut()
    return pair.bob.told() + pair.bob.messenger.tick(DOUBT_S * 2)


@pytest.mark.parametrize("has_greeted", [True, False])
def test_stream_resumes_if_the_greeting_is_older_than_the_stream(has_greeted):
    pair = Pair(interest=WIDE if has_greeted else None)
    greeting = pair.bob.messenger.greeting if has_greeted else b""
    pair.bob.messenger.listen("u", WIDE)
    exchange(pair, b"1", b"2")
    pair.bob.told()
    pair.ann.messenger.publish("u", b"lost")
    pair.cut()
    pair.connect(greeting)
    pair.pump()
    assert lost(pair.bob.told()) == [1]
    exchange(pair, b"4")
    assert numbered(pair) == [(4, b"4")]


def test_stream_resumes_if_several_greetings_in_a_row_are_older_than_it(before):
    pair, greeting = before
    for _ in range(3):
        pair.cut()  # before bob could say what he listens to now
        pair.connect(greeting)
    exchange(pair, b"2")
    assert numbered(pair) == [(2, b"2")]


@pytest.mark.parametrize("interest", [WIDE, ANSWERS_ONLY])
def test_stream_resumes_if_the_greeting_names_an_earlier_stream_of_its_topic(interest):
    pair = Pair()
    pair.bob.messenger.listen("u", interest)
    greeting = pair.bob.messenger.greeting
    pair.bob.messenger.listen("u", None)
    pair.bob.messenger.listen("u", WIDE)
    exchange(pair, b"1")
    pair.ann.messenger.publish("u", b"lost")
    pair.cut()
    pair.connect(greeting)
    pair.pump()
    assert lost(pair.bob.told()) == [1]
    exchange(pair, b"3")
    assert numbered(pair) == [(3, b"3")]


def test_unread_messages_still_fill_the_window_of_a_stream_that_resumes(before):
    pair, greeting = before
    exchange(pair, b"2", b"3")
    unread = pair.bob.told()
    pair.cut()
    pair.connect(greeting)
    exchange(pair, b"no room")
    assert numbered(pair) == []
    pair.read(unread)
    exchange(pair)
    assert lost(pair.bob.told()) == [1]
    exchange(pair, b"5")
    assert numbered(pair) == [(5, b"5")]


def test_stream_that_resumes_has_the_window_of_now(before):
    pair, greeting = before
    pair.cut()
    pair.bob.messenger.listen("u", WIDE)
    pair.connect(greeting)
    exchange(pair, b"2", b"3", b"4")
    assert numbered(pair) == [(2, b"2"), (3, b"3"), (4, b"4")]


def test_stream_of_a_topic_that_has_ended_is_not_taken_for_that_of_another(before):
    """No honest peer uses the number of a stream twice."""
    pair, greeting = before
    [number] = [each.stream_number for each in pair.ann.messenger._links[1].peer.streams.values()]
    pair.cut()
    pair.connect(greeting)
    pair.bob.said()
    other = wire.Interest(number, 2, 1000, False)
    pair.ann.hear(wire.Opening(b"\2" * wire.RUN_BYTES, 0), wire.Interested("v", other))
    pair.ann.messenger.publish("v", b"new")
    assert wire.Data(number, 1, b"new") in pair.ann.records()


def test_nothing_is_in_doubt_once_a_peer_that_knew_no_interests_has_learned_them():
    pair = Pair()
    pair.cut()
    pair.connect(b"")
    pair.pump()
    assert pair.bob.messenger.tick(DOUBT_S * 2) == []


def test_peer_that_closes_before_it_knows_who_is_there_leaves_its_losses_in_doubt():
    pair = Pair(linked=False)
    pair.connect(b"")
    pair.pump()
    pair.ann.messenger.publish("t", b"lost")
    pair.cut()
    pair.connect(b"")
    assert lost(close_unheard(pair)) == [None]


@pytest.mark.parametrize("meetings", [1, 2])
def test_peer_that_closes_before_it_knows_who_is_there_has_lost_nothing_itself(meetings):
    pair = Pair(linked=False)
    for _ in range(meetings):
        pair.connect(b"")
        assert close_unheard(pair) == []


def test_losses_on_a_stream_that_the_greeting_lacks_are_announced_by_a_peer_that_closes(before):
    pair, greeting = before
    pair.ann.messenger.publish("u", b"lost")
    pair.cut()
    pair.connect(greeting)
    assert lost(close_unheard(pair)) == [1]


def test_stream_goes_on_however_many_others_have_ended(before):
    pair, _ = before
    for generation in range(3):
        topics = [f"{generation} {number}" for number in range(600)]
        for topic in topics:
            pair.bob.messenger.listen(topic, WIDE)
        pair.pump()
        for topic in topics:
            pair.ann.messenger.publish(topic, b"")
        pair.pump()
        pair.cut()
        for topic in topics:
            pair.bob.messenger.listen(topic, None)
        pair.connect()
        pair.pump()
    pair.bob.told()
    pair.cut()
    pair.connect(b"")
    exchange(pair, b"2")
    assert numbered(pair) == [(2, b"2")]


def test_credit_for_a_stream_that_the_greeting_lacks_counts_in_part():
    pair = Pair()
    greeting = pair.bob.messenger.greeting
    pair.bob.messenger.listen("u", LocalInterest(messages=100, bytes=100_000))
    exchange(pair, *[b""] * 90)
    pair.read(pair.bob.told()[:-1])
    pair.cut()
    pair.connect(greeting)
    exchange(pair, *[b""] * 50)
    assert len(numbered(pair)) == 50
