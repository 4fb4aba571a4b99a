"""Numbers, room and gaps of the streams between two applications."""

import pytest
from message_ends import ANN, BOB, WIDE, End, Pair

from cluster_kit.errors import NotLinkedError, NotSentError, RemoteProtocolError
from cluster_kit.node import BootId, Node
from cluster_kit.topics import link, peers
from cluster_kit.topics.outcomes import (
    Arrived,
    LocalInterest,
    Missing,
    OperationFailed,
    Sent,
    SyncDone,
)
from cluster_kit.topics.peers import DOUBT_S
from cluster_kit.wire import topics as wire


def lost(outcomes):
    return [each.lost for each in outcomes if type(each) is Missing]


# -- reaching --------------------------------------------------------------------------------------


def test_what_is_published_comes_in_order(pair):
    assert [pair.ann.messenger.publish("t", data) for data in (b"1", b"2", b"3")] == [1, 1, 1]
    pair.pump()
    outcomes = pair.bob.told()
    assert [(each.sender.name, each.topic, each.number, each.data) for each in outcomes] == [
        ("ann@h", "t", 1, b"1"),
        ("ann@h", "t", 2, b"2"),
        ("ann@h", "t", 3, b"3"),
    ]


def test_whoever_is_up_is_reached(pair):
    assert pair.ann.messenger.listeners("t") == (BOB,)
    assert pair.ann.messenger.publish("t", b"at once") == 1
    pair.pump()
    assert pair.bob.data() == [b"at once"]


def test_nobody_is_told_who_does_not_listen(pair):
    assert pair.ann.messenger.publish("u", b"") == 0
    assert pair.bob.messenger.publish("t", b"") == 0
    pair.pump()
    assert not pair.ann.told()
    assert not pair.bob.told()


def test_who_listens_later_is_reached_from_then_on(pair):
    pair.bob.messenger.listen("u", WIDE)
    assert pair.ann.messenger.publish("u", b"early") == 0
    pair.pump()
    assert pair.ann.messenger.publish("u", b"late") == 1
    pair.pump()
    assert pair.bob.data() == [b"late"]


def test_who_does_not_listen_any_more_hears_nothing(pair):
    pair.ann.messenger.publish("t", b"on its way")
    pair.bob.messenger.listen("t", None)
    pair.pump()
    assert pair.ann.messenger.publish("t", b"late") == 0
    assert not pair.bob.data()


def test_what_was_said_to_an_earlier_listener_is_not_for_the_next_one(pair):
    pair.ann.messenger.publish("t", b"for the first")
    on_its_way = pair.ann.said()
    pair.bob.messenger.listen("t", None)
    pair.bob.messenger.listen("t", WIDE)
    pair.pump()
    for payload in on_its_way:
        assert pair.bob.messenger.receive(1, payload) == []
    pair.ann.messenger.publish("t", b"for the second")
    pair.pump()
    assert [(each.number, each.data) for each in pair.bob.told()] == [(1, b"for the second")]


def test_peer_without_a_greeting_listens_to_nothing_until_it_says_so():
    ann, bob = End(Node("ann@h", boot_id=BootId(1, 1)), 1), End(BOB, 2)
    pair = Pair(linked=False)
    pair.ann, pair.bob = ann, bob
    for end, other in ((ann, bob), (bob, ann)):
        end.link = 1
        assert end.messenger.up(1, other.node, b"", outdated=True) == []
    assert ann.messenger.publish("t", b"") == 0
    bob.messenger.listen("t", WIDE)
    pair.pump()
    assert ann.messenger.publish("t", b"x") == 1
    pair.pump()
    assert bob.data() == [b"x"]


def test_peer_that_was_told_an_outdated_greeting_is_told_all(pair):
    pair.cut()
    greetings = pair.ann.messenger.greeting, pair.bob.messenger.greeting
    pair.bob.messenger.listen("t", None)
    for number in range(300):
        pair.bob.messenger.listen(f"{'x' * 200}{number}", WIDE)
    pair.ann.link = pair.bob.link = 2
    pair.ann.messenger.up(2, BOB, greetings[1], outdated=False)
    pair.bob.messenger.up(2, pair.ann.node, greetings[0], outdated=True)
    pair.pump()
    assert pair.ann.messenger.listeners("t") == ()
    assert all(pair.ann.messenger.listeners(f"{'x' * 200}{number}") for number in range(300))


def test_nobody_is_linked_to_himself(pair):
    with pytest.raises(RemoteProtocolError, match="leads back"):
        pair.bob.messenger.up(9, Node("bob2@h"), pair.bob.messenger.greeting, outdated=False)
    pair.bob.messenger.down(9, 0.0)
    pair.bob.messenger.up(10, Node("bob2@h"), b"", outdated=False)
    with pytest.raises(RemoteProtocolError, match="leads back"):
        pair.bob.messenger.receive(10, wire.encode([wire.Opening(b"\2" * 16, 0)]))
    pair.bob.messenger.down(10, 0.0)
    assert pair.bob.messenger.publish("t", b"") == 0


@pytest.mark.parametrize("greeting", [b"\xc1", b"\x90"])
def test_greeting_that_cannot_be_read_is_the_peers_fault(pair, greeting):
    with pytest.raises(RemoteProtocolError, match="greeting"):
        pair.bob.messenger.up(9, Node("cat@h"), greeting, outdated=False)
    assert pair.bob.messenger.down(9, 0.0) == []


def test_what_comes_before_a_breach_is_not_lost(pair):
    with pytest.raises(RemoteProtocolError):
        pair.bob.hear(wire.Opening(b"\1" * 16, 0), wire.Data(1, 1, b"x"), wire.Received(10**6))
    assert [each.data for each in pair.bob.messenger.down(1, 0.0)] == [b"x"]
    assert pair.bob.messenger.receive(1, b"whatever still comes") == []


def test_nothing_is_said_before_who_it_is(pair):
    for record in (wire.Data(1, 1, b""), wire.Missed(1, 1), wire.Asked(1, "t", 1, b"")):
        with pytest.raises(RemoteProtocolError, match="before its opening"):
            pair.bob.hear(record)


def test_many_topics_fit_into_many_payloads(pair):
    for number in range(1000):
        pair.bob.messenger.listen(f"{'x' * 250}{number}", WIDE)
    pair.pump()
    assert len(pair.ann.messenger._links[1].peer.interests) == 1001


def test_listeners_are_sorted_and_may_only_answer(pair):
    for number in (3, 2):
        other = End(Node(f"a{number}@h", boot_id=BootId(number, 9)), 40 + number)
        other.messenger.listen("t", LocalInterest(messages=0, bytes=0, answers=True))
        pair.ann.messenger.up(number, other.node, other.messenger.greeting, outdated=False)
    assert [node.name for node in pair.ann.messenger.listeners("t", answering=True)] == [
        "a2@h",
        "a3@h",
        "bob@h",
    ]
    assert pair.ann.messenger.listeners("t") == (BOB,)
    assert pair.ann.messenger.publish("t", b"") == 1


def test_a_message_longer_than_a_payload_comes_in_parts_with_others_in_between(pair):
    pair.bob.messenger.listen("small", WIDE)
    pair.pump()
    pair.ann.messenger.publish("t", b"x" * 1_000_000)
    pair.ann.messenger.publish("small", b"y")
    payloads = pair.ann.said()
    assert len(payloads) > 15
    assert any(type(record) is wire.Data for record in wire.decode(payloads[0]))
    for payload in payloads:
        pair.bob.outcomes += pair.bob.messenger.receive(1, payload)
    assert [len(data) for data in pair.bob.data()] == [1, 1_000_000]


# -- sending to one --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "to", ["bob@h", "bob@H", BOB, Node("bob@h"), BOB.evolve(address=None)], ids=str
)
def test_one_is_sent_to_by_name_or_run(pair, to):
    assert pair.ann.messenger.send(to, "t", b"x", 7) == [Sent(7)]
    pair.pump()
    assert pair.bob.data() == [b"x"]


@pytest.mark.parametrize("to", ["cat@h", "h:2", BOB.evolve(boot_id=BootId(9, 9))], ids=str)
def test_who_is_not_linked_is_not_reached(pair, to):
    [failed] = pair.ann.messenger.send(to, "t", b"x", 7)
    assert type(failed) is OperationFailed
    assert type(failed.error) is NotLinkedError


def test_who_does_not_listen_is_not_sent_to(pair):
    [failed] = pair.ann.messenger.send("bob@h", "u", b"x", 7)
    assert type(failed.error) is NotSentError
    assert "'u'" in str(failed.error)
    assert failed.error.node == "bob@h"


def test_too_long_a_message_is_refused():
    pair = Pair(max_message_bytes=10)
    for call in (
        lambda: pair.ann.messenger.publish("t", b"x" * 11),
        lambda: pair.ann.messenger.send("bob@h", "t", b"x" * 11, 1),
        lambda: pair.ann.messenger.ask("bob@h", "t", b"x" * 11, 1, 1.0),
    ):
        with pytest.raises(ValueError, match="11 bytes: at most 10 allowed"):
            call()


def test_a_message_too_long_for_the_receiver_is_lost_by_itself():
    pair = Pair(linked=False)
    pair.bob.messenger.max_message_bytes = 10
    pair.connect()
    assert pair.ann.messenger.publish("t", b"x" * 11) == 0
    [failed] = pair.ann.messenger.send("bob@h", "t", b"x" * 11, 1)
    assert type(failed.error) is NotSentError
    assert "at most 10" in str(failed.error)
    pair.pump()
    assert lost(pair.bob.told()) == [1]


@pytest.mark.parametrize("size", [11, 200_000])
def test_a_message_that_is_too_long_all_the_same_shows_as_a_gap(pair, size):
    pair.bob.messenger.max_message_bytes = 10
    pair.ann.messenger.publish("t", b"x" * size)
    pair.ann.messenger.publish("t", b"y")
    pair.pump()
    missing, arrived = pair.bob.told()
    assert (missing.lost, missing.number, arrived.number, arrived.data) == (1, 1, 2, b"y")


@pytest.mark.parametrize("topic", ["", "x" * 256, "ü" * 128, "\ud800"])
def test_names_of_topics_are_bounded(pair, topic):
    for call in (
        lambda: pair.ann.messenger.listen(topic, WIDE),
        lambda: pair.ann.messenger.send("bob@h", topic, b"", 1),
    ):
        with pytest.raises(ValueError, match="topic"):
            call()


def test_the_number_of_topics_is_bounded(pair):
    for number in range(wire.MAX_TOPICS - 1):
        pair.bob.messenger.listen(str(number), WIDE)
    pair.bob.messenger.listen("0", None)
    pair.bob.messenger.listen("0", WIDE)
    with pytest.raises(ValueError, match="1024"):
        pair.bob.messenger.listen("one more", WIDE)


# -- room ------------------------------------------------------------------------------------------


def narrow(messages=2, size=1000):
    return Pair(interest=LocalInterest(messages=messages, bytes=size))


def test_who_publishes_does_not_wait_and_the_gap_is_told_once_there_is_room():
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
    assert [pair.ann.messenger.publish("t", b"x" * 400) for _ in range(3)] == [1, 1, 0]


def test_a_message_larger_than_the_window_passes_by_itself():
    pair = narrow(messages=100, size=1000)
    assert pair.ann.messenger.send("bob@h", "t", b"x" * 5000, 1) == [Sent(1)]
    assert pair.ann.messenger.send("bob@h", "t", b"x" * 5000, 2) == []
    pair.pump()
    pair.read(pair.bob.told())
    pair.pump()
    assert pair.ann.told() == [Sent(2)]


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


def test_reading_is_told_seldom_and_at_the_next_tick():
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


def test_reading_is_told_in_time_however_wide_the_window_is(monkeypatch):
    monkeypatch.setattr(link, "MAX_OUTSTANDING", 5000)
    pair = Pair(interest=LocalInterest(messages=10**9, bytes=10**9))
    for _ in range(10):
        assert sum(pair.ann.messenger.publish("t", b"") for _ in range(3000)) == 3000
        pair.pump()
        pair.read(pair.bob.told())
        pair.pump()


def test_room_for_the_longest_message_is_told_at_once():
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


def test_who_waits_goes_on_where_the_peer_listens_anew():
    pair = narrow(messages=1)
    for ticket in (1, 2):
        pair.ann.messenger.send("bob@h", "t", b"%d" % ticket, ticket)
    pair.bob.messenger.listen("t", None)
    pair.bob.messenger.listen("t", WIDE)
    pair.pump()
    assert pair.ann.told(Sent) == [Sent(2)]
    assert pair.bob.data() == [b"2"]


def test_few_messages_may_be_unread_whatever_room_there_is(monkeypatch):
    monkeypatch.setattr(link, "MAX_OUTSTANDING", 3)
    pair = Pair()
    assert [pair.ann.messenger.publish("t", b"") for _ in range(4)] == [1, 1, 1, 0]
    pair.bob.messenger.listen("t", None)
    pair.bob.messenger.listen("t", WIDE)
    pair.pump()
    assert pair.ann.messenger.publish("t", b"") == 1


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


# -- links that break ------------------------------------------------------------------------------


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


def test_nothing_is_told_where_nothing_was_lost(pair):
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


def test_what_nobody_can_count_is_told_after_a_while(pair):
    pair.cut(now_s=100.0)
    assert pair.bob.messenger.tick(100.0 + DOUBT_S - 0.1) == []
    [missing] = pair.bob.messenger.tick(100.0 + DOUBT_S)
    assert (missing.sender.name, missing.topic, missing.lost) == ("ann@h", "t", None)
    assert pair.bob.messenger.tick(100.0 + DOUBT_S * 2) == []


def test_what_was_told_is_not_told_again_when_the_link_is_back(pair):
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


def test_who_closes_tells_what_there_was_no_room_for():
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


def test_room_is_told_again_on_the_next_link():
    pair = narrow(messages=1)
    pair.ann.messenger.publish("t", b"1")
    pair.pump()
    pair.read(pair.bob.told())
    pair.cut()  # with it what bob has read
    pair.connect()
    pair.pump()
    assert pair.ann.messenger.publish("t", b"2") == 1


def test_what_is_read_after_its_link_is_told_on_the_next_one():
    pair = narrow(messages=1)
    pair.ann.messenger.publish("t", b"1")
    pair.pump()
    arrived = pair.bob.told()
    pair.cut()
    pair.read(arrived)
    pair.connect()
    pair.pump()
    assert pair.ann.messenger.publish("t", b"2") == 1


def test_a_message_that_is_repeated_is_taken_once(pair):
    pair.bob.hear(wire.Opening(b"\1" * 16, 0), wire.Data(1, 1, b"x"), wire.Data(1, 2, b"y"))
    assert (
        pair.bob.hear(
            wire.Data(1, 2, b"y"), wire.Data(1, 1, b"x"), wire.Data(1, 0, b"z"), wire.Missed(1, 1)
        )
        == []
    )


# -- agreement -------------------------------------------------------------------------------------


def test_a_peer_says_that_it_has_heard_what_came_before(pair):
    pair.ann.messenger.listen("duty", LocalInterest(messages=0, bytes=0, answers=True))
    pair.ann.messenger.sync(pair.ann.link, 7)
    records = pair.ann.records()
    assert [type(each) for each in records[-2:]] == [wire.Interested, wire.Sync]
    pair.bob.hear(*records)
    assert pair.bob.messenger.linked("duty") == {pair.bob.link: (ANN, True)}
    [synced] = [each for each in pair.bob.records() if isinstance(each, wire.Synced)]
    assert pair.ann.hear(synced) == [SyncDone(7)]
    assert pair.ann.hear(synced) == []


def test_a_peer_that_listens_to_nothing_says_it_too():
    pair = Pair(interest=None)
    pair.ann.messenger.sync(pair.ann.link, 1)
    pair.ann.messenger.sync(pair.ann.link, 2)
    pair.pump()
    assert pair.ann.told() == [SyncDone(1), SyncDone(2)]


def test_what_a_peer_has_begun_to_say_comes_before_that(pair):
    pair.bob.messenger.listen("late", WIDE)
    pair.bob.hear(wire.Sync(9))
    assert [type(each) for each in pair.bob.records()[-2:]] == [wire.Interested, wire.Synced]


def test_nothing_is_known_of_a_peer_whose_link_went_down(pair):
    pair.ann.messenger.sync(pair.ann.link, 1)
    pair.cut()
    pair.connect()
    pair.pump()
    assert SyncDone(1) not in pair.ann.told()
    pair.ann.messenger.sync(99, 2)
    assert pair.ann.told(SyncDone) == []
