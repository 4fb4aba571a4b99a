"""Streams whose links break: which losses are counted, and how streams resume on the next link."""

from message_ends import ANN, WIDE, End, Pair, lost, narrow

from cluster_kit.errors import NotSentError
from cluster_kit.node import BootId, Node
from cluster_kit.topics.outcomes import (
    Arrived,
    LocalInterest,
)
from cluster_kit.topics.peers import DOUBT_S
from cluster_kit.wire import topics as wire


def test_messages_in_flight_are_counted_as_lost_once_the_link_is_back(pair):
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


def test_losses_on_more_topics_than_fit_one_payload_are_all_counted(pair):
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


def test_no_gap_is_reported_if_nothing_was_lost(pair):
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


def test_gap_of_unknown_size_is_reported_once_the_wait_is_over(pair):
    pair.cut(now_s=100.0)
    assert pair.bob.messenger.tick(100.0 + DOUBT_S - 0.1) == []
    [missing] = pair.bob.messenger.tick(100.0 + DOUBT_S)
    assert (missing.sender.name, missing.topic, missing.lost) == ("ann@h", "t", None)
    assert pair.bob.messenger.tick(100.0 + DOUBT_S * 2) == []


def test_gap_of_unknown_size_is_reported_once_and_only_on_subscribed_topics():
    pair = Pair(interest=LocalInterest(messages=1, bytes=1000))
    pair.bob.messenger.listen("u", LocalInterest(messages=0, bytes=0, answers=True))
    for now_s in (0.0, 100.0):
        pair.bob.messenger.down(pair.bob.link, now_s)
        outcomes = pair.bob.messenger.tick(now_s + DOUBT_S)
        assert [each.topic for each in outcomes] == (["t"] if now_s == 0.0 else [])
        pair.connect()  # and nothing is sent


def test_link_to_another_peer_does_not_end_the_wait_for_a_lost_one(pair):
    pair.cut()
    cat = End(Node("cat@h", boot_id=BootId(3, 3)), 3)
    assert pair.bob.messenger.up(9, cat.node, cat.messenger.greeting, outdated=False) == []


def test_peer_that_relinks_and_sends_nothing_restarts_the_wait(pair):
    """Even if another peer was waited for in between."""
    cat = End(Node("cat@h", boot_id=BootId(3, 3)), 3)
    pair.bob.messenger.up(9, cat.node, cat.messenger.greeting, outdated=False)
    pair.bob.messenger.down(pair.bob.link, 0.0)
    pair.bob.messenger.down(9, 5.0)
    pair.connect()
    pair.bob.messenger.down(pair.bob.link, 9.0)
    assert [each.sender for each in pair.bob.messenger.tick(5.0 + DOUBT_S)] == [cat.node]
    assert [each.sender for each in pair.bob.messenger.tick(9.0 + DOUBT_S)] == [ANN]


def test_peer_replaced_by_an_unknown_run_is_waited_for_from_then_on(pair):
    pair.bob.messenger.tick(100.0)
    pair.bob.messenger.up(9, ANN, b"", outdated=False)
    assert pair.bob.messenger.tick(99.0 + DOUBT_S) == []
    assert lost(pair.bob.messenger.tick(100.0 + DOUBT_S)) == [None]


def test_gap_carries_the_sender_address_of_the_last_link(pair):
    moved = ANN.evolve(address="h:9")
    pair.cut()
    pair.bob.messenger.up(9, moved, pair.ann.messenger.greeting, outdated=False)
    pair.bob.messenger.down(9, 0.0)
    [missing] = pair.bob.messenger.tick(DOUBT_S)
    assert missing.sender.address == "h:9"


def test_reported_loss_is_not_reported_again_once_the_link_is_back(pair):
    pair.pump()
    pair.ann.messenger.publish("t", b"lost")
    pair.cut()
    assert lost(pair.bob.messenger.tick(DOUBT_S)) == [None]
    pair.connect()
    pair.ann.messenger.publish("t", b"here")
    pair.pump()
    outcomes = pair.bob.told()
    assert [(type(each), each.number) for each in outcomes] == [(Arrived, 2)]


def test_loss_right_after_a_reported_one_is_counted(pair):
    """Even if the stream carried nothing before: the sender reports that, too."""
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


def test_new_run_of_the_peer_ends_the_wait_with_a_gap(pair):
    pair.ann.messenger.publish("t", b"lost")
    pair.cut()
    pair.restart("ann")
    pair.connect()
    assert lost(pair.bob.told()) == [None]
    pair.ann.messenger.publish("t", b"here")
    pair.pump()
    assert [(each.number, each.data) for each in pair.bob.told()] == [(1, b"here")]


def test_clean_close_leaves_nothing_in_doubt(pair):
    pair.ann.messenger.publish("t", b"x" * 200_000)
    pair.ann.messenger.close()
    assert pair.ann.messenger.publish("t", b"late") == 0
    [failed] = pair.ann.messenger.send("bob@h", "t", b"late", 1)
    assert type(failed.error) is NotSentError
    assert "about to stop" in str(failed.error)
    pair.pump()
    assert len(pair.bob.data()) == 1
    pair.cut()
    assert pair.bob.messenger.tick(DOUBT_S * 2) == []


def test_closing_node_sends_all_queued_messages_before_its_closing_record():
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


def test_closed_node_sends_closing_on_every_further_link():
    pair = Pair(linked=False)
    pair.ann.messenger.close()
    pair.connect()
    assert [type(record) for record in pair.ann.records()][-1] is wire.Closing


def test_closing_node_reports_messages_that_had_no_room():
    pair = narrow(messages=1)
    for _ in range(3):
        pair.ann.messenger.publish("t", b"")
    pair.ann.messenger.close()
    pair.pump()
    assert lost(pair.bob.told()) == [2]


def test_new_link_replaces_the_previous_one_of_the_same_peer(pair):
    pair.ann.messenger.publish("t", b"lost")
    pair.connect()
    pair.ann.messenger.publish("t", b"here")
    pair.pump()
    outcomes = pair.bob.told()
    assert lost(outcomes) == [1]
    assert pair.ann.messenger.ready() == ()


def test_stream_resumes_if_another_run_was_linked_in_between(pair):
    """Two runs that take turns under one name are two peers."""
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


def test_skipped_messages_count_as_read_with_the_message_before_them():
    pair = Pair(interest=LocalInterest(messages=100, bytes=10_000))
    pair.ann.messenger.publish("t", b"here")
    pair.pump()
    arrived = pair.bob.told()
    for _ in range(2):
        pair.ann.messenger.publish("t", b"lost")
    pair.cut()
    pair.bob.messenger.tick(DOUBT_S)
    pair.connect()
    pair.pump()
    pair.read(arrived)
    pair.bob.messenger.tick(DOUBT_S + 1)
    assert pair.bob.records()[-1] == wire.Credit(1, 3)


def test_gap_from_a_broken_link_must_be_read_before_there_is_room():
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


def test_room_returns_if_the_gap_was_read_before_it_could_be_counted():
    pair = Pair(interest=LocalInterest(messages=100, bytes=10_000), max_message_bytes=2000)
    pair.pump()
    for _ in range(5):
        pair.ann.messenger.publish("t", b"x" * 2000)
    pair.cut()
    pair.read(pair.bob.messenger.tick(DOUBT_S))
    pair.connect()
    pair.pump()
    assert pair.ann.messenger.publish("t", b"x" * 2000) == 1


def test_credit_lost_with_the_link_is_granted_again_on_the_next_one():
    pair = narrow(messages=1)
    pair.ann.messenger.publish("t", b"1")
    pair.pump()
    pair.read(pair.bob.told())
    pair.cut()  # and with it the credit for what bob has read
    pair.connect()
    pair.pump()
    assert pair.ann.messenger.publish("t", b"2") == 1


def test_unread_messages_still_fill_the_window_on_the_next_link():
    pair = narrow(messages=1)
    pair.ann.messenger.publish("t", b"1")
    pair.pump()
    pair.cut()
    pair.connect()
    pair.pump()
    assert pair.ann.messenger.publish("t", b"2") == 0


def test_credit_is_granted_again_before_the_gap_of_the_link_is_read():
    pair = narrow(messages=3)
    for data in (b"read", b"unread"):
        pair.ann.messenger.publish("t", data)
    pair.pump()
    pair.read(pair.bob.told()[:1])
    pair.ann.messenger.publish("t", b"lost")
    pair.cut()
    pair.connect()
    pair.pump()
    assert [pair.ann.messenger.publish("t", b"") for _ in range(2)] == [1, 0]


def test_room_returns_after_a_long_absence_once_everything_is_read():
    pair = narrow(messages=3)
    for _ in range(3):
        pair.ann.messenger.publish("t", b"")
    pair.pump()
    arrived = pair.bob.told()
    pair.cut()
    for end in (pair.ann, pair.bob):
        end.messenger.tick(DOUBT_S)
    pair.read(arrived[:2])
    pair.connect()
    pair.pump()
    assert pair.ann.messenger.publish("t", b"") == 0
    pair.read(arrived[2:])
    pair.pump()
    assert pair.ann.messenger.publish("t", b"") == 1


def test_room_returns_after_a_long_absence_once_the_gap_is_read():
    pair = Pair(interest=LocalInterest(messages=100, bytes=10_000), max_message_bytes=2000)
    for number in range(5):
        pair.ann.messenger.publish("t", b"x" * 2000)
        if number == 0:
            pair.pump()
    pair.cut()
    pair.connect()
    pair.pump()
    arrived = pair.bob.told()
    pair.cut()
    for end in (pair.ann, pair.bob):
        end.messenger.tick(DOUBT_S)
    pair.connect()
    pair.pump()
    pair.read(arrived)
    pair.pump()
    assert pair.ann.messenger.publish("t", b"x" * 2000) == 1


def test_messages_read_after_their_link_broke_are_credited_on_the_next_one():
    pair = narrow(messages=1)
    pair.ann.messenger.publish("t", b"1")
    pair.pump()
    arrived = pair.bob.told()
    pair.cut()
    pair.read(arrived)
    pair.connect()
    pair.pump()
    assert pair.ann.messenger.publish("t", b"2") == 1


def test_loss_after_a_message_that_follows_a_reported_loss_is_counted(pair):
    pair.bob.hear(wire.Opening(b"\1" * 16, 0))
    pair.bob.messenger.down(pair.bob.link, 0.0)
    assert lost(pair.bob.messenger.tick(DOUBT_S)) == [None]
    pair.connect()
    pair.bob.hear(wire.Opening(b"\1" * 16, 0), wire.Data(1, 1, b""))
    assert lost(pair.bob.hear(wire.Data(1, 3, b""))) == [1]


def test_repeated_message_is_delivered_once(pair):
    pair.bob.hear(wire.Opening(b"\1" * 16, 0), wire.Data(1, 1, b"x"), wire.Data(1, 2, b"y"))
    assert (
        pair.bob.hear(
            wire.Data(1, 2, b"y"), wire.Data(1, 1, b"x"), wire.Data(1, 0, b"z"), wire.Missed(1, 1)
        )
        == []
    )
