"""The gossip codec raises nothing but ``RemoteProtocolError``, and reads what it writes."""

from contextlib import suppress

import msgpack
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cluster_kit.errors import LocalProtocolError, RemoteProtocolError
from cluster_kit.host import why_unexpanded
from cluster_kit.node import BootId, Fence, Node, join_address
from cluster_kit.wire.gossip import HEADER, MAX_DATAGRAM_BYTES, Kind, Packet, decode, encode

SOURCE = ("10.9.9.9", 50_000)

visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)
hosts = st.one_of(
    st.sampled_from(["web.example", "fe80::7", "localhost"]), st.ip_addresses(v=4).map(str)
)
basenames = visible.filter(lambda text: "@" not in text and not why_unexpanded(text))
names = st.builds("{}@{}".format, basenames, hosts)
nodes = st.builds(
    Node,
    name=names,
    address=st.none() | st.builds(join_address, hosts, st.integers(1, 65535)),
    metadata=st.dictionaries(st.text(max_size=10), st.text(max_size=20), max_size=5),
    boot_id=st.builds(BootId, st.integers(0, 2**63 - 1), st.integers(0, 2**64 - 1)),
)
packets = st.builds(
    Packet.of,
    nodes,
    st.builds(Fence, st.text(max_size=20), st.text(max_size=20)),
    st.sampled_from(Kind),
    leaving=st.booleans(),
)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=12)
        | st.dictionaries(st.text() | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=30,
)


def survives(datagram):
    """Decode, and make use of what comes out."""
    with suppress(RemoteProtocolError):
        packet = decode(datagram)
        if packet is not None:
            packet.node(SOURCE)
            Fence(packet.cluster, packet.group)


@given(packets)
def test_packets_round_trip(packet):
    try:
        datagram = encode(packet)
    except LocalProtocolError:
        assume(False)
    assert len(datagram) <= MAX_DATAGRAM_BYTES
    assert decode(datagram) == packet
    assert msgpack.unpackb(datagram[len(HEADER) :])[3] == packet.name


@given(packets, st.integers(0, MAX_DATAGRAM_BYTES // 2))
def test_padding_changes_only_the_size(packet, size_bytes):
    try:
        read = decode(encode(packet.padded(size_bytes)))
    except LocalProtocolError:
        assume(False)
    assert read.node(SOURCE) == packet.node(SOURCE)
    assert (read.kind, read.fence, read.leaving) == (packet.kind, packet.fence, packet.leaving)


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_random_bytes_under_our_header_are_survived(noise):
    survives(HEADER + noise)


@settings(max_examples=500)
@given(plain)
def test_any_value_under_our_header_is_survived(value):
    survives(HEADER + msgpack.packb(value, unicode_errors="surrogatepass"))


@settings(max_examples=500)
@given(packets, st.data())
def test_flipped_bits_are_survived(packet, data):
    datagram = bytearray(encode(packet))
    for _ in range(data.draw(st.integers(1, 4))):
        datagram[data.draw(st.integers(0, len(datagram) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    survives(bytes(datagram))


@given(packets, st.data())
def test_truncated_datagram_is_refused(packet, data):
    datagram = encode(packet)
    cut = datagram[: data.draw(st.integers(0, len(datagram) - 1))]
    try:
        decode(cut)
    except RemoteProtocolError:
        return
    raise AssertionError(f"{cut!r} was believed")
