"""The room that a reader leaves for a stream: who waits for it, and what there was none for."""

import pytest
from message_ends import WIDE, Pair, lost, narrow

from cluster_kit.errors import NotLinkedError, NotSentError
from cluster_kit.topics import lanes, link
from cluster_kit.topics.outcomes import (
    Arrived,
    LocalInterest,
    Missing,
    OperationFailed,
    Sent,
)
from cluster_kit.wire import topics as wire


def test_who_publishes_does_not_wait_and_the_gap_is_reported_once_there_is_room():
    pair = narrow()
    assert [pair.ann.messenger.publish("t", b"%d" % n) for n in range(5)] == [1, 1, 0, 0, 0]
    pair.pump()
    arrived = pair.bob.told()
    assert [each.data for each in arrived] == [b"0", b"1"]
    pair.read(arrived)
    pair.pump()
    assert lost(pair.bob.told()) == [3]


def test_a_gap_comes_before_what_follows_it():
    pair = narrow()
    for n in range(3):
        pair.ann.messenger.publish("t", b"%d" % n)
    pair.pump()
    pair.read(pair.bob.told())
    for payload in pair.bob.said():
        pair.ann.messenger.receive(1, payload)
    pair.ann.messenger.publish("t", b"later")
    pair.pump()
    outcomes = pair.bob.told()
    assert [type(each) for each in outcomes] == [Missing, Arrived]
    assert lost(outcomes) == [1]


def test_a_gap_that_a_shorter_message_shows_is_not_reported_again():
    pair = narrow(messages=100, size=1000)
    handed = [pair.ann.messenger.publish("t", bytes(size)) for size in (400, 400, 400, 100)]
    assert handed == [1, 1, 0, 1]
    pair.pump()
    outcomes = pair.bob.told()
    assert lost(outcomes) == [1]
    pair.read(outcomes)
    pair.ann.hear(*pair.bob.records())
    assert not pair.ann.messenger.ready()


def test_who_sends_waits_for_room_in_turn():
    pair = narrow()
    told = [pair.ann.messenger.send("bob@h", "t", b"%d" % n, n) for n in range(5)]
    assert told == [[Sent(0)], [Sent(1)], [], [], []]
    assert pair.ann.messenger.publish("t", b"who does not wait goes without") == 0
    pair.pump()
    arrived = pair.bob.told()
    pair.read(arrived[:1])
    pair.pump()
    assert pair.ann.told() == [Sent(2)]
    while arrived:
        pair.read(arrived)
        pair.pump()
        arrived = pair.bob.told()
    assert pair.ann.told() == [Sent(3), Sent(4)]


def test_who_waits_is_not_overtaken_by_who_needs_less_room():
    pair = narrow(messages=100, size=1000)
    assert [pair.ann.messenger.send("bob@h", "t", bytes(600), ticket) for ticket in (1, 2)] == [
        [Sent(1)],
        [],
    ]
    assert pair.ann.messenger.publish("t", b"short") == 0
    assert pair.ann.messenger.send("bob@h", "t", b"short", 3) == []


def test_bytes_are_room_as_well():
    pair = narrow(messages=100, size=1000)
    assert [pair.ann.messenger.publish("t", b"x" * 500) for _ in range(3)] == [1, 1, 0]
    pair.pump()
    pair.bob.told()
    pair.ann.messenger.publish("t", b"x" * 500)
    assert not pair.ann.messenger.ready()


def test_what_is_read_is_room_for_as_many_bytes():
    pair = narrow(messages=100, size=1000)
    for data in (bytes(400), bytes(600)):
        pair.ann.messenger.publish("t", data)
    pair.pump()
    pair.read(pair.bob.told()[:1])
    pair.bob.messenger.tick(1.0)
    pair.pump()
    assert [pair.ann.messenger.publish("t", bytes(size)) for size in (401, 400)] == [0, 1]


def test_what_is_too_long_for_the_receiver_needs_no_room_to_be_reported():
    pair = Pair(interest=LocalInterest(messages=10, bytes=10), linked=False)
    pair.bob.messenger.max_message_bytes = 10
    pair.connect()
    pair.ann.messenger.publish("t", b"x")
    pair.pump()
    pair.bob.told()
    pair.ann.messenger.publish("t", b"x" * 11)
    pair.pump()
    assert lost(pair.bob.told()) == [1]


def test_a_message_larger_than_the_window_passes_by_itself():
    pair = narrow(messages=100, size=1000)
    assert pair.ann.messenger.send("bob@h", "t", b"x" * 5000, 1) == [Sent(1)]
    assert pair.ann.messenger.send("bob@h", "t", b"x" * 5000, 2) == []
    pair.pump()
    pair.read(pair.bob.told())
    pair.pump()
    assert pair.ann.told() == [Sent(2)]


@pytest.mark.parametrize(
    ("sizes", "handed"),
    [([500, 500, 32], [1, 1, 0]), ([1000, 32], [1, 0]), ([1001, 32], [1, 1]), ([32, 1001], [1, 0])],
    ids=str,
)
def test_so_many_bytes_may_wait_for_a_link_and_one_message_that_is_longer(
    monkeypatch, sizes, handed
):
    monkeypatch.setattr(lanes, "MAX_QUEUED_BYTES", 1000)
    pair = Pair()
    for _ in range(2):
        messages = [bytes(size - wire.RECORD_BYTES) for size in sizes]
        assert [pair.ann.messenger.publish("t", message) for message in messages] == handed
        pair.pump()


def test_a_wider_window_is_room():
    pair = narrow()
    assert [pair.ann.messenger.send("bob@h", "t", b"", n) for n in range(3)][-1] == []
    pair.bob.messenger.listen("t", LocalInterest(messages=10, bytes=1000))
    pair.pump()
    assert pair.ann.told() == [Sent(2)]


def test_a_narrower_window_keeps_nobody_waiting_for_what_is_read():
    pair = Pair(interest=LocalInterest(messages=100, bytes=10**7))
    for _ in range(10):
        pair.ann.messenger.publish("t", b"")
    pair.pump()
    pair.read(pair.bob.told())
    pair.bob.messenger.listen("t", LocalInterest(messages=5, bytes=10**7))
    pair.pump()
    assert pair.ann.messenger.publish("t", b"") == 1


def test_reading_is_reported_seldom_and_at_the_next_tick():
    pair = Pair(interest=LocalInterest(messages=100, bytes=10**7))
    for _ in range(30):
        pair.ann.messenger.publish("t", b"")
    pair.pump()
    arrived = pair.bob.told()
    pair.bob.messenger.listen("u", WIDE)
    pair.pump()
    pair.read(arrived[:24])
    assert not pair.bob.messenger.ready()
    pair.read(arrived[24:25])
    assert pair.bob.records() == [wire.Credit(1, 25)]
    pair.read(arrived[25:])
    assert not pair.bob.messenger.ready()
    pair.bob.messenger.tick(1.0)
    assert pair.bob.records() == [wire.Credit(1, 30)]
    pair.bob.messenger.tick(2.0)
    assert not pair.bob.messenger.ready()


def test_reading_is_reported_where_a_quarter_of_the_bytes_was_read():
    pair = Pair(interest=LocalInterest(messages=1000, bytes=4000), max_message_bytes=2000)
    for _ in range(8):
        pair.ann.messenger.publish("t", bytes(500))
    pair.pump()
    arrived = pair.bob.told()
    pair.bob.said()
    for number in range(2, 9, 2):
        pair.read(arrived[number - 2 : number - 1])
        assert not pair.bob.messenger.ready()
        pair.read(arrived[number - 1 : number])
        assert pair.bob.records()[-1] == wire.Credit(1, number)


def test_reading_a_gap_is_reported_at_once_and_what_follows_seldom():
    pair = Pair(interest=LocalInterest(messages=100, bytes=10**7))
    pair.pump()
    one, gap, *others = pair.bob.hear(*(wire.Data(1, number, b"") for number in (1, 4, 5)))
    pair.read([one])
    assert not pair.bob.messenger.ready()
    pair.read([gap])
    assert pair.bob.records()[-1] == wire.Credit(1, 3)
    pair.read(others)
    assert not pair.bob.messenger.ready()


def test_what_came_before_a_gap_is_read_by_itself():
    pair = narrow()
    pair.pump()
    outcomes = pair.bob.hear(wire.Data(1, 1, b""), wire.Missed(1, 5))
    pair.read(outcomes[:1])
    assert pair.bob.records()[-1] == wire.Credit(1, 1)


def test_reading_is_reported_once():
    pair = narrow()
    pair.ann.messenger.publish("t", b"")
    pair.pump()
    pair.read(pair.bob.told())
    assert pair.bob.records()[-1] == wire.Credit(1, 1)
    pair.bob.messenger.tick(1.0)
    assert not pair.bob.messenger.ready()
    assert not pair.bob.messenger._local.owed_credit


def test_no_credit_is_given_where_nothing_was_read():
    pair = narrow()
    pair.pump()
    pair.bob.hear(wire.Missed(1, 0))
    assert not pair.bob.messenger.ready()


def test_adjacent_gaps_take_the_room_of_one():
    pair = narrow()
    pair.pump()
    pair.bob.hear(wire.Data(1, 1, b""), *(wire.Missed(1, number) for number in range(2, 10)))
    [arrived] = pair.bob.hear(wire.Data(1, 10, b""))
    assert arrived.number == 10


def test_who_takes_no_notice_of_the_room_is_not_heard():
    """A gap may precede each message, and takes as much room."""
    pair = narrow(messages=2)
    pair.pump()
    assert len(pair.bob.hear(*(wire.Data(1, number, b"") for number in range(1, 10)))) == 4


def test_reading_is_reported_in_time_however_wide_the_window_is(monkeypatch):
    monkeypatch.setattr(link, "MAX_OUTSTANDING", 5000)
    pair = Pair(interest=LocalInterest(messages=10**9, bytes=10**9))
    for _ in range(10):
        assert sum(pair.ann.messenger.publish("t", b"") for _ in range(3000)) == 3000
        pair.pump()
        pair.read(pair.bob.told())
        pair.pump()


def test_room_for_the_longest_message_is_granted_at_once():
    pair = Pair(interest=LocalInterest(messages=1000, bytes=10**6), max_message_bytes=10**6)
    pair.ann.messenger.publish("t", b"x")
    pair.pump()
    pair.read(pair.bob.told())
    assert pair.bob.records()[-1] == wire.Credit(1, 1)


def test_who_is_withdrawn_is_not_sent():
    pair = narrow(messages=1)
    for ticket in (1, 2, 3):
        pair.ann.messenger.send("bob@h", "t", b"%d" % ticket, ticket)
    assert pair.ann.messenger.withdraw(2)
    assert not pair.ann.messenger.withdraw(2)
    assert not pair.ann.messenger.withdraw(1)
    assert not pair.ann.messenger.withdraw(99)
    pair.pump()
    pair.read(pair.bob.told())
    pair.pump()
    assert pair.bob.data() == [b"3"]


def test_who_is_withdrawn_makes_way_for_who_needs_less_room():
    pair = narrow(messages=100, size=1000)
    for ticket, size in ((1, 600), (2, 600), (3, 100)):
        pair.ann.outcomes += pair.ann.messenger.send("bob@h", "t", bytes(size), ticket)
    assert pair.ann.told() == [Sent(1)]
    assert pair.ann.messenger.withdraw(2)
    assert pair.ann.told() == [Sent(3)]


def test_who_waits_for_a_reader_keeps_nobody_waiting_for_the_link(monkeypatch):
    monkeypatch.setattr(lanes, "MAX_QUEUED_BYTES", 1000)
    pair = narrow(messages=1)
    for topic in ("u", "v"):
        pair.bob.messenger.listen(topic, WIDE)
    pair.pump()
    pair.ann.messenger.publish("t", bytes(800))
    for ticket, topic in enumerate("tuv"):
        assert pair.ann.messenger.send("bob@h", topic, bytes(800), ticket) == []
    pair.pump()
    assert pair.ann.told() == [Sent(1), Sent(2)]


def test_who_waits_fails_with_the_link_and_with_the_interest():
    pair = narrow(messages=1)
    for ticket in (1, 2):
        pair.ann.messenger.send("bob@h", "t", b"", ticket)
    pair.cut()
    [failed] = pair.ann.told(OperationFailed)
    assert (failed.ticket, type(failed.error)) == (2, NotLinkedError)
    pair.connect()
    pair.ann.messenger.send("bob@h", "t", b"", 3)
    pair.bob.messenger.listen("t", None)
    pair.pump()
    [failed] = pair.ann.told(OperationFailed)
    assert (failed.ticket, type(failed.error)) == (3, NotSentError)
    assert not any(pair.ann.messenger.withdraw(ticket) for ticket in (1, 2, 3))


def test_who_waits_goes_on_where_the_peer_listens_anew():
    pair = narrow(messages=1)
    for ticket in (1, 2):
        pair.ann.messenger.send("bob@h", "t", b"%d" % ticket, ticket)
    pair.bob.messenger.listen("t", None)
    pair.bob.messenger.listen("t", WIDE)
    pair.pump()
    assert pair.ann.told(Sent) == [Sent(2)]
    assert pair.bob.data() == [b"2"]


def test_who_waits_where_too_many_are_unread_goes_on_where_the_peer_listens_anew(monkeypatch):
    monkeypatch.setattr(link, "MAX_OUTSTANDING", 2)
    pair = Pair()
    for _ in range(2):
        pair.ann.messenger.publish("t", b"unread")
    assert pair.ann.messenger.send("bob@h", "t", b"waits", 1) == []
    pair.bob.messenger.listen("t", None)
    pair.bob.messenger.listen("t", WIDE)
    pair.pump()
    assert pair.ann.told(Sent) == [Sent(1)]
    assert pair.bob.data() == [b"waits"]


def test_few_messages_may_be_unread_whatever_room_there_is(monkeypatch):
    monkeypatch.setattr(link, "MAX_OUTSTANDING", 3)
    pair = Pair()
    assert [pair.ann.messenger.publish("t", b"") for _ in range(4)] == [1, 1, 1, 0]
    pair.pump()
    pair.read(pair.bob.told()[:1])
    pair.bob.messenger.tick(1.0)
    pair.pump()
    assert [pair.ann.messenger.publish("t", b"") for _ in range(2)] == [1, 0]
    pair.bob.messenger.listen("t", None)
    pair.bob.messenger.listen("t", WIDE)
    pair.pump()
    assert pair.ann.messenger.publish("t", b"") == 1


def test_what_is_read_of_a_stream_that_has_ended_counts_once(monkeypatch):
    monkeypatch.setattr(link, "MAX_OUTSTANDING", 3)
    pair = Pair()
    pair.bob.messenger.listen("u", WIDE)
    pair.pump()
    for _ in range(3):
        pair.ann.messenger.publish("t", b"")
    pair.ann.hear(wire.Uninterested("t"), wire.Credit(1, 3))
    assert [pair.ann.messenger.publish("u", b"") for _ in range(4)] == [1, 1, 1, 0]


def test_who_waits_where_too_many_are_unread_is_served_when_others_are_read(monkeypatch):
    monkeypatch.setattr(link, "MAX_OUTSTANDING", 2)
    pair = Pair(interest=LocalInterest(messages=4, bytes=10_000))
    pair.bob.messenger.listen("u", WIDE)
    pair.pump()
    for _ in range(2):
        pair.ann.messenger.publish("t", b"")
    assert pair.ann.messenger.send("bob@h", "u", b"", 1) == []
    pair.pump()
    pair.read(pair.bob.told())
    pair.pump()
    assert pair.ann.told() == [Sent(1)]


@pytest.mark.parametrize("again", [None, WIDE], ids=["for good", "listens anew"])
def test_who_waits_where_too_many_are_unread_is_served_when_nobody_listens_to_others(
    monkeypatch, again
):
    monkeypatch.setattr(link, "MAX_OUTSTANDING", 2)
    pair = Pair()
    pair.bob.messenger.listen("u", WIDE)
    pair.pump()
    for _ in range(2):
        pair.ann.messenger.publish("t", b"")
    assert pair.ann.messenger.send("bob@h", "u", b"", 1) == []
    pair.pump()
    pair.bob.messenger.listen("t", None)
    pair.bob.messenger.listen("t", again)
    pair.pump()
    assert pair.ann.told() == [Sent(1)]
