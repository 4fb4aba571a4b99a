"""The gossip datagram, byte by byte, and against another implementation of MessagePack."""

import msgpack
import pytest
from msgspec.structs import replace

from cluster_kit.errors import LocalProtocolError, RemoteProtocolError
from cluster_kit.host import MAX_HOST_CHARS
from cluster_kit.node import MAX_METADATA_BYTES, BootId, Fence, Node
from cluster_kit.wire.gossip import HEADER, MAGIC, MAX_DATAGRAM_BYTES, Kind, Packet, decode, encode

WEB = Node(
    name="web@10.0.0.7",
    address="10.0.0.7:4000",
    metadata={"zone": "a"},
    boot_id=BootId(1_790_000_000_000, 0x0123456789ABCDEF),
)
FENCE = Fence("shop", "lan")
HEARTBEAT = Packet.of(WEB, FENCE, Kind.HEARTBEAT, leaving=False)
PLAIN = [
    2,
    "shop",
    "lan",
    "web@10.0.0.7",
    [1_790_000_000_000, 0x0123456789ABCDEF],
    "10.0.0.7",
    4000,
    {"zone": "a"},
    False,
    b"",
]
CAPTURED = bytes.fromhex(
    "636b676f0100"  # "ckgo", version 1, no flags
    "9a02a473686f70a36c616eac7765624031302e302e302e3792cf000001a0c4506c00cf0123456789abcdef"
    "a831302e302e302e37cd0fa081a47a6f6e65a161c2c400"
)
SOURCE = ("10.9.9.9", 50_000)


def foreign(fields):
    """Return a datagram as another implementation would write it."""
    return HEADER + msgpack.packb(fields)


def changed(**at):
    """Return plain fields with some of them, by position such as ``f3``, replaced."""
    return [at.get(f"f{position}", value) for position, value in enumerate(PLAIN)]


def test_wire_form_never_changes():
    assert encode(HEARTBEAT) == CAPTURED
    assert decode(CAPTURED) == HEARTBEAT


def test_another_implementation_reads_our_datagrams():
    assert msgpack.unpackb(encode(HEARTBEAT)[len(HEADER) :]) == PLAIN


def test_datagrams_of_another_implementation_are_read():
    assert decode(foreign(PLAIN)) == HEARTBEAT


def test_packet_carries_the_node_and_its_fence():
    packet = decode(CAPTURED)
    assert packet.node(SOURCE) == WEB
    assert packet.fence == FENCE
    assert packet.boot_id == WEB.boot_id


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("10.0.0.7:4000", "10.0.0.7:4000"),
        ("web.example:4000", "web.example:4000"),
        ("[fe80::7]:4000", "[fe80::7]:4000"),
        ("0.0.0.0:4000", "10.9.9.9:4000"),
        ("[::]:4000", "10.9.9.9:4000"),
        (None, "10.9.9.9:50000"),
    ],
)
def test_missing_address_parts_are_taken_from_the_source(address, told):
    packet = Packet.of(WEB.evolve(address=address), FENCE, Kind.ANNOUNCE, leaving=False)
    assert decode(encode(packet)).node(SOURCE).address == told


@pytest.mark.parametrize("port", [1, 65535])
def test_any_port_may_be_announced(port):
    assert decode(foreign(changed(f6=port))).node(SOURCE).address == f"10.0.0.7:{port}"


def test_unspecified_host_is_not_announced():
    assert b"0.0.0.0" not in encode(
        Packet.of(WEB.evolve(address="0.0.0.0:4000"), FENCE, Kind.ANNOUNCE, leaving=False)
    )


def test_received_unspecified_host_is_replaced_by_that_of_the_source():
    assert decode(foreign(changed(f5="0.0.0.0"))).node(SOURCE).address == "10.9.9.9:4000"


def test_fields_of_later_versions_are_skipped():
    assert decode(foreign([*PLAIN, {"later": [1, 2]}, "field"])) == HEARTBEAT


def test_padding_is_optional():
    assert decode(foreign(PLAIN[:-1])) == HEARTBEAT


def test_kinds_of_later_versions_are_skipped():
    assert decode(foreign(changed(f0=77))) is None


@pytest.mark.parametrize("size_bytes", [80, 300, 512])
def test_padding_grows_a_datagram_without_changing_its_node(size_bytes):
    datagram = encode(HEARTBEAT.padded(size_bytes))
    assert size_bytes <= len(datagram) <= size_bytes + 1
    assert decode(datagram).node(SOURCE) == WEB


def test_padding_leaves_a_larger_datagram_alone():
    assert encode(HEARTBEAT.padded(10)) == encode(HEARTBEAT)


def test_oversized_packet_is_not_encoded():
    largest = HEARTBEAT.padded(4095)
    assert len(encode(largest)) == 4096
    with pytest.raises(LocalProtocolError, match="at most 4096"):
        encode(replace(largest, padding=largest.padding + b"x"))


def test_oversized_datagram_is_not_decoded():
    padding = bytes(4096 - len(CAPTURED) - 1)
    assert len(foreign(changed(f9=padding))) == 4096
    assert decode(foreign(changed(f9=padding))).node(SOURCE) == WEB
    with pytest.raises(RemoteProtocolError, match="more than 4096"):
        decode(foreign(changed(f9=padding + b"x")))


def test_largest_possible_node_fits():
    host = ("h" * 63 + ".") * 3 + "h" * (MAX_HOST_CHARS - 192)
    metadata = {
        f"{chr(33 + key // 64)}{chr(33 + key % 64)}": "" for key in range(MAX_METADATA_BYTES // 2)
    }
    node = Node(
        name=f"n@{host}",
        address=f"{host}:65535",
        metadata=metadata,
        boot_id=BootId(2**63 - 1, 2**64 - 1),
    )
    packet = Packet.of(node, Fence("c" * 255, "g" * 255), Kind.HEARTBEAT, leaving=True)
    assert decode(encode(packet)).node(SOURCE) == node


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"x",
        MAGIC,
        HEADER,
        b"heartbeat::" + CAPTURED,
        CAPTURED[:-1],
        CAPTURED + b"\0",
        MAGIC + b"\x02\x00" + CAPTURED[len(HEADER) :],
        MAGIC + b"\x01\x01" + CAPTURED[len(HEADER) :],
        CAPTURED + bytes(MAX_DATAGRAM_BYTES),
        HEADER + b"\xdd\xff\xff\xff\xff",
        HEADER + b"\x9a\x02\xdb\xff\xff\xff\xff",
        HEADER + b"\x91" * (MAX_DATAGRAM_BYTES - len(HEADER)),
        foreign(PLAIN[:-2]),
        foreign(dict(enumerate(PLAIN))),
        *(
            foreign(changed(**fault))
            for fault in (
                {"f0": "heartbeat"},
                {"f1": "x" * 256},
                {"f2": None},
                {"f3": "no name"},
                {"f3": "x" * 255 + "@host"},
                {"f4": [1]},
                {"f4": [-1, 0]},
                {"f4": [0, 2**63, 0]},
                {"f4": [2**63, 0]},
                {"f5": ""},
                {"f5": "two words"},
                {"f5": "x" * 256},
                {"f6": 0},
                {"f6": 65536},
                {"f7": {"key": 1}},
                {"f7": {"key": "x" * 1024}},
                {"f8": 0},
            )
        ),
    ],
    ids=lambda datagram: datagram[:20].hex() + f"-{len(datagram)}",
)
def test_malformed_datagram_is_refused(datagram):
    with pytest.raises(RemoteProtocolError):
        decode(datagram)


@pytest.mark.parametrize(
    ("told", "source", "dialled"),
    [
        ("[fe80::1%eth0]:4000", ("fe80::1%lan7", 50000), "[fe80::1%lan7]:4000"),
        ("[FE80::1]:4000", ("fe80::9%lan7", 50000), "[fe80::1%lan7]:4000"),
        ("[fe80::1%eth0]:4000", ("10.0.0.1", 50000), "[fe80::1]:4000"),
        ("[fd00::1]:4000", ("fe80::1%lan7", 50000), "[fd00::1]:4000"),
        ("[fea::1]:4000", ("fe80::1%lan7", 50000), "[fea::1]:4000"),
        ("fe80.example:4000", ("fe80::1%lan7", 50000), "fe80.example:4000"),
    ],
)
def test_link_local_address_gets_the_interface_of_the_receiver(told, source, dialled):
    packet = Packet.of(
        Node(name="ann@h", address=told, boot_id=BootId(1, 2)),
        Fence("c", "g"),
        Kind.HEARTBEAT,
        leaving=False,
    )
    assert packet.node(source).address == dialled


def test_sender_name_is_canonicalised():
    packet = decode(foreign(changed(f3="web@Shop.Example.")))
    assert packet.name == packet.node(SOURCE).name == "web@shop.example"


def test_address_other_than_host_and_port_round_trips():
    unix = WEB.evolve(address="unix:/run/Web.sock")
    packet = Packet.of(unix, FENCE, Kind.HEARTBEAT, leaving=False)
    assert decode(encode(packet)).node(SOURCE) == unix
    assert len(encode(packet)) < len(encode(HEARTBEAT)) + len(unix.address)


def test_address_with_port_zero_is_not_announced():
    assert (
        Packet.of(WEB.evolve(address="10.0.0.7:0"), FENCE, Kind.HEARTBEAT, leaving=False).host
        is None
    )


@pytest.mark.parametrize("address", ["unix:/\x1b[2J", "a b", "a@b", "x" * 265])
def test_impossible_address_is_malformed(address):
    with pytest.raises(RemoteProtocolError, match="malformed"):
        decode(foreign(changed(f5=address, f6=None)))
