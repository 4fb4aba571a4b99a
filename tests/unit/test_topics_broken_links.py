"""Streams whose links break: what is counted as lost, and what goes on with the next link."""

from message_ends import WIDE, Pair, lost, narrow

from cluster_kit.errors import NotSentError
from cluster_kit.topics import peers
from cluster_kit.topics.outcomes import (
    Arrived,
    LocalInterest,
)
from cluster_kit.topics.peers import DOUBT_S
from cluster_kit.wire import topics as wire


def test_what_was_on_its_way_is_counted_when_the_link_is_back(pair):
    pair.ann.messenger.publish("t", b"here")
    pair.pump()
    for _ in range(3):
        pair.ann.messenger.publish("t", b"lost")
    pair.cut()
    pair.connect()
    pair.pump()
    assert lost(pair.bob.told()) == [3]
    pair.bob.messenger.tick(DOUBT_S * 2)
    assert not lost(pair.bob.told())


def test_what_was_on_its_way_is_counted_on_more_topics_than_one_payload_names(pair):
    topics = [str(number) for number in range(500)]
    for topic in topics:
        pair.bob.messenger.listen(topic, WIDE)
    pair.pump()
    for topic in topics:
        pair.ann.messenger.publish(topic, b"lost")
    pair.cut()
    pair.connect()
    pair.pump()
    assert lost(pair.bob.told()) == [1] * len(topics)


def test_nothing_is_reported_where_nothing_was_lost(pair):
    pair.ann.messenger.publish("t", b"here")
    pair.pump()
    pair.bob.told()
    for _ in range(3):
        pair.cut()
        pair.connect()
    pair.pump()
    pair.cut()
    pair.connect()
    pair.pump()
    pair.bob.messenger.tick(DOUBT_S * 2)
    assert not pair.bob.told()


def test_what_nobody_can_count_is_reported_after_a_while(pair):
    pair.cut(now_s=100.0)
    assert pair.bob.messenger.tick(100.0 + DOUBT_S - 0.1) == []
    [missing] = pair.bob.messenger.tick(100.0 + DOUBT_S)
    assert (missing.sender.name, missing.topic, missing.lost) == ("ann@h", "t", None)
    assert pair.bob.messenger.tick(100.0 + DOUBT_S * 2) == []


def test_what_was_reported_is_not_reported_again_when_the_link_is_back(pair):
    pair.pump()
    pair.ann.messenger.publish("t", b"lost")
    pair.cut()
    assert lost(pair.bob.messenger.tick(DOUBT_S)) == [None]
    pair.connect()
    pair.ann.messenger.publish("t", b"here")
    pair.pump()
    outcomes = pair.bob.told()
    assert [(type(each), each.number) for each in outcomes] == [(Arrived, 2)]


def test_what_is_lost_after_that_is_counted(pair):
    """Also where nothing was ever said before: the sender tells that, too."""
    pair.pump()
    pair.cut()
    assert lost(pair.bob.messenger.tick(DOUBT_S)) == [None]
    pair.connect()
    peer = pair.ann.messenger._links[2].peer
    peer.max_message_bytes = 1
    pair.ann.messenger.publish("t", b"too long")
    pair.ann.messenger.publish("t", b"2")
    pair.pump()
    assert lost(pair.bob.told()) == [1]


def test_another_run_of_the_name_ends_all_doubt(pair):
    pair.ann.messenger.publish("t", b"lost")
    pair.cut()
    pair.restart("ann")
    pair.connect()
    assert lost(pair.bob.told()) == [None]
    pair.ann.messenger.publish("t", b"here")
    pair.pump()
    assert [(each.number, each.data) for each in pair.bob.told()] == [(1, b"here")]


def test_who_closes_leaves_no_doubt(pair):
    pair.ann.messenger.publish("t", b"x" * 200_000)
    pair.ann.messenger.close()
    assert pair.ann.messenger.publish("t", b"late") == 0
    [failed] = pair.ann.messenger.send("bob@h", "t", b"late", 1)
    assert type(failed.error) is NotSentError
    pair.pump()
    assert len(pair.bob.data()) == 1
    pair.cut()
    assert pair.bob.messenger.tick(DOUBT_S * 2) == []


def test_who_closes_says_all_that_waits_for_the_link_first():
    pair = Pair(interest=LocalInterest(messages=100, bytes=10**8))
    for _ in range(6):
        pair.ann.messenger.publish("t", bytes(500_000))
    payloads = pair.ann.said()
    pair.ann.messenger.close()
    pair.ann.messenger.listen("u", WIDE)
    assert [type(record) for record in pair.ann.records()] == [wire.Interested]
    for payload in payloads:
        pair.bob.outcomes += pair.bob.messenger.receive(1, payload)
    pair.pump()
    assert len(pair.bob.data()) == 6
    assert pair.bob.messenger._links[1].peer_has_closed


def test_who_closes_reports_what_there_was_no_room_for():
    pair = narrow(messages=1)
    for _ in range(3):
        pair.ann.messenger.publish("t", b"")
    pair.ann.messenger.close()
    pair.pump()
    assert lost(pair.bob.told()) == [2]


def test_a_link_replaces_another_one_of_its_name(pair):
    pair.ann.messenger.publish("t", b"lost")
    pair.connect()
    pair.ann.messenger.publish("t", b"here")
    pair.pump()
    outcomes = pair.bob.told()
    assert lost(outcomes) == [1]
    assert pair.ann.messenger.ready() == ()


def test_a_stream_goes_on_where_the_other_end_was_restarted_in_between(pair):
    """Two runs that take turns at one name are two peers."""
    first = pair.bob
    pair.ann.messenger.publish("t", b"1")
    pair.pump()
    pair.cut()
    pair.restart("bob")
    pair.bob.messenger.listen("t", WIDE)
    pair.connect()
    pair.ann.messenger.publish("t", b"for the other run")
    pair.pump()
    assert [each.number for each in pair.bob.told()] == [1]
    pair.cut()
    pair.bob = first
    pair.connect()
    pair.ann.messenger.publish("t", b"2")
    pair.pump()
    assert [each.number for each in first.told(Arrived)] == [1, 2]


def test_who_was_forgotten_counts_anew(pair, monkeypatch):
    monkeypatch.setattr(peers, "MAX_AWAY", 0)
    pair.ann.messenger.publish("t", b"1")
    pair.pump()
    pair.bob.told()
    pair.ann.messenger.publish("t", b"lost")
    pair.cut()
    assert lost(pair.bob.told()) == [None]
    pair.connect()
    pair.ann.messenger.publish("t", b"2")
    pair.pump()
    assert [(type(each), each.number) for each in pair.bob.told()] == [(Arrived, 1)]


def test_who_was_forgotten_by_the_other_end_alone_is_counted_for_anew(pair, monkeypatch):
    for _ in range(3):
        pair.ann.messenger.publish("t", b"1")
    pair.pump()
    pair.bob.told()
    pair.ann.messenger.publish("t", b"lost")
    pair.cut()
    monkeypatch.setattr(peers, "MAX_AWAY", 0)
    pair.connect()
    pair.ann.said()
    pair.ann.messenger.down(pair.ann.link, 0.0)
    monkeypatch.undo()
    pair.bob.messenger.down(pair.bob.link, 0.0)
    pair.connect()
    pair.ann.messenger.publish("t", b"2")
    pair.pump()
    outcomes = pair.bob.told()
    assert lost(outcomes) == [None]
    assert [(each.number, each.data) for each in outcomes if type(each) is Arrived] == [(1, b"2")]


def test_what_was_heard_before_it_was_forgotten_is_not_counted_as_lost(pair, monkeypatch):
    pair.ann.messenger.publish("t", b"1")
    pair.pump()
    assert pair.bob.data() == [b"1"]
    pair.ann.messenger.publish("t", b"lost")
    pair.ann.said()
    pair.ann.messenger.down(pair.ann.link, 0.0)
    monkeypatch.setattr(peers, "MAX_AWAY", 0)
    assert lost(pair.bob.messenger.down(pair.bob.link, 0.0)) == [None]
    monkeypatch.undo()
    pair.connect()
    pair.pump()
    assert lost(pair.bob.told()) == [None]


def test_the_loss_of_a_link_is_read_before_there_is_room_again():
    pair = Pair(interest=LocalInterest(messages=100, bytes=10_000), max_message_bytes=2000)
    for _ in range(5):
        pair.ann.messenger.publish("t", b"x" * 2000)
    pair.cut()
    pair.connect()
    pair.pump()
    assert pair.ann.messenger.publish("t", b"x" * 2000) == 0
    pair.read(pair.bob.told())
    pair.pump()
    assert pair.ann.messenger.publish("t", b"x" * 2000) == 1


def test_room_is_granted_again_on_the_next_link():
    pair = narrow(messages=1)
    pair.ann.messenger.publish("t", b"1")
    pair.pump()
    pair.read(pair.bob.told())
    pair.cut()  # with it what bob has read
    pair.connect()
    pair.pump()
    assert pair.ann.messenger.publish("t", b"2") == 1


def test_after_a_long_absence_there_is_room_once_everything_is_read():
    pair = narrow(messages=3)
    for _ in range(3):
        pair.ann.messenger.publish("t", b"")
    pair.pump()
    arrived = pair.bob.told()
    pair.cut()
    pair.ann.messenger.tick(DOUBT_S)
    pair.read(arrived[:2])
    pair.connect()
    pair.pump()
    assert pair.ann.messenger.publish("t", b"") == 0
    pair.read(arrived[2:])
    pair.pump()
    assert pair.ann.messenger.publish("t", b"") == 1


def test_what_is_read_after_its_link_is_reported_on_the_next_one():
    pair = narrow(messages=1)
    pair.ann.messenger.publish("t", b"1")
    pair.pump()
    arrived = pair.bob.told()
    pair.cut()
    pair.read(arrived)
    pair.connect()
    pair.pump()
    assert pair.ann.messenger.publish("t", b"2") == 1


def test_what_is_read_is_not_told_to_who_counts_anew(monkeypatch):
    pair = narrow(messages=5)
    for _ in range(5):
        pair.ann.messenger.publish("t", b"")
    pair.pump()
    arrived = pair.bob.told()
    with monkeypatch.context() as patch:
        patch.setattr(peers, "MAX_AWAY", 0)
        pair.ann.messenger.down(1, 0.0)  # and bob is forgotten
    pair.bob.messenger.down(1, 0.0)
    pair.connect()
    pair.read(arrived)
    pair.bob.messenger.listen("u", WIDE)
    said = pair.bob.records()
    assert wire.Credit not in map(type, said)
    pair.ann.hear(*said)
    pair.ann.messenger.publish("t", b"new")
    pair.pump()
    assert pair.bob.data() == [b"new"]


def test_a_message_that_is_repeated_is_taken_once(pair):
    pair.bob.hear(wire.Opening(b"\1" * 16, 0), wire.Data(1, 1, b"x"), wire.Data(1, 2, b"y"))
    assert (
        pair.bob.hear(
            wire.Data(1, 2, b"y"), wire.Data(1, 1, b"x"), wire.Data(1, 0, b"z"), wire.Missed(1, 1)
        )
        == []
    )
