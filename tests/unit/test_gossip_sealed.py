"""Sealed gossip: which peers are believed, and when; engines against each other, and against an
attacker that records and replays.
"""

from itertools import pairwise

import pytest
from gossip_lan import DELAY_S, FENCE, INTERVAL_S, KEYRING, TTL_S, Lan, complete, keys, opened
from sealed_members import MALLORY, SOON_S, member, observations, recorded, replay, said, sealed_lan

from cluster_kit.abc import Gone, Seen
from cluster_kit.node import BootId, Fence
from cluster_kit.security.keys import Keyring
from cluster_kit.strategies.gossip import freshness
from cluster_kit.strategies.gossip.distrust import ANOTHER, THEY_ALONE, WE_ALONE
from cluster_kit.strategies.gossip.engine import Send, Sooner
from cluster_kit.strategies.gossip.freshness import ASKS_PER_S
from cluster_kit.strategies.gossip.sealed import LONGEST_DELAY_S
from cluster_kit.wire.gossip import Kind, Packet, encode

# -- knowing each other ----------------------------------------------------------------------------


def test_both_know_each_other_after_three_datagrams():
    lan = sealed_lan()
    ann = lan.start("ann")
    lan.run(20)
    lan.run(ann.engine.next_s - lan.now_s)
    since_s = lan.now_s + DELAY_S / 2
    lan.run(DELAY_S)
    bob = lan.start("bob")
    lan.run(2 * DELAY_S)
    assert bob.sees() == {ann.name: ann.node}
    lan.run(DELAY_S)
    assert ann.sees() == {bob.name: bob.node}
    lan.run(5 * DELAY_S)
    assert lan.count(since_s) == {Kind.ANNOUNCE: 1, Kind.ANSWER: 2}


@pytest.mark.parametrize("lost", range(3))
def test_any_of_the_three_may_get_lost(lost):
    lan = sealed_lan()
    ann = lan.start("ann")
    lan.run(20)
    sent = len(lan.carried)
    lan.fate = lambda random: [] if len(lan.carried) == sent + 1 + lost else [DELAY_S]
    bob = lan.start("bob")
    lan.run(2 * INTERVAL_S)
    assert len(lan.carried) > sent + lost
    assert ann.sees() == {bob.name: bob.node}
    assert bob.sees() == {ann.name: ann.node}


@pytest.mark.parametrize("number", [2, 8, 32])
def test_nodes_that_start_together_form_at_once(number):
    lan = sealed_lan()
    for each in range(number):
        lan.start(f"n{each}")
    lan.run(SOON_S)
    assert complete(lan)
    assert lan.count()[Kind.ANSWER] <= number * (number - 1)


def test_newcomer_is_seen_at_once_and_sees_all_at_once():
    lan = sealed_lan()
    for number in range(32):
        lan.start(f"n{number}")
    lan.run(20)
    lan.start("new")
    lan.run(SOON_S)
    assert complete(lan)


def test_newcomer_in_a_large_cluster_is_not_asked_by_all_at_once():
    lan = sealed_lan()
    peer = lan.start("member")
    for number in range(1000):
        peer.engine._freshness._prove(BootId(5, number), 1, lan.now_s)
    delays_s = []
    for number in range(300):
        before = peer.engine._questions
        for action in lan.deliver(peer, said(*member(number), Kind.ANNOUNCE)):
            assert isinstance(action, Sooner)
        assert peer.engine._questions == before + 1
    lan.run(0)
    while peer.engine._waiting:
        delays_s.append(peer.engine._waiting[0].at_s - lan.now_s)
        assert peer.engine.next_s <= peer.engine._waiting[0].at_s
        peer.engine._waiting.pop(0)
    assert 0.8 * 1000 / ASKS_PER_S < max(delays_s) <= min(1000 / ASKS_PER_S, LONGEST_DELAY_S)


def test_whom_it_means_to_ask_is_asked_in_time():
    lan = sealed_lan()
    peer = lan.start("member")
    lan.run(5)
    for number in range(1000):
        peer.engine._freshness._prove(BootId(5, number), 1, lan.now_s)
    since_s = lan.now_s
    lan.start("new")
    lan.run(LONGEST_DELAY_S)
    assert complete(lan)
    assert lan.count(since_s)[Kind.ANSWER] <= 4  # each may have heard the other and asked


def test_peer_is_answered_at_once_while_a_question_to_it_waits():
    lan = sealed_lan()
    peer = lan.start("peer")
    lan.run(5)
    for number in range(1000):
        peer.engine._freshness._prove(BootId(5, number), 1, lan.now_s)
    node, sealing = member()
    lan.deliver(peer, said(node, sealing, Kind.ANNOUNCE, nonce=b"n" * 16))
    assert peer.engine._waiting
    asking = said(
        node, sealing, Kind.ANSWER, nonce=b"n" * 16, echo=peer.engine._freshness.nonce(lan.now_s)
    )
    seen, answer = sorted(lan.deliver(peer, asking), key=lambda action: isinstance(action, Send))
    assert seen == Seen(node, TTL_S)
    assert opened(answer.datagram).echo == b"n" * 16
    since_s = lan.now_s
    lan.run(LONGEST_DELAY_S)
    assert Kind.ANSWER not in lan.count(since_s + DELAY_S)


def test_steady_state_is_heartbeats_only():
    lan = sealed_lan()
    for name in ("ann", "bob", "cat"):
        lan.start(name)
    lan.run(2)
    since_s = lan.now_s
    for _ in range(1000):
        lan.run(0.1)
        assert all(len(peer.vouches_for(lan.now_s)) == 2 for peer in lan.peers)
    assert lan.count(since_s).keys() == {Kind.HEARTBEAT}


def test_the_first_heartbeat_after_a_partition_makes_its_sender_known_across_and_the_others_to_it():
    lan = sealed_lan()
    for number in range(8):
        lan.start(f"n{number}")
    lan.run(10)
    lan.cut(*lan.peers[:4])
    lan.run(20 + 2 * TTL_S)
    for peer in lan.peers:
        peer.forget()
    lan.heal()
    first = min(lan.peers, key=lambda peer: peer.engine.next_s)
    across = lan.peers[4:] if first in lan.peers[:4] else lan.peers[:4]
    lan.run(first.engine.next_s - lan.now_s + SOON_S)
    assert {peer.name for peer in across} <= first.sees().keys()
    assert all(first.name in peer.sees() for peer in across)
    lan.run(TTL_S)
    assert complete(lan)


def test_observer_sees_without_being_seen():
    lan = sealed_lan()
    looking, ann = lan.start("looking", announce=False), lan.start("ann")
    lan.run(20)
    assert looking.sees() == {ann.name: ann.node}
    assert ann.observations == []
    assert all(opened(datagram).packet == b"" for datagram in recorded(lan, looking))


@pytest.mark.parametrize("words", [0, 300, 900])
def test_nodes_with_more_or_less_to_say_know_each_other(words):
    lan = sealed_lan()
    lan.start("terse")
    lan.run(5)
    lan.start("wordy", metadata={"key": "x" * words})
    lan.run(2 * INTERVAL_S)
    assert complete(lan)


@pytest.mark.parametrize(("ours", "theirs"), [(0, 0), (600, 0), (0, 600), (300, 300)])
@pytest.mark.parametrize("kind", [Kind.ANNOUNCE, Kind.HEARTBEAT])
def test_nothing_larger_goes_to_an_address_that_is_not_proved(ours, theirs, kind):
    lan = sealed_lan()
    peer = lan.start("peer", metadata={"key": "x" * ours})
    node, sealing = member(metadata={"key": "x" * theirs})
    cause = said(node, sealing, kind, nonce=b"n" * 16)
    [send] = lan.deliver(peer, cause, MALLORY)
    assert isinstance(send, Send)
    assert len(send.datagram) <= len(cause)
    assert opened(send.datagram).echo == b"n" * 16


def test_nothing_is_sent_where_the_smallest_would_be_larger():
    lan = sealed_lan()
    peer = lan.start(f"{'x' * 200}@10.0.0.1")
    assert lan.deliver(peer, said(*member(), packet=b""), MALLORY) == []


# -- recordings ------------------------------------------------------------------------------------


def lived():
    """Return a network on which nodes came and went, and what was sent meanwhile."""
    lan = sealed_lan()
    ann, bob, cat = (lan.start(name) for name in ("ann", "bob", "cat"))
    lan.run(20)
    lan.leave(cat)
    lan.run(5)
    lan.kill(bob)
    lan.run(TTL_S + 1)
    return lan, ann


def test_recordings_make_no_peer_seen_or_lost():
    lan, ann = lived()
    dan = lan.start("dan")
    lan.run(1)
    actions = replay(lan, ann, recorded(lan)) + replay(lan, dan, recorded(lan))
    lan.run(0.5)
    assert observations(actions) == []
    assert complete_but_for_the_past(lan, ann, dan)


def complete_but_for_the_past(lan, *peers):
    return all(
        peer.vouches_for(lan.now_s).keys() == {other.name for other in peers} - {peer.name}
        for peer in peers
    )


def test_recordings_are_nothing_to_a_node_that_has_just_started():
    lan, ann = lived()
    recordings = recorded(lan)
    lan.kill(ann)
    dan = lan.start("dan")
    for _ in range(20):
        replay(lan, dan, recordings)
        lan.run(1)
    assert dan.observations == []


def test_recordings_are_nothing_when_all_restart_together():
    lan, ann = lived()
    recordings = recorded(lan)
    lan.kill(ann)
    peers = [lan.start(name) for name in ("ann", "bob", "cat")]
    for peer in peers:
        replay(lan, peer, recordings)
    lan.run(1)
    for peer in peers:
        replay(lan, peer, recordings)
    lan.run(2 * TTL_S)
    assert complete(lan)
    boots = {peer.node.boot_id for peer in peers}
    assert all(
        isinstance(each, Seen) and each.node.boot_id in boots
        for peer in peers
        for each in peer.observations
    )


def test_recordings_from_beyond_a_partition_count_for_nothing():
    lan = sealed_lan()
    ann, bob = lan.start("ann"), lan.start("bob")
    lan.run(5)
    lan.cut(bob)
    lan.run(3 * TTL_S)
    lan.kill(bob)
    lan.heal()
    ann.forget()
    assert observations(replay(lan, ann, recorded(lan, bob))) == []
    lan.run(SOON_S)
    assert ann.observations == []


def test_a_drip_of_held_back_heartbeats_ends_with_the_time_to_live():
    lan = sealed_lan()
    ann, bob = lan.start("ann"), lan.start("bob")
    lan.run(5)
    node, sealing = bob.node, bob.sealing
    lan.kill(bob)
    died_s = lan.now_s
    # that nobody heard
    beats = [said(node, sealing, now_s=died_s + 0.001 * number) for number in range(100)]
    for beat in beats:
        lan.deliver(ann, beat, MALLORY)
        lan.run(TTL_S / 2)
    assert lan.now_s > died_s + 40 * TTL_S
    last_s = max(until_s for _, until_s in ann.vouched.values())
    assert last_s <= died_s + 2 * TTL_S + INTERVAL_S


def test_datagrams_again_are_nothing():
    lan = sealed_lan()
    ann, bob = lan.start("ann"), lan.start("bob")
    lan.run(5)
    before = len(ann.observations), len(bob.observations), len(lan.sent)
    for datagram in recorded(lan):
        for peer in (ann, bob):
            assert lan.deliver(peer, datagram, MALLORY) == []
    assert before == (len(ann.observations), len(bob.observations), len(lan.sent))


def test_an_older_word_does_not_replace_a_newer_one():
    lan = sealed_lan()
    ann, bob = lan.start("ann"), lan.start("bob")
    lan.run(5)
    older = said(bob.node.evolve(metadata={"zone": "old"}), bob.sealing, now_s=lan.now_s)
    newer = said(bob.node.evolve(metadata={"zone": "new"}), bob.sealing, now_s=lan.now_s)
    lan.deliver(ann, newer)
    assert lan.deliver(ann, older) == []
    assert ann.sees()[bob.name].metadata == {"zone": "new"}


def test_goodbye_of_an_unknown_node_is_ignored():
    lan = sealed_lan()
    peer = lan.start("peer")
    lan.run(0)
    assert lan.deliver(peer, said(*member(), Kind.GOODBYE)) == []


def test_goodbye_counts_once():
    lan = sealed_lan()
    ann, bob = lan.start("ann"), lan.start("bob")
    lan.run(5)
    goodbye = bob.engine.goodbye()
    assert len({send.datagram for send in goodbye}) == 1
    lan.leave(bob)
    lan.run(SOON_S)
    assert [type(each) for each in ann.observations] == [Seen, Gone]
    for datagram in [*recorded(lan, bob), goodbye[0].datagram]:
        lan.deliver(ann, datagram)
    lan.run(TTL_S)
    assert [type(each) for each in ann.observations] == [Seen, Gone]


# -- floods ----------------------------------------------------------------------------------------


def test_recordings_of_many_runs_cost_neither_memory_nor_many_datagrams(monkeypatch):
    monkeypatch.setattr(freshness, "MAX_ASKED", 100)
    lan = sealed_lan()
    peer = lan.start("peer")
    lan.run(0)
    since_s, seconds = lan.now_s, 3
    for number in range(3000):
        lan.deliver(peer, said(*member(number)), MALLORY)
        lan.now_s = since_s + seconds * number / 3000
    assert peer.observations == []
    assert lan.count(since_s)[Kind.ANSWER] <= ASKS_PER_S * (1 + seconds)
    assert len(peer.engine._freshness._asked) <= 100
    assert len(peer.engine._freshness) == 0


def test_newcomer_is_known_while_recordings_come_in():
    lan = sealed_lan()
    peer = lan.start("peer")
    recordings = [said(*member(number)) for number in range(1000)]
    for _ in range(10):
        replay(lan, peer, recordings)
        lan.run(0.5)
    lan.start("new")
    for _ in range(6):
        replay(lan, peer, recordings)
        lan.run(0.5)
    assert complete(lan)


def test_node_that_does_not_answer_is_asked_ever_more_rarely():
    lan = sealed_lan()
    peer = lan.start("peer")
    lan.run(0)
    since_s = lan.now_s
    recording = said(*member())
    for _ in range(6000):
        lan.deliver(peer, recording, MALLORY)
        lan.run(0.01)
    assert lan.count(since_s)[Kind.ANSWER] <= 60 / (TTL_S / 2) + 10


# -- other secrets, and none -----------------------------------------------------------------------

OTHER = Keyring(keys("x"))


@pytest.mark.parametrize(
    ("ours", "theirs", "why_theirs", "why_ours"),
    [
        (KEYRING, OTHER, ANOTHER, ANOTHER),
        (KEYRING, None, WE_ALONE, THEY_ALONE),
        (None, KEYRING, THEY_ALONE, WE_ALONE),
    ],
)
def test_both_sides_say_whose_secret_differs(ours, theirs, why_theirs, why_ours):
    lan = Lan()
    ann, bob = lan.start("ann", keyring=ours), lan.start("bob", keyring=theirs)
    lan.run(5)
    assert ann.observations == bob.observations == []
    assert {(each.name, each.why) for each in ann.distrusted} == {(bob.name, why_theirs)}
    assert {(each.name, each.why) for each in bob.distrusted} == {(ann.name, why_ours)}
    assert {each.source.host for each in ann.distrusted} == {bob.source[0]}


@pytest.mark.parametrize("fence", [Fence("other", "lan"), Fence("shop", "other")])
@pytest.mark.parametrize(
    ("ours", "theirs"), [(KEYRING, KEYRING), (KEYRING, OTHER), (KEYRING, None), (None, KEYRING)]
)
def test_foreigners_are_no_reason_to_warn(ours, theirs, fence):
    lan = Lan()
    ann, bob = lan.start("ann", keyring=ours), lan.start("bob", keyring=theirs, fence=fence)
    lan.run(5)
    assert ann.observations == bob.observations == []
    assert ann.distrusted == bob.distrusted == []


def test_no_datagram_without_seal_is_believed():
    lan = sealed_lan()
    ann, bob = lan.start("ann"), lan.start("bob")
    lan.run(5)
    before = len(ann.observations)
    for kind in Kind:
        for leaving in (False, True):
            lan.deliver(ann, encode(Packet.of(bob.node, FENCE, kind, leaving=leaving)))
    assert len(ann.observations) == before


# -- rotation --------------------------------------------------------------------------------------

NEW = keys("n")
OLD = KEYRING.current
STEPS = [Keyring(OLD), Keyring(OLD, (NEW,)), Keyring(NEW, (OLD,)), Keyring(NEW)]


@pytest.mark.parametrize(("one", "other"), list(pairwise(STEPS)))
def test_nodes_one_step_apart_know_each_other(one, other):
    lan = Lan()
    lan.start("ann", keyring=one)
    lan.start("bob", keyring=other)
    lan.run(SOON_S)
    assert complete(lan)


def test_no_peer_is_lost_while_the_secret_is_rotated():
    lan = Lan(keyring=STEPS[0])
    peers = [lan.start(name) for name in ("ann", "bob", "cat")]
    lan.run(5)
    for step in STEPS[1:]:
        for peer in peers:
            peer.sealing.renew(step)
            for _ in range(50):
                lan.run(0.1)
                assert all(len(each.vouches_for(lan.now_s)) == 2 for each in peers)
    assert all(isinstance(each, Seen) for peer in peers for each in peer.observations)
