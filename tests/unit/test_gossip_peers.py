"""The peers that a gossip engine has heard: which datagram is news, and what is forgotten."""

import pytest
from gossip_lan import FENCE, stranger

from cluster_kit.node import BootId
from cluster_kit.strategies.gossip import peers as table
from cluster_kit.strategies.gossip.peers import HeardPeers, Novelty, Statement


def says(node, *, leaving=False):
    return Statement(node, FENCE, leaving)


def test_peers_are_bounded(monkeypatch):
    monkeypatch.setattr(table, "MAX_PEERS", 10)
    peers = HeardPeers(silent_s=1, ttl_s=10)
    for number in range(100):
        assert peers.hear(says(stranger(number)), number) is Novelty.NEW
    assert len(peers) == 10
    assert peers.hear(says(stranger(99)), 100) is Novelty.KNOWN
    assert peers.hear(says(stranger(0)), 100) is Novelty.NEW


def test_remembered_goodbyes_are_bounded(monkeypatch):
    monkeypatch.setattr(table, "MAX_GOODBYES", 10)
    peers = HeardPeers(silent_s=1, ttl_s=10)
    for number in range(100):
        peers.record_goodbye(stranger(number).name, stranger(number).boot_id, 0)
    assert peers.hear(says(stranger(99)), 0) is Novelty.LATE
    assert peers.hear(says(stranger(0)), 0) is Novelty.NEW


def test_silent_peers_are_forgotten():
    peers = HeardPeers(silent_s=1, ttl_s=10)
    peers.hear(says(stranger(1)), 0.0)
    peers.hear(says(stranger(2)), 5.0)
    assert peers.renew(10.0, horizon_s=13.0) == []
    assert peers.current(stranger(1).name) is None
    assert peers.current(stranger(2).name) == stranger(2).boot_id


def test_peer_heard_again_too_late_for_renewal_is_news():
    peers, ann, bob = HeardPeers(silent_s=3, ttl_s=10), says(stranger(1)), says(stranger(2))
    peers.hear(ann, 0.0)
    peers.hear(bob, 0.0)
    for now_s in (1.5, 3.0, 4.5, 6.0, 7.5, 9.0):
        assert peers.all_repeat([bob], now_s)
        peers.renew(now_s, horizon_s=now_s + 2.5)
    assert not peers.all_repeat([bob, ann], 9.1)
    assert not peers.repeats(ann, 9.1)
    assert peers.repeats(bob, 9.1)
    assert peers.hear(ann, 9.1) is Novelty.CHANGED
    assert peers.all_repeat([bob, ann], 9.2)
    assert not peers.all_repeat([bob, says(stranger(1))], 9.2)


@pytest.mark.parametrize(
    "change", [{"metadata": {"zone": "b"}}, {"address": "10.1.0.2:4000"}], ids=str
)
def test_change_of_a_known_run_is_news(change):
    peers = HeardPeers(silent_s=1, ttl_s=10)
    peers.hear(says(stranger()), 0.0)
    assert peers.hear(says(stranger().evolve(**change)), 1.0) is Novelty.CHANGED
    assert peers.hear(says(stranger().evolve(**change), leaving=True), 1.0) is Novelty.CHANGED
    assert peers.hear(says(stranger().evolve(**change), leaving=True), 1.0) is Novelty.KNOWN


# -- earlier runs, by their boots; the clock may have been set back between the two ----------------

EARLIER, LATER = (stranger().evolve(boot_id=BootId(started_ms, 0)) for started_ms in (1, 2))


def heard(*packets):
    """Return the peers after these runs were heard, each at its time."""
    peers = HeardPeers(silent_s=3, ttl_s=10)
    for node, at_s in packets:
        peers.hear(says(node), at_s)
    return peers


@pytest.mark.parametrize(("known", "other"), [(LATER, EARLIER), (EARLIER, LATER)])
def test_run_is_not_renewed_after_the_goodbye_of_another_unless_it_is_heard_again(known, other):
    peers = heard((known, 0), (known, 1))
    assert peers.record_goodbye(other.name, other.boot_id, 1.5)
    assert peers.renew(9, horizon_s=11) == []
    assert peers.hear(says(known), 9.5) is Novelty.CHANGED


def test_run_is_not_renewed_once_an_earlier_one_was_heard_unless_it_is_heard_again():
    late, again = (EARLIER, 0.1), (EARLIER, 1.5)  # the first may be a packet from before
    peers = heard((LATER, 0), late, (LATER, 1), again)
    assert peers.renew(9, horizon_s=11) == []
    assert peers.hear(says(LATER), 9.5) is Novelty.CHANGED
    peers.hear(says(LATER), 15)
    assert [statement.node for statement, _ in peers.renew(18, horizon_s=20)] == [LATER]
