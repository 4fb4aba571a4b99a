"""Nodes prove by a nonce that their datagrams are not recordings."""

import pytest
from gossip_lan import FENCE, TTL_S, opened
from sealed_members import MALLORY, member, observations, said, sealed_lan

from cluster_kit.abc import Seen
from cluster_kit.network import Endpoint
from cluster_kit.node import BootId, Fence
from cluster_kit.strategies.gossip.engine import IgnoredDatagram, Send
from cluster_kit.strategies.gossip.freshness import NONCE_S
from cluster_kit.wire import envelope
from cluster_kit.wire.envelope import NO_NONCE, Envelope
from cluster_kit.wire.gossip import Kind, Packet, encode


def asked(lan, peer, node, sealing):
    """Have a node ask a member for a nonce; return it."""
    [send] = [
        each for each in lan.deliver(peer, said(node, sealing), MALLORY) if isinstance(each, Send)
    ]
    return opened(send.datagram).nonce, send


def test_peer_that_echoes_the_nonce_is_believed_once():
    lan = sealed_lan()
    peer = lan.start("peer")
    lan.run(0)
    node, sealing = member()
    nonce, _ = asked(lan, peer, node, sealing)
    answer = said(node, sealing, Kind.ANSWER, echo=nonce)
    assert lan.deliver(peer, answer) == [Seen(node, TTL_S)]
    assert lan.deliver(peer, answer) == []


def test_the_question_goes_where_the_member_says_that_it_is():
    lan = sealed_lan()
    peer = lan.start("peer")
    lan.run(0)
    assert asked(lan, peer, *member())[1].to == Endpoint("10.1.0.1", 50_001)


@pytest.mark.parametrize("address", ["0.0.0.0:4000", None])
def test_the_source_is_not_believed_where_a_node_names_no_host_of_its_own(address):
    lan = sealed_lan()
    peer = lan.start("peer")
    lan.run(0)
    node, sealing = member()
    nonce, _ = asked(lan, peer, node, sealing)
    [seen] = lan.deliver(
        peer, said(node.evolve(address=address), sealing, Kind.ANSWER, echo=nonce), MALLORY
    )
    assert seen.node.address.startswith("10.1.0.1:")


@pytest.mark.parametrize("echo", [NO_NONCE, b"n" * 16], ids=["none", "of somebody else"])
def test_another_nonce_proves_nothing(echo):
    lan = sealed_lan()
    peer = lan.start("peer")
    lan.run(0)
    assert not observations(lan.deliver(peer, said(*member(), Kind.ANSWER, echo=echo)))


@pytest.mark.parametrize(("after_s", "counts"), [(0.9 * NONCE_S, True), (2.1 * NONCE_S, False)])
def test_a_nonce_counts_for_seconds_only(after_s, counts):
    lan = sealed_lan()
    peer = lan.start("peer")
    lan.run(0)
    node, sealing = member()
    nonce, _ = asked(lan, peer, node, sealing)
    lan.run(after_s)
    answer = said(node, sealing, Kind.ANSWER, echo=nonce)
    assert bool(observations(lan.deliver(peer, answer))) is counts


def test_next_run_of_a_node_uses_another_nonce():
    lan = sealed_lan()
    nonces = []
    for _ in range(2):
        peer = lan.start("peer", boot=BootId(9, 9))
        nonces.append(peer.engine._freshness.nonce(lan.now_s))
        lan.kill(peer)
    assert nonces[0] != nonces[1]
    assert NO_NONCE not in nonces


def test_answer_for_another_boot_is_ignored():
    lan = sealed_lan()
    peer = lan.start("peer")
    lan.run(0)
    node, sealing = member()
    nonce, _ = asked(lan, peer, node, sealing)
    other = node.evolve(boot_id=BootId(1, 1))
    assert lan.deliver(peer, said(other, sealing, Kind.ANSWER, echo=nonce)) == []


def test_answer_for_another_fence_is_ignored():
    lan = sealed_lan()
    peer = lan.start("peer")
    lan.run(0)
    node, sealing = member()
    nonce, _ = asked(lan, peer, node, sealing)
    elsewhere = encode(Packet.of(node, Fence("shop", "other"), Kind.ANSWER, leaving=False))
    assert lan.deliver(peer, said(node, sealing, packet=elsewhere, echo=nonce)) == []


def test_own_datagrams_are_nothing():
    lan = sealed_lan()
    ann = lan.start("ann")
    lan.run(20)
    assert ann.observations == []
    assert lan.count().keys() == {Kind.ANNOUNCE, Kind.HEARTBEAT}


@pytest.mark.parametrize(
    "plain",
    [b"", b"\xc0", b"\x90", envelope.encode(Envelope(host=None, port=1))[:-1], b"\x91" * 2000],
)
def test_a_member_that_seals_nonsense_is_ignored(plain):
    lan = sealed_lan()
    peer = lan.start("peer")
    [ignored] = lan.deliver(peer, member()[1].seal(plain, FENCE, 0.0))
    assert isinstance(ignored, IgnoredDatagram)


def test_kinds_of_later_versions_are_skipped():
    lan = sealed_lan()
    peer = lan.start("peer")
    later = bytearray(encode(Packet.of(member()[0], FENCE, Kind.HEARTBEAT, leaving=False)))
    later[7] = 77
    assert lan.deliver(peer, said(*member(), packet=bytes(later))) == []
