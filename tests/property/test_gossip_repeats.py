"""Repeated datagrams take a short cut, which changes nothing but the cost."""

from contextlib import contextmanager
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.network import Datagram, Endpoint
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.strategies.gossip import engine
from cluster_kit.strategies.gossip.engine import GossipEngine
from cluster_kit.strategies.gossip.peers import HeardPeers
from cluster_kit.wire.gossip import Kind, Packet, encode

FENCE = Fence("shop", "lan")
LOCAL = Node(name="me@h", boot_id=BootId(1, 1))
SOURCE = Endpoint("10.0.0.2", 1)

packets = st.builds(
    lambda name, boot, kind, leaving: encode(
        Packet.of(
            Node(name=name, address="10.0.0.1:1", boot_id=BootId(boot, 1)),
            FENCE,
            kind,
            leaving=leaving,
        )
    ),
    st.sampled_from(["ann@h", "bob@h"]),
    st.integers(2, 3),  # a boot of one name comes under another as well: anybody can send that
    st.sampled_from([Kind.HEARTBEAT, Kind.HEARTBEAT, Kind.GOODBYE]),
    st.sampled_from([False, False, True]),
)
heard_at_once = st.lists(packets, min_size=1, max_size=3)
happenings = st.one_of(heard_at_once, st.none())
steps = st.lists(st.tuples(happenings, st.sampled_from([0.0, 1.0, 2.0, 2.0, 11.0])), min_size=12)


def new_engine():
    return GossipEngine(LOCAL, FENCE, interval_s=1.0, ttl_s=10.0, random=lambda: 0.5)


def hear_twice(peer, datagrams, now_s):
    """Take datagrams in twice; return what was decided."""
    heard = [Datagram(datagram, SOURCE) for datagram in datagrams]
    return [peer.receive(heard, now_s), peer.receive(heard, now_s)]


@contextmanager
def without_short_cuts():
    never = mock.Mock(return_value=False)
    with mock.patch.multiple(HeardPeers, repeats=never, all_repeat=never):
        yield


@contextmanager
def with_each_datagram_read_anew():
    """Forget repeats, as if many others had been received meanwhile."""
    names = ("read", "_meaning_of", "_meanings_of", "_same")
    with mock.patch.multiple(engine, **{name: getattr(engine, name).__wrapped__ for name in names}):
        yield


def remembered(peer):
    """Return what a node remembers of the others, by name."""
    peers = peer._peers
    return {
        name: (
            said.node,
            said.leaving,
            peers._heard_s[said],
            peers._until_s[said],
            said in peers._lapsing,
        )
        for name, said in peers._statements.items()
    }


@pytest.mark.parametrize("made_slow", [without_short_cuts, with_each_datagram_read_anew])
@settings(max_examples=300, deadline=None)
@given(script=steps)
def test_engine_without_short_cuts_decides_the_same(made_slow, script):
    one, other = new_engine(), new_engine()
    now_s = 0.0
    for datagrams, later_s in script:
        now_s += later_s
        if datagrams is None:
            assert sorted(one.tick(now_s), key=repr) == sorted(other.tick(now_s), key=repr)
            continue
        decided = hear_twice(one, datagrams, now_s)
        with made_slow():
            assert hear_twice(other, datagrams, now_s) == decided
    assert remembered(one) == remembered(other)
    assert len(one._peers._heard_s) == len(one._peers._until_s) == len(one._peers)
