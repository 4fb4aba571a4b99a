"""What is heard again is taken in by a short cut, which changes nothing but the cost."""

from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.node import BootId, Fence, Node
from cluster_kit.strategies.gossip import engine
from cluster_kit.strategies.gossip.engine import GossipEngine
from cluster_kit.wire.gossip import Kind, Packet, encode

FENCE = Fence("shop", "lan")
LOCAL = Node(name="me@h", boot_id=BootId(1, 1))
SOURCE = ("10.0.0.2", 1)
READ = engine._read

packets = st.builds(
    lambda name, boot, kind, leaving: encode(
        Packet.of(Node(name=name, address="10.0.0.1:1", boot_id=BootId(boot, 1)), FENCE, kind, leaving=leaving)
    ),
    st.sampled_from(["ann@h", "bob@h"]),
    st.integers(2, 3),  # a boot of one name comes under another as well: anybody can send that
    st.sampled_from([Kind.HEARTBEAT, Kind.GOODBYE]),
    st.booleans(),
)
steps = st.lists(st.tuples(st.none() | packets, st.sampled_from([0.0, 1.0, 3.0, 11.0])), min_size=5)


def new_engine():
    return GossipEngine(LOCAL, FENCE, interval_s=1.0, ttl_s=10.0, random=lambda: 0.5)


def hear(peer, heard, now_s, read):
    """Take a datagram in twice; return what was decided."""
    with mock.patch.object(engine, "_read", read):
        return [peer.receive([(heard, SOURCE)], now_s), peer.receive([(heard, SOURCE)], now_s)]


@settings(max_examples=500, deadline=None)
@given(steps)
def test_who_reads_each_datagram_anew_decides_the_same(script):
    one, other = new_engine(), new_engine()
    now_s = 0.0
    for heard, later_s in script:
        now_s += later_s
        if heard is None:
            assert one.tick(now_s) == other.tick(now_s)
        else:
            assert hear(one, heard, now_s, READ) == hear(other, heard, now_s, READ.__wrapped__)
    assert list(one._peers._peers.items()) == list(other._peers._peers.items())
