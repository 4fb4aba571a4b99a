"""The gossip protocol: engines against each other on a network in memory, with a clock that is
turned by hand.
"""

import gc
from itertools import pairwise

import pytest
from gossip_lan import DELAY_S, FENCE, INTERVAL_S, TTL_S, Lan, complete, encoded, stranger

from cluster_kit.abc import Gone, Leaving, Seen
from cluster_kit.events import Reason
from cluster_kit.network import Datagram, Endpoint
from cluster_kit.node import BootId, Fence
from cluster_kit.strategies.gossip import peers as table
from cluster_kit.strategies.gossip.engine import (
    ANSWERERS,
    ANSWERS_PER_S,
    REMEMBERED,
    IgnoredDatagram,
    Send,
)
from cluster_kit.strategies.gossip.peers import BELATED_S
from cluster_kit.wire.gossip import Kind, Packet, encode

SOON_S = 0.01  # a few hops on this network
SOURCE = Endpoint("10.9.9.9", 50_000)


# -- formation -------------------------------------------------------------------------------------


def test_newcomer_is_seen_at_once_and_sees_all_at_once():
    lan = Lan()
    old = [lan.start(f"n{number}") for number in range(5)]
    lan.run(20)
    newcomer = lan.start("new")
    lan.run(SOON_S)
    assert newcomer.sees().keys() == {peer.name for peer in old}
    assert all(newcomer.name in peer.sees() for peer in old)


def test_nodes_that_start_together_form_at_once():
    lan = Lan()
    for number in range(8):
        lan.start(f"n{number}")
    lan.run(SOON_S)
    assert complete(lan)


def test_newcomer_repeats_its_announcement_within_its_first_second():
    lan = Lan()
    lan.start("alone")
    lan.run(0)
    assert lan.count() == {Kind.ANNOUNCE: 1}
    lan.run(1.2)
    assert lan.count() == {Kind.ANNOUNCE: 4}


def test_steady_state_is_one_jittered_heartbeat_per_interval():
    lan = Lan()
    lan.start("a")
    lan.start("b")
    lan.run(100)
    beats_s = [
        at_s for at_s, peer, kind, _ in lan.sent if kind is Kind.HEARTBEAT and peer is lan.peers[0]
    ]
    gaps_s = [after - before for before, after in pairwise(beats_s)]
    assert min(gaps_s) >= 0.8 * INTERVAL_S
    assert max(gaps_s) <= 1.2 * INTERVAL_S
    assert len({round(gap_s, 3) for gap_s in gaps_s}) > len(gaps_s) / 2
    # each answered the other's first announcement, nothing since
    assert lan.count()[Kind.ANSWER] == 2


def test_seen_carries_all_that_is_announced():
    lan = Lan()
    ann = lan.start("ann", metadata={"zone": "a"})
    bob = lan.start("bob")
    lan.run(SOON_S)
    assert bob.observations[0] == Seen(ann.node, TTL_S)


@pytest.mark.parametrize("ttl_s", [3 * INTERVAL_S, TTL_S, 60.0])
def test_live_peer_is_vouched_for_without_a_gap(ttl_s):
    lan = Lan()
    ann, bob = lan.start("ann", ttl_s=ttl_s), lan.start("bob", ttl_s=ttl_s)
    for _ in range(1000):
        lan.run(0.1)
        assert ann.vouches_for(lan.now_s).keys() == {bob.name}


def test_live_peer_is_not_vouched_for_with_every_packet():
    lan = Lan()
    ann = lan.start("ann")
    lan.start("bob")
    lan.run(600)
    assert len(ann.observations) <= 600 / (TTL_S / 2 - 2 * INTERVAL_S)


@pytest.mark.parametrize("silent_after_s", [0.5, 5.0, 12.3, 100.0])
def test_silent_peer_is_vouched_for_until_its_time_to_live_ends(silent_after_s):
    lan = Lan()
    ann, bob = lan.start("ann"), lan.start("bob")
    lan.run(silent_after_s)
    lan.kill(bob)
    lan.run(TTL_S)
    heard_s = (
        max(at_s for at_s, peer, _, send in lan.sent if peer is bob and send.to is None) + DELAY_S
    )
    assert ann.vouched[bob.name][1] == pytest.approx(heard_s + TTL_S)


def test_a_late_tick_sends_one_datagram():
    lan = Lan()
    peer = lan.start("late")
    lan.now_s += 100
    assert len(peer.engine.tick(lan.now_s)) == 1
    assert peer.engine.next_s > lan.now_s


# -- no storm, no amplifier ------------------------------------------------------------------------


def answers_of(peer, lan, newcomers, *, apart_s):
    """Let newcomers announce themselves, one after the other; return how many of them got an
    answer.
    """
    answers = 0
    for number in range(newcomers):
        lan.now_s += apart_s
        announcement = encode(
            Packet.of(stranger(10_000 + number), FENCE, Kind.ANNOUNCE, leaving=False).padded(512)
        )
        answers += len(peer.engine.receive([Datagram(announcement, SOURCE)], lan.now_s)) - 1
    return answers


def test_in_a_cluster_of_500_about_8_answer_a_newcomer():
    lan = Lan()
    peer = lan.start("member")
    for number in range(500):
        lan.deliver(peer, encoded(stranger(number)))
    answers = answers_of(peer, lan, 400, apart_s=0.01)
    each_member_answers = answers / 400
    assert 0 < 500 * each_member_answers < 3 * ANSWERERS


def test_in_a_small_cluster_all_answer():
    lan = Lan()
    peer = lan.start("member")
    assert answers_of(peer, lan, ANSWERERS, apart_s=0) == ANSWERERS


def test_500_nodes_that_start_together_make_no_storm():
    lan = Lan()
    assert answers_of(lan.start("member"), lan, 500, apart_s=0) <= ANSWERS_PER_S


def test_answers_to_forged_announcements_are_rate_limited():
    lan = Lan()
    lan.random.random = lambda: 0.0  # always willing
    assert answers_of(lan.start("member"), lan, 2000, apart_s=0.001) <= 3 * ANSWERS_PER_S


def test_answer_is_never_larger_than_what_it_answers():
    lan = Lan()
    peer = lan.start("wordy", metadata={"key": "x" * 600})
    lan.run(0)
    small = encode(Packet.of(stranger(), FENCE, Kind.ANNOUNCE, leaving=False))
    assert lan.deliver(peer, small) == [Seen(stranger(), TTL_S)]


def test_announcement_leaves_room_for_usual_answers():
    lan = Lan()
    lan.start("terse")
    lan.start("wordy", metadata={"key": "x" * 300})
    lan.run(SOON_S)
    assert complete(lan)


def test_known_node_is_not_answered():
    lan = Lan()
    peer = lan.start("member")
    announcement = encode(Packet.of(stranger(), FENCE, Kind.ANNOUNCE, leaving=False).padded(512))
    assert [type(action) for action in lan.deliver(peer, announcement)] == [Seen, Send]
    assert lan.deliver(peer, announcement) == []


def test_answer_is_not_answered():
    lan = Lan()
    peer = lan.start("member")
    lan.run(0)
    assert lan.deliver(peer, encoded(stranger(), Kind.ANSWER)) == [Seen(stranger(), TTL_S)]
    assert peer.engine.next_s > lan.now_s


def test_forged_heartbeats_bring_our_own_forward_once_per_interval():
    lan = Lan()
    peer = lan.start("member")
    lan.run(5)
    since_s = lan.now_s
    for number in range(300):
        lan.deliver(peer, encoded(stranger(number)))
        lan.run(0.01)
    assert lan.count(since_s)[Kind.HEARTBEAT] <= 2 * (lan.now_s - since_s) / (0.8 * INTERVAL_S) + 1
    assert lan.count(since_s).keys() == {Kind.HEARTBEAT}


# -- change and leave ------------------------------------------------------------------------------


def test_change_is_announced_at_once():
    lan = Lan()
    ann, bob = lan.start("ann"), lan.start("bob")
    lan.run(5)
    ann.node = ann.node.evolve(metadata={"zone": "b"})
    ann.engine.update(ann.node, lan.now_s, leaving=False)
    lan.run(SOON_S)
    assert bob.sees()[ann.name].metadata == {"zone": "b"}


def test_leaving_is_announced_at_once_and_with_every_renewal():
    lan = Lan()
    ann, bob = lan.start("ann"), lan.start("bob")
    lan.run(5)
    before = len(bob.observations)
    ann.engine.update(ann.node, lan.now_s, leaving=True)
    lan.run(SOON_S)
    assert bob.observations[before:] == [Seen(ann.node, TTL_S), Leaving(ann.name)]
    lan.run(2 * TTL_S)
    assert [type(each) for each in bob.observations[before:]] == [Seen, Leaving] * (
        (len(bob.observations) - before) // 2
    )


def test_goodbye_is_gone_once():
    lan = Lan()
    ann, bob = lan.start("ann"), lan.start("bob")
    lan.run(5)
    before = len(bob.observations)
    for _ in range(3):
        lan.deliver(bob, encoded(ann.node, Kind.GOODBYE))
    assert bob.observations[before:] == [Gone(ann.name, Reason.LEFT, ann.node.boot_id)]


@pytest.mark.parametrize("kind", [Kind.ANNOUNCE, Kind.HEARTBEAT, Kind.ANSWER])
def test_nothing_that_a_goodbye_overtook_is_believed(kind):
    lan = Lan()
    peer = lan.start("member")
    lan.deliver(peer, encoded(stranger(), Kind.GOODBYE))
    lan.run(BELATED_S - SOON_S)
    assert lan.deliver(peer, encoded(stranger(), kind)) == []


def test_live_peer_is_seen_again_for_good_after_a_forged_goodbye():
    lan = Lan()
    ann, bob = lan.start("ann"), lan.start("bob")
    lan.run(5)
    lan.deliver(bob, encoded(ann.node, Kind.GOODBYE))
    assert bob.sees() == {}
    lan.run(BELATED_S + 2 * INTERVAL_S)
    for _ in range(100):
        assert bob.vouches_for(lan.now_s) == {ann.name: ann.node}
        lan.run(1.0)


def test_real_goodbye_counts_after_a_forged_one():
    lan = Lan()
    ann, bob = lan.start("ann"), lan.start("bob")
    lan.deliver(bob, encoded(ann.node, Kind.GOODBYE))
    lan.run(BELATED_S + 2 * INTERVAL_S)
    lan.leave(ann)
    lan.run(SOON_S)
    assert bob.sees() == {}


@pytest.mark.parametrize("boot", [BootId(2, 0), BootId(1, 0)], ids=["later", "clock set back"])
def test_next_run_is_believed_right_after_a_goodbye(boot):
    lan = Lan()
    peer = lan.start("member")
    lan.deliver(peer, encoded(stranger(boot=BootId(1, 1))))
    lan.deliver(peer, encoded(stranger(boot=BootId(1, 1)), Kind.GOODBYE))
    assert lan.deliver(peer, encoded(stranger(boot=boot))) == [Seen(stranger(boot=boot), TTL_S)]


# -- runs of a node --------------------------------------------------------------------------------

OLD, NEW = stranger(boot=BootId(1, 0)), stranger(boot=BootId(2, 0))


def test_new_run_takes_the_place_of_the_old_one():
    lan = Lan()
    peer = lan.start("member")
    lan.deliver(peer, encoded(OLD))
    assert lan.deliver(peer, encoded(NEW)) == [Seen(NEW, TTL_S)]


def test_late_packet_of_an_old_run_is_dropped():
    lan = Lan()
    peer = lan.start("member")
    lan.deliver(peer, encoded(NEW))
    lan.run(INTERVAL_S)
    assert lan.deliver(peer, encoded(OLD)) == []
    assert peer.sees() == {NEW.name: NEW}


def test_old_run_that_goes_on_is_reported_beside_the_new_one():
    """One of the two is forged, and nobody here can know which."""
    lan = Lan()
    peer = lan.start("member")
    lan.deliver(peer, encoded(NEW))
    assert lan.deliver(peer, encoded(OLD)) == []
    lan.run(BELATED_S + 0.1)
    lan.deliver(peer, encoded(NEW))
    assert lan.deliver(peer, encoded(OLD)) == [Seen(OLD, TTL_S)]
    lan.run(TTL_S + 2 * INTERVAL_S)
    lan.deliver(peer, encoded(NEW))
    assert lan.deliver(peer, encoded(OLD)) == []


def test_late_goodbye_of_an_old_run_leaves_the_new_one():
    lan = Lan()
    peer = lan.start("member")
    lan.deliver(peer, encoded(NEW))
    assert lan.deliver(peer, encoded(OLD, Kind.GOODBYE)) == [
        Gone(OLD.name, Reason.LEFT, OLD.boot_id)
    ]
    lan.run(INTERVAL_S)
    assert lan.deliver(peer, encoded(OLD)) == []


def test_run_with_the_clock_set_back_is_believed_once_the_other_is_silent():
    lan = Lan()
    peer = lan.start("member")
    lan.deliver(peer, encoded(NEW))
    lan.run(2 * INTERVAL_S)
    assert lan.deliver(peer, encoded(OLD)) == [
        Gone(NEW.name, Reason.REPLACED, NEW.boot_id),
        Seen(OLD, TTL_S),
    ]
    assert lan.deliver(peer, encoded(NEW)) == [Seen(NEW, TTL_S)]


@pytest.mark.parametrize(("boot", "kind"), [(0, Kind.HEARTBEAT), (2, Kind.GOODBYE)], ids=str)
def test_a_packet_of_another_run_does_not_make_a_live_one_silent(boot, kind):
    for moment in range(60):
        lan = Lan(seed=moment)
        peer = lan.start("member", interval_s=10, ttl_s=30)
        victim = lan.start("victim", interval_s=10, ttl_s=30, boot=BootId(1, 0))
        lan.run(60 + moment)
        forged = victim.node.evolve(boot_id=BootId(boot, 0))
        lan.deliver(peer, encoded(forged, kind))
        for _ in range(80):
            lan.run(0.5)
            assert victim.name in peer.vouches_for(lan.now_s)


def test_another_process_of_our_name_is_seen():
    lan = Lan()
    peer = lan.start("twin")
    twin = peer.node.evolve(boot_id=BootId(7, 7))
    assert Seen(twin, TTL_S) in lan.deliver(peer, encoded(twin))


def test_own_packets_are_ignored():
    lan = Lan()
    peer = lan.start("alone")
    lan.run(20)
    assert len(lan.sent) > 10
    assert peer.observations == []


# -- partitions ------------------------------------------------------------------------------------


def cut_off(lan, islanders):
    """Cut nodes off for so long that each side has forgotten the other, and heal; return when."""
    lan.run(10)
    lan.cut(*islanders)
    lan.run(20 + 2 * TTL_S)
    for peer in lan.peers:
        peer.forget()
    lan.heal()
    return lan.now_s


def see_across(lan, islanders):
    """Whether the islanders see everybody else, and the other way round."""
    others = [peer for peer in lan.peers if peer not in islanders]
    sides = [(islanders, others), (others, islanders)]
    return all(
        {peer.name for peer in there} <= peer.sees().keys()
        for here, there in sides
        for peer in here
    )


@pytest.mark.parametrize("islanders", [1, 4])
def test_all_see_all_within_milliseconds_of_the_first_heartbeat_after_a_partition(islanders):
    lan = Lan()
    for number in range(8):
        lan.start(f"n{number}")
    healed_s = cut_off(lan, lan.peers[:islanders])
    first_s = min(peer.engine.next_s for peer in lan.peers)
    lan.run(first_s - healed_s + 10 * DELAY_S)
    assert see_across(lan, lan.peers[:islanders])


def test_healing_a_large_cluster_makes_no_storm():
    lan = Lan()
    for number in range(24):
        lan.start(f"n{number}")
    healed_s = cut_off(lan, lan.peers[:12])
    lan.run(2 * INTERVAL_S)
    assert see_across(lan, lan.peers[:12])
    assert lan.count(healed_s)[Kind.HEARTBEAT] <= 24 * 5
    assert lan.count(healed_s)[Kind.ANSWER] == 0


def test_network_that_comes_back_gets_an_announcement_at_once():
    lan = Lan()
    ann, bob = lan.start("ann"), lan.start("bob")
    lan.run(20)
    ann.engine.start(lan.now_s)
    since_s = lan.now_s
    lan.run(SOON_S)
    assert lan.count(since_s) == {Kind.ANNOUNCE: 1}
    assert ann.name in bob.sees()


# -- what is ignored, and what is bounded ----------------------------------------------------------


@pytest.mark.parametrize("fence", [Fence("other", "lan"), Fence("shop", "other")])
def test_foreigners_are_ignored_by_name(fence):
    lan = Lan()
    peer = lan.start("member")
    [ignored] = lan.deliver(peer, encoded(stranger(), fence=fence))
    assert isinstance(ignored, IgnoredDatagram)
    assert "'other'" in ignored.why
    assert "10.9.9.9" in ignored.why


def test_garbage_is_ignored():
    lan = Lan()
    peer = lan.start("member")
    [ignored] = lan.deliver(peer, b"heartbeat::")
    assert isinstance(ignored, IgnoredDatagram)


def test_observer_sends_nothing():
    lan = Lan()
    looking = lan.start("looking", announce=False)
    member = lan.start("member")
    lan.run(20)
    lan.leave(looking)
    assert member.name in looking.sees()
    assert {peer for _, peer, _, _ in lan.sent} == {member}


@pytest.mark.parametrize("kind", Kind)
def test_endless_names_and_boots_do_not_fill_memory(kind, monkeypatch):
    monkeypatch.setattr(table, "MAX_PEERS", 100)
    monkeypatch.setattr(table, "MAX_GOODBYES", 100)
    lan = Lan()
    peer = lan.start("member")
    # of no other test, whose boots may still be in a cache of this process
    nonce = 0x7E57_0000 + kind
    for number in range(10_000):
        boot = BootId(1_000_000 + number, nonce)
        peer.engine.receive(
            [Datagram(encoded(stranger(number, boot=boot), kind), SOURCE)], lan.now_s
        )
    gc.collect()
    boots = {each for each in gc.get_objects() if isinstance(each, BootId) and each.nonce == nonce}
    assert 0 < len(boots) <= REMEMBERED + 100
