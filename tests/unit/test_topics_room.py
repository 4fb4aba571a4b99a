"""The window of a stream: which messages wait for room in it, and which are lost without."""

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


def test_publish_never_waits_and_the_gap_is_reported_once_there_is_room():
    pair = narrow()
    assert [pair.ann.messenger.publish("t", b"%d" % n) for n in range(5)] == [1, 1, 0, 0, 0]
    pair.pump()
    arrived = pair.bob.told()
    assert [each.data for each in arrived] == [b"0", b"1"]
    pair.read(arrived)
    pair.pump()
    assert lost(pair.bob.told()) == [3]


def test_gap_arrives_before_the_message_after_it():
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


def test_gap_shown_by_a_shorter_message_is_not_reported_again():
    pair = narrow(messages=100, size=1000)
    handed = [pair.ann.messenger.publish("t", bytes(size)) for size in (400, 400, 400, 100)]
    assert handed == [1, 1, 0, 1]
    pair.pump()
    outcomes = pair.bob.told()
    assert lost(outcomes) == [1]
    pair.read(outcomes)
    pair.ann.hear(*pair.bob.records())
    assert not pair.ann.messenger.ready()


def test_senders_wait_for_room_in_turn():
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


def test_waiting_message_is_not_overtaken_by_a_shorter_one():
    pair = narrow(messages=100, size=1000)
    assert [pair.ann.messenger.send("bob@h", "t", bytes(600), ticket) for ticket in (1, 2)] == [
        [Sent(1)],
        [],
    ]
    assert pair.ann.messenger.publish("t", b"short") == 0
    assert pair.ann.messenger.send("bob@h", "t", b"short", 3) == []


def test_window_is_bounded_in_bytes_too():
    pair = narrow(messages=100, size=1000)
    assert [pair.ann.messenger.publish("t", b"x" * 500) for _ in range(3)] == [1, 1, 0]
    pair.pump()
    pair.bob.told()
    pair.ann.messenger.publish("t", b"x" * 500)
    assert not pair.ann.messenger.ready()


def test_reading_a_message_frees_its_bytes_in_the_window():
    pair = narrow(messages=100, size=1000)
    for data in (bytes(400), bytes(600)):
        pair.ann.messenger.publish("t", data)
    pair.pump()
    pair.read(pair.bob.told()[:1])
    pair.bob.messenger.tick(1.0)
    pair.pump()
    assert [pair.ann.messenger.publish("t", bytes(size)) for size in (401, 400)] == [0, 1]


def test_message_over_the_limit_of_the_receiver_is_reported_without_room():
    pair = Pair(interest=LocalInterest(messages=10, bytes=10), linked=False)
    pair.bob.messenger.max_message_bytes = 10
    pair.connect()
    pair.ann.messenger.publish("t", b"x")
    pair.pump()
    pair.bob.told()
    pair.ann.messenger.publish("t", b"x" * 11)
    pair.pump()
    assert lost(pair.bob.told()) == [1]


def test_message_larger_than_the_window_is_sent_alone():
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
def test_link_queue_holds_its_limit_of_bytes_and_one_longer_message(monkeypatch, sizes, handed):
    monkeypatch.setattr(lanes, "MAX_QUEUED_BYTES", 1000)
    pair = Pair()
    for _ in range(2):
        messages = [bytes(size - wire.RECORD_BYTES) for size in sizes]
        assert [pair.ann.messenger.publish("t", message) for message in messages] == handed
        pair.pump()


def test_wider_window_makes_room():
    pair = narrow()
    assert [pair.ann.messenger.send("bob@h", "t", b"", n) for n in range(3)][-1] == []
    pair.bob.messenger.listen("t", LocalInterest(messages=10, bytes=1000))
    pair.pump()
    assert pair.ann.told() == [Sent(2)]


def test_narrower_window_still_credits_messages_already_read():
    pair = Pair(interest=LocalInterest(messages=100, bytes=10**7))
    for _ in range(10):
        pair.ann.messenger.publish("t", b"")
    pair.pump()
    pair.read(pair.bob.told())
    pair.bob.messenger.listen("t", LocalInterest(messages=5, bytes=10**7))
    pair.pump()
    assert pair.ann.messenger.publish("t", b"") == 1


def test_credit_is_sent_per_quarter_window_and_at_the_next_tick():
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


def test_credit_is_sent_once_a_quarter_of_the_bytes_is_read():
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


def test_reading_a_gap_is_credited_at_once_and_the_next_message_is_not():
    pair = Pair(interest=LocalInterest(messages=100, bytes=10**7))
    pair.pump()
    one, gap, *others = pair.bob.hear(*(wire.Data(1, number, b"") for number in (1, 4, 5)))
    pair.read([one])
    assert not pair.bob.messenger.ready()
    pair.read([gap])
    assert pair.bob.records()[-1] == wire.Credit(1, 3)
    pair.read(others)
    assert not pair.bob.messenger.ready()


def test_message_before_a_gap_is_credited_without_the_gap():
    pair = narrow()
    pair.pump()
    outcomes = pair.bob.hear(wire.Data(1, 1, b""), wire.Missed(1, 5))
    pair.read(outcomes[:1])
    assert pair.bob.records()[-1] == wire.Credit(1, 1)


def test_credit_is_sent_once():
    pair = narrow()
    pair.ann.messenger.publish("t", b"")
    pair.pump()
    pair.read(pair.bob.told())
    assert pair.bob.records()[-1] == wire.Credit(1, 1)
    pair.bob.messenger.tick(1.0)
    assert not pair.bob.messenger.ready()
    assert not pair.bob.messenger._local.owed_credit


def test_no_credit_is_sent_if_nothing_was_read():
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


def test_messages_beyond_the_window_are_dropped():
    """A gap may precede each message, and takes the room of one."""
    pair = narrow(messages=2)
    pair.pump()
    assert len(pair.bob.hear(*(wire.Data(1, number, b"") for number in range(1, 10)))) == 4


def test_credit_is_sent_in_time_however_wide_the_window(monkeypatch):
    monkeypatch.setattr(link, "MAX_OUTSTANDING", 5000)
    pair = Pair(interest=LocalInterest(messages=10**9, bytes=10**9))
    for _ in range(10):
        assert sum(pair.ann.messenger.publish("t", b"") for _ in range(3000)) == 3000
        pair.pump()
        pair.read(pair.bob.told())
        pair.pump()


def test_credit_is_sent_at_once_if_the_window_holds_one_longest_message():
    pair = Pair(interest=LocalInterest(messages=1000, bytes=10**6), max_message_bytes=10**6)
    pair.ann.messenger.publish("t", b"x")
    pair.pump()
    pair.read(pair.bob.told())
    assert pair.bob.records()[-1] == wire.Credit(1, 1)


def test_withdrawn_message_is_not_sent():
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


def test_withdrawn_message_makes_way_for_a_shorter_one():
    pair = narrow(messages=100, size=1000)
    for ticket, size in ((1, 600), (2, 600), (3, 100)):
        pair.ann.outcomes += pair.ann.messenger.send("bob@h", "t", bytes(size), ticket)
    assert pair.ann.told() == [Sent(1)]
    assert pair.ann.messenger.withdraw(2)
    assert pair.ann.told() == [Sent(3)]


def test_message_waiting_for_its_reader_does_not_hold_up_other_topics(monkeypatch):
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


def test_waiting_message_fails_when_the_link_or_the_interest_ends():
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


def test_waiting_message_is_sent_if_the_peer_listens_anew():
    pair = narrow(messages=1)
    for ticket in (1, 2):
        pair.ann.messenger.send("bob@h", "t", b"%d" % ticket, ticket)
    pair.bob.messenger.listen("t", None)
    pair.bob.messenger.listen("t", WIDE)
    pair.pump()
    assert pair.ann.told(Sent) == [Sent(2)]
    assert pair.bob.data() == [b"2"]


def test_message_parked_by_the_unread_limit_is_sent_if_the_peer_listens_anew(monkeypatch):
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


def test_unread_messages_are_bounded_however_wide_the_window(monkeypatch):
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


def test_credit_for_an_ended_stream_counts_once(monkeypatch):
    monkeypatch.setattr(link, "MAX_OUTSTANDING", 3)
    pair = Pair()
    pair.bob.messenger.listen("u", WIDE)
    pair.pump()
    for _ in range(3):
        pair.ann.messenger.publish("t", b"")
    pair.ann.hear(wire.Uninterested("t"), wire.Credit(1, 3))
    assert [pair.ann.messenger.publish("u", b"") for _ in range(4)] == [1, 1, 1, 0]


def test_message_parked_by_the_unread_limit_is_sent_once_others_are_read(monkeypatch):
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
def test_message_parked_by_the_unread_limit_is_sent_when_another_stream_ends(monkeypatch, again):
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
