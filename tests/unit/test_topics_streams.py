"""Streams between two applications: which messages arrive, where and in which order."""

import pytest
from message_ends import ANN, BOB, WIDE, End, Pair, lost, narrow

from cluster_kit.errors import NotLinkedError, NotSentError, RemoteProtocolError
from cluster_kit.node import BootId, Node
from cluster_kit.topics.outcomes import (
    LocalInterest,
    OperationFailed,
    QuestionArrived,
    Replied,
    Sent,
    SyncDone,
)
from cluster_kit.wire import topics as wire

# -- delivery --------------------------------------------------------------------------------------


def test_published_messages_arrive_in_order(pair):
    assert [pair.ann.messenger.publish("t", data) for data in (b"1", b"2", b"3")] == [1, 1, 1]
    pair.pump()
    outcomes = pair.bob.told()
    assert [(each.sender.name, each.topic, each.number, each.data) for each in outcomes] == [
        ("ann@h", "t", 1, b"1"),
        ("ann@h", "t", 2, b"2"),
        ("ann@h", "t", 3, b"3"),
    ]


def test_peer_is_reached_as_soon_as_its_link_is_up(pair):
    assert pair.ann.messenger.listeners("t") == (BOB,)
    assert pair.ann.messenger.publish("t", b"at once") == 1
    pair.pump()
    assert pair.bob.data() == [b"at once"]


def test_nothing_is_sent_to_a_peer_that_does_not_listen(pair):
    assert pair.ann.messenger.publish("u", b"") == 0
    assert pair.bob.messenger.publish("t", b"") == 0
    pair.pump()
    assert not pair.ann.told()
    assert not pair.bob.told()


def test_late_listener_receives_messages_from_then_on(pair):
    pair.bob.messenger.listen("u", WIDE)
    assert pair.ann.messenger.publish("u", b"early") == 0
    pair.pump()
    assert pair.ann.messenger.publish("u", b"late") == 1
    pair.pump()
    assert pair.bob.data() == [b"late"]


def test_peer_that_stops_listening_receives_nothing_more(pair):
    pair.ann.messenger.publish("t", b"on its way")
    pair.bob.messenger.listen("t", None)
    pair.pump()
    assert pair.ann.messenger.publish("t", b"late") == 0
    assert not pair.bob.data()


def test_message_for_an_ended_interest_is_not_delivered_to_the_next_one(pair):
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


def test_peer_without_a_greeting_listens_to_nothing_until_it_advertises_a_topic():
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


def test_peer_that_received_an_outdated_greeting_is_sent_all_interests(pair):
    pair.cut()
    greetings = pair.ann.messenger.greeting, pair.bob.messenger.greeting
    pair.bob.messenger.listen("t", None)
    topics = [f"{number}".rjust(wire.MAX_TOPIC_BYTES, "x") for number in range(1000)]
    for topic in topics:
        pair.bob.messenger.listen(topic, WIDE)
    pair.ann.link = pair.bob.link = 2
    pair.ann.messenger.up(2, BOB, greetings[1], outdated=False)
    pair.bob.messenger.up(2, pair.ann.node, greetings[0], outdated=True)
    pair.pump()
    assert pair.ann.messenger.listeners("t") == ()
    assert all(map(pair.ann.messenger.listeners, topics))


def test_opening_is_sent_once_and_again_once_the_peer_is_known():
    pair = Pair(linked=False)
    pair.bob.link = 1
    pair.bob.messenger.up(1, pair.ann.node, b"", outdated=True)
    assert pair.bob.records()[0] == wire.Opening(b"\2" * 16, None)
    pair.bob.messenger.listen("u", WIDE)
    assert [type(each) for each in pair.bob.records()] == [wire.Interested]
    pair.bob.hear(wire.Opening(b"\1" * 16, 0))
    pair.bob.messenger.listen("v", WIDE)
    assert pair.bob.records()[0] == wire.Opening(b"\2" * 16, 0)


def test_ending_an_unadvertised_interest_sends_nothing(pair):
    pair.pump()
    pair.bob.messenger.listen("u", None)
    assert not pair.bob.messenger.ready()


def test_peer_that_only_answered_for_a_while_receives_messages_again(pair):
    for data in (b"1", b"2"):
        pair.ann.messenger.publish("t", data)
    pair.pump()
    pair.bob.told()
    pair.bob.messenger.listen("t", LocalInterest(messages=0, bytes=0, answers=True))
    pair.pump()
    pair.bob.messenger.listen("t", WIDE)
    pair.pump()
    pair.ann.messenger.publish("t", b"3")
    pair.pump()
    assert pair.bob.data() == [b"3"]


def test_peer_that_only_answered_reports_no_gap_when_it_starts_listening():
    pair = Pair(interest=LocalInterest(messages=0, bytes=0, answers=True))
    assert pair.ann.messenger.publish("t", b"not for bob") == 0
    pair.bob.messenger.listen("t", WIDE)
    pair.pump()
    assert pair.bob.told() == []


def test_peer_keeps_listening_with_a_window_of_one_message(pair):
    pair.ann.messenger.publish("t", b"1")
    pair.bob.messenger.listen("t", LocalInterest(messages=1, bytes=1000))
    pair.pump()
    assert pair.ann.messenger.listeners("t") == (BOB,)
    assert pair.bob.data() == [b"1"]


def test_link_to_itself_is_refused(pair):
    with pytest.raises(RemoteProtocolError, match="leads back"):
        pair.bob.messenger.up(9, Node("bob2@h"), pair.bob.messenger.greeting, outdated=False)
    pair.bob.messenger.down(9, 0.0)
    pair.bob.messenger.up(10, Node("bob2@h"), b"", outdated=False)
    with pytest.raises(RemoteProtocolError, match="leads back"):
        pair.bob.messenger.receive(10, wire.encode([wire.Opening(b"\2" * 16, 0)]))
    pair.bob.messenger.down(10, 0.0)
    assert pair.bob.messenger.publish("t", b"") == 0


@pytest.mark.parametrize("greeting", [b"\xc1", b"\x90"])
def test_unreadable_greeting_is_a_remote_protocol_error(pair, greeting):
    with pytest.raises(RemoteProtocolError, match="greeting"):
        pair.bob.messenger.up(9, Node("cat@h"), greeting, outdated=False)
    assert pair.bob.messenger.down(9, 0.0) == []


def test_messages_before_a_protocol_violation_are_not_lost(pair):
    with pytest.raises(RemoteProtocolError):
        pair.bob.hear(wire.Opening(b"\1" * 16, 0), wire.Data(1, 1, b"x"), wire.Received(10**6))
    assert [each.data for each in pair.bob.messenger.down(1, 0.0)] == [b"x"]
    assert pair.bob.messenger.receive(1, b"whatever still comes") == []


def test_messages_and_questions_before_the_opening_are_refused(pair):
    for record in (wire.Data(1, 1, b""), wire.Missed(1, 1), wire.Asked(1, "t", 1, b"")):
        with pytest.raises(RemoteProtocolError, match="before its opening"):
            pair.bob.hear(record)


@pytest.mark.parametrize(
    "record",
    [
        wire.Interested("t", wire.Interest(1, 1, 1)),
        wire.Uninterested("t"),
        wire.Interests({}, True),
        wire.Credit(1, 0),
    ],
    ids=lambda record: type(record).__name__,
)
def test_interests_and_credit_before_the_opening_are_refused(record):
    bob = End(BOB, 2)
    bob.messenger.up(1, ANN, b"", outdated=False)
    bob.link = 1
    with pytest.raises(RemoteProtocolError, match="before its opening"):
        bob.hear(record)


def test_opening_must_name_the_run_of_the_greeting(pair):
    with pytest.raises(RemoteProtocolError, match="two runs"):
        pair.bob.hear(wire.Opening(b"\3" * 16, 0))


def test_many_topics_are_advertised_over_several_payloads(pair):
    for number in range(1000):
        pair.bob.messenger.listen(f"{'x' * 250}{number}", WIDE)
    pair.pump()
    assert len(pair.ann.messenger._links[1].peer.interests) == 1001


def test_listeners_are_sorted_and_exclude_peers_that_only_answer(pair):
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


def test_linked_reports_for_each_link_whether_its_peer_answers(pair):
    heard = End(Node("cat@h", boot_id=BootId(3, 3)), 3)
    heard.messenger.listen("t", LocalInterest(messages=1, bytes=1))
    unheard = Node("dan@h", boot_id=BootId(4, 4))
    pair.ann.messenger.up(2, heard.node, heard.messenger.greeting, outdated=False)
    pair.ann.messenger.up(3, unheard, b"", outdated=False)
    assert pair.ann.messenger.linked("t") == {
        1: (BOB, True),
        2: (heard.node, False),
        3: (unheard, False),
    }
    assert not any(answers for _, answers in pair.ann.messenger.linked("u").values())


def test_changes_count_links_that_come_and_go(pair):
    before = pair.ann.messenger.changes
    pair.ann.messenger.up(2, Node("cat@h"), b"", outdated=False)
    between = pair.ann.messenger.changes
    pair.ann.messenger.down(2, 0.0)
    assert before < between < pair.ann.messenger.changes


def test_changes_count_new_interests(pair):
    before = pair.ann.messenger.changes
    pair.bob.messenger.listen("u", WIDE)
    pair.pump()
    assert pair.ann.messenger.changes > before


def test_message_longer_than_a_payload_is_interleaved_with_others(pair):
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


# -- sending to one peer ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "to", ["bob@h", "bob@H", BOB, Node("bob@h"), BOB.evolve(address=None)], ids=str
)
def test_send_reaches_a_peer_by_name_or_run(pair, to):
    assert pair.ann.messenger.send(to, "t", b"x", 7) == [Sent(7)]
    pair.pump()
    assert pair.bob.data() == [b"x"]


@pytest.mark.parametrize("to", ["cat@h", "h:2", BOB.evolve(boot_id=BootId(9, 9))], ids=str)
def test_send_to_an_unlinked_peer_fails(pair, to):
    [failed] = pair.ann.messenger.send(to, "t", b"x", 7)
    assert type(failed) is OperationFailed
    assert type(failed.error) is NotLinkedError


def test_send_to_a_peer_that_does_not_listen_fails(pair):
    [failed] = pair.ann.messenger.send("bob@h", "u", b"x", 7)
    assert type(failed.error) is NotSentError
    assert "'u'" in str(failed.error)
    assert failed.error.node == "bob@h"


def test_send_to_a_peer_that_only_answers_fails():
    pair = Pair(interest=LocalInterest(messages=0, bytes=0, answers=True))
    [failed] = pair.ann.messenger.send("bob@h", "t", b"x", 7)
    assert type(failed.error) is NotSentError


@pytest.mark.parametrize("size", [10, 200_000])
def test_data_may_be_as_long_as_the_limit(size):
    pair = Pair(max_message_bytes=size)
    data = bytes(size)
    assert pair.ann.messenger.publish("t", data) == 1
    assert pair.ann.messenger.send("bob@h", "t", data, 1) == [Sent(1)]
    pair.ann.messenger.ask("bob@h", "t", data, 2, 1.0)
    pair.pump()
    outcomes = pair.bob.told()
    assert [each.data for each in outcomes] == [data] * 3
    [asked] = [each for each in outcomes if type(each) is QuestionArrived]
    pair.bob.messenger.reply(asked.question, data)
    pair.pump()
    assert pair.ann.told() == [Replied(2, data)]


def test_new_limit_is_in_the_next_greeting(pair):
    assert wire.decode_greeting(pair.bob.messenger.greeting).max_message_bytes == 1024 * 1024
    pair.bob.messenger.max_message_bytes = 10
    assert wire.decode_greeting(pair.bob.messenger.greeting).max_message_bytes == 10
    assert pair.bob.messenger.max_message_bytes == 10


def test_message_over_the_limit_of_the_sender_is_refused():
    pair = Pair(max_message_bytes=10)
    for call in (
        lambda: pair.ann.messenger.publish("t", b"x" * 11),
        lambda: pair.ann.messenger.send("bob@h", "t", b"x" * 11, 1),
        lambda: pair.ann.messenger.ask("bob@h", "t", b"x" * 11, 1, 1.0),
    ):
        with pytest.raises(ValueError, match="11 bytes: at most 10 allowed"):
            call()


def test_message_over_the_limit_of_the_receiver_is_reported_as_lost():
    pair = Pair(linked=False)
    pair.bob.messenger.max_message_bytes = 10
    pair.connect()
    assert pair.ann.messenger.publish("t", b"x" * 11) == 0
    [failed] = pair.ann.messenger.send("bob@h", "t", b"x" * 11, 1)
    assert type(failed.error) is NotSentError
    assert "at most 10" in str(failed.error)
    pair.pump()
    assert lost(pair.bob.told()) == [1]


@pytest.mark.parametrize("before", [0, 1, 2])
def test_adjacent_losses_are_reported_as_one(before):
    pair = Pair(linked=False)
    pair.bob.messenger.max_message_bytes = 10
    pair.connect()
    for size in (*[1] * before, 11, 11):
        pair.ann.messenger.publish("t", b"x" * size)
    messages = [wire.Data(1, number + 1, b"x") for number in range(before)]
    assert pair.ann.records()[1:] == [*messages, wire.Missed(1, before + 2)]


@pytest.mark.parametrize("size", [11, 200_000])
def test_message_over_a_newly_lowered_limit_shows_as_a_gap(pair, size):
    pair.bob.messenger.max_message_bytes = 10
    pair.ann.messenger.publish("t", b"x" * size)
    pair.ann.messenger.publish("t", b"y")
    pair.pump()
    missing, arrived = pair.bob.told()
    assert (missing.lost, missing.number, arrived.number, arrived.data) == (1, 1, 2, b"y")


@pytest.mark.parametrize("size", [11, 200_000])
def test_gap_of_an_overlong_message_shows_alone_and_makes_room_once_read(size):
    pair = narrow(messages=1, size=size)
    pair.bob.messenger.max_message_bytes = 10
    pair.ann.messenger.publish("t", b"x" * size)
    pair.pump()
    outcomes = pair.bob.told()
    assert lost(outcomes) == [1]
    pair.read(outcomes)
    pair.pump()
    pair.ann.messenger.publish("t", b"y")
    pair.pump()
    assert pair.bob.data() == [b"y"]


def test_only_the_head_of_an_overlong_record_is_kept(pair):
    pair.bob.messenger.max_message_bytes = 10**5
    pair.bob.hear(wire.Opening(b"\1" * 16, 0))
    head, data = wire.cut_record(wire.Data(1, 1, bytes(10**6)))
    pieces = [head, *(bytes(data[at : at + 10**4]) for at in range(0, len(data), 10**4))]
    kept = 0
    for piece in pieces[:-1]:
        assert pair.bob.hear(wire.Fragment(0, False, piece)) == []
        [partial] = pair.bob.messenger._links[1].fragments.values()
        kept = max(kept, len(partial.body))
    assert 90_000 < kept <= 10**5 + wire.HEAD_BYTES
    assert len(partial.body) <= wire.HEAD_BYTES
    assert lost(pair.bob.hear(wire.Fragment(0, True, pieces[-1]))) == [1]


@pytest.mark.parametrize("topic", ["", "x" * 256, "ü" * 128, "\ud800"])
def test_invalid_topic_names_are_refused(pair, topic):
    for call in (
        lambda: pair.ann.messenger.listen(topic, WIDE),
        lambda: pair.ann.messenger.send("bob@h", topic, b"", 1),
    ):
        with pytest.raises(ValueError, match="topic"):
            call()


def test_number_of_topics_is_bounded(pair):
    for number in range(wire.MAX_TOPICS - 1):
        pair.bob.messenger.listen(str(number), WIDE)
    pair.bob.messenger.listen("0", None)
    pair.bob.messenger.listen("0", WIDE)
    with pytest.raises(ValueError, match="1024"):
        pair.bob.messenger.listen("one more", WIDE)
    pair.bob.messenger.listen("one more", None)
    pair.pump()
    assert pair.ann.messenger.listeners("0") == (BOB,)


def test_number_of_topics_of_a_peer_is_bounded(pair):
    wanted = wire.Interest(2, 1, 1)
    most = {str(number): wanted for number in range(wire.MAX_TOPICS)}
    pair.ann.hear(wire.Interests(most, True))
    assert pair.ann.messenger.listeners("0") == (BOB,)
    for more in (
        [wire.Interests(most, False), wire.Interests({"one more": wanted}, False)],
        [wire.Interested("one more", wanted)],
    ):
        with pytest.raises(RemoteProtocolError, match="1024 topics"):
            pair.ann.hear(*more)


# -- sync ------------------------------------------------------------------------------------------


def test_sync_is_done_once_the_peer_has_received_earlier_interests(pair):
    pair.ann.messenger.listen("duty", LocalInterest(messages=0, bytes=0, answers=True))
    pair.ann.messenger.sync(pair.ann.link, 7)
    records = pair.ann.records()
    assert [type(each) for each in records[-2:]] == [wire.Interested, wire.Sync]
    pair.bob.hear(*records)
    assert pair.bob.messenger.linked("duty") == {pair.bob.link: (ANN, True)}
    [synced] = [each for each in pair.bob.records() if isinstance(each, wire.Synced)]
    assert pair.ann.hear(synced) == [SyncDone(7)]
    assert pair.ann.hear(synced) == []


def test_peer_that_listens_to_nothing_confirms_a_sync_too():
    pair = Pair(interest=None)
    pair.pump()
    pair.ann.messenger.sync(pair.ann.link, 1)
    pair.ann.messenger.sync(pair.ann.link, 2)
    pair.pump()
    assert pair.ann.told() == [SyncDone(1), SyncDone(2)]


def test_each_sync_is_confirmed_by_its_own_number(pair):
    numbers = []
    for ticket in (1, 2):
        pair.ann.messenger.sync(pair.ann.link, ticket)
        numbers += [each.number for each in pair.ann.records() if isinstance(each, wire.Sync)]
    assert [pair.ann.hear(wire.Synced(number)) for number in numbers] == [
        [SyncDone(1)],
        [SyncDone(2)],
    ]


def test_pending_interests_are_sent_before_the_confirmation_of_a_sync(pair):
    pair.bob.messenger.listen("late", WIDE)
    pair.bob.hear(wire.Sync(9))
    assert [type(each) for each in pair.bob.records()[-2:]] == [wire.Interested, wire.Synced]


def test_sync_on_a_broken_or_unknown_link_is_never_done(pair):
    pair.ann.messenger.sync(pair.ann.link, 1)
    pair.cut()
    pair.connect()
    pair.pump()
    assert SyncDone(1) not in pair.ann.told()
    pair.ann.messenger.sync(99, 2)
    assert pair.ann.told(SyncDone) == []
