"""Sealed datagrams, byte by byte, and against ciphers and key derivation used on their own."""

import hashlib
import struct

import msgpack
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from cluster_kit.errors import LocalProtocolError, RemoteProtocolError
from cluster_kit.host import MAX_HOST_CHARS
from cluster_kit.network import Endpoint
from cluster_kit.node import MAX_METADATA_BYTES, BootId, Fence, Node
from cluster_kit.security.keys import Keyring, SecretKeys
from cluster_kit.wire import envelope
from cluster_kit.wire import sealing as wire
from cluster_kit.wire.envelope import Envelope
from cluster_kit.wire.gossip import MAX_DATAGRAM_BYTES, Kind, Packet, encode
from cluster_kit.wire.sealing import NotOpened, Opened, SealFault, Sealing, fence_tag, read_clear

NAME = "web@10.0.0.7"
BOOT = BootId(1_790_000_000_000, 0x0123456789ABCDEF)
FENCE = Fence("shop", "lan")
NOW_S = 12.5
PLAIN = b"it is I"


def keys(letter):
    return SecretKeys(
        id=letter * 8, authority=letter * 32, datagrams=bytes(32 - len(letter)) + letter
    )


OLD, NEW, OTHER = keys(b"o"), keys(b"n"), keys(b"x")
CAPTURED = bytes.fromhex(
    "636b676f0101"  # "ckgo", version 1, sealed
    "b5d8fa416a292c6d"  # tag of the fence
    "6f6f6f6f6f6f6f6f"  # id of the secret
    "000001a0c4506c000123456789abcdef"  # boot
    "0000000000bebc20"  # stamp
    "0c7765624031302e302e302e37"  # name
    "12f3084ce381f32e7dd74abb03c5ee34d5b4051cbc8bc8"
)


def sealing(keyring=None, *, name=NAME, boot=BOOT):
    return Sealing(name, boot, keyring or Keyring(OLD))


def encoded(fence):
    return b"".join(
        len(part.encode()).to_bytes(2) + part.encode() for part in (fence.cluster, fence.group)
    )


def sealed_elsewhere(
    secret=OLD, *, boot=BOOT, fence=FENCE, stamp=12_500_000, name=NAME, plain=PLAIN
):
    """Return a datagram as another implementation would write it."""
    info = b"cluster_kit boot" + struct.pack(">QQ", boot.started_ms, boot.nonce)
    key = HKDFExpand(SHA256(), 32, info).derive(secret.datagrams)
    tag = hashlib.sha256(encoded(fence)).digest()[:8]
    clear = (
        b"ckgo\x01\x01" + tag + secret.id + struct.pack(">QQQ", boot.started_ms, boot.nonce, stamp)
    )
    clear += bytes([len(name)]) + name.encode()
    return clear + AESGCM(key).encrypt(bytes(4) + stamp.to_bytes(8), plain, clear + encoded(fence))


def fault_of(opener, datagram, fence=FENCE):
    with pytest.raises(NotOpened) as caught:
        opener.open(datagram, fence)
    return caught.value.fault


def test_sealed_form_never_changes():
    assert sealing().seal(PLAIN, FENCE, NOW_S) == CAPTURED
    assert sealing().open(CAPTURED, FENCE) == Opened(
        (BOOT.started_ms, BOOT.nonce), 12_500_000, PLAIN, OLD.id
    )


def test_another_implementation_seals_to_the_same_bytes():
    assert sealed_elsewhere() == CAPTURED


def test_datagram_sealed_by_another_implementation_opens():
    other = sealed_elsewhere(boot=BootId(7, 8), stamp=9, name="db@h", plain=b"")
    assert sealing().open(other, FENCE) == Opened((7, 8), 9, b"", OLD.id)


def test_run_recognises_its_own_datagrams():
    own, earlier = sealing(), sealing(boot=BootId(BOOT.started_ms - 1, BOOT.nonce))
    assert own.is_own(own.seal(PLAIN, FENCE, NOW_S))
    assert not own.is_own(earlier.seal(PLAIN, FENCE, NOW_S))


def test_stamps_never_repeat_even_if_the_clock_goes_back():
    sender = sealing()
    stamps = [
        read_clear(sender.seal(PLAIN, FENCE, now_s)).stamp
        for now_s in (5.0, 5.0, 4.0, 5.000001, 5.1, 0.0)
    ]
    assert stamps == [5_000_000, 5_000_001, 5_000_002, 5_000_003, 5_100_000, 5_100_001]


def test_stamps_keep_rising_when_the_secret_changes():
    sender = sealing()
    sender.seal(PLAIN, FENCE, 5.0)
    sender.renew(Keyring(NEW))
    assert read_clear(sender.seal(PLAIN, FENCE, 0.0)).stamp == 5_000_001


@pytest.mark.parametrize(
    "fence",
    [Fence("shop", "other"), Fence("other", "lan"), Fence("shopl", "an"), Fence("", "shoplan")],
)
def test_datagram_of_another_group_does_not_open(fence, monkeypatch):
    assert fault_of(sealing(), sealing().seal(PLAIN, fence, NOW_S)) is SealFault.FOREIGN
    monkeypatch.setattr(wire, "fence_tag", lambda fence: bytes(8))  # as if the tags were the same
    assert fault_of(sealing(), sealing().seal(PLAIN, fence, NOW_S)) is SealFault.FORGED


def test_change_of_any_byte_is_detected():
    opener = sealing()
    for at in range(len(CAPTURED)):
        changed = bytearray(CAPTURED)
        changed[at] ^= 1
        assert fault_of(opener, bytes(changed)) in set(SealFault)


@pytest.mark.parametrize("size_bytes", [0, 5, 6, 54, 70, len(CAPTURED) - 1])
def test_truncated_datagram_does_not_open(size_bytes):
    assert fault_of(sealing(), CAPTURED[:size_bytes]) in (
        SealFault.UNSEALED,
        SealFault.MALFORMED,
        SealFault.FORGED,
    )


@pytest.mark.parametrize(
    ("datagram", "fault"),
    [
        (b"ckgo\x01\x00" + CAPTURED[6:], SealFault.UNSEALED),
        (b"ckgo\x02\x01" + CAPTURED[6:], SealFault.UNSEALED),
        (CAPTURED + bytes(MAX_DATAGRAM_BYTES), SealFault.MALFORMED),
        (CAPTURED[:46] + b"\xff" + CAPTURED[47:], SealFault.MALFORMED),  # no room for such a name
        (CAPTURED[:46] + b"\x13" + CAPTURED[47:], SealFault.FORGED),  # just enough room for the tag
        (CAPTURED[:46] + b"\x14" + CAPTURED[47:], SealFault.MALFORMED),
        (CAPTURED[:22] + b"\x7f" + CAPTURED[23:], SealFault.FORGED),
        (CAPTURED[:22] + b"\x80" + bytes(7) + CAPTURED[30:], SealFault.MALFORMED),  # no such time
        (sealed_elsewhere(OTHER), SealFault.OTHER_KEY),
        (sealed_elsewhere(SecretKeys(OLD.id, OTHER.authority, OTHER.datagrams)), SealFault.FORGED),
    ],
)
def test_fault_of_an_unopened_datagram_is_reported(datagram, fault):
    assert fault_of(sealing(), datagram) is fault


@pytest.mark.parametrize(
    ("name", "told"), [(NAME, NAME), ("a\x1b[2J@h", ""), ("", ""), ("é@h", "")]
)
def test_name_of_an_unknown_sender_is_reported_if_printable(name, told):
    clear = CAPTURED[:46] + bytes([len(name.encode())]) + name.encode() + bytes(16)
    with pytest.raises(NotOpened) as caught:
        sealing(Keyring(OTHER)).open(clear, FENCE)
    assert caught.value.name == told
    assert caught.value.fault is SealFault.OTHER_KEY


def test_oversized_datagram_is_not_sealed():
    room_bytes = MAX_DATAGRAM_BYTES - sealing().overhead_bytes
    assert len(sealing().seal(bytes(room_bytes), FENCE, NOW_S)) == MAX_DATAGRAM_BYTES
    with pytest.raises(LocalProtocolError, match="at most"):
        sealing().seal(bytes(room_bytes + 1), FENCE, NOW_S)


def test_largest_datagram_opens_and_a_larger_one_does_not():
    room_bytes = MAX_DATAGRAM_BYTES - sealing().overhead_bytes
    assert sealing().open(sealed_elsewhere(plain=bytes(room_bytes)), FENCE).plain == bytes(
        room_bytes
    )
    larger = sealed_elsewhere(plain=bytes(room_bytes + 1))
    assert fault_of(sealing(), larger) is SealFault.MALFORMED


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
    fence = Fence("c" * 255, "g" * 255)
    packet = encode(Packet.of(node, fence, Kind.HEARTBEAT, leaving=True))
    plain = envelope.encode(
        Envelope(host=f"fe80:{'1111:' * 6}1111%{'i' * 15}", port=65535, packet=packet)
    )
    datagram = sealing(name=node.name, boot=node.boot_id).seal(plain, fence, NOW_S)
    assert envelope.decode(sealing().open(datagram, fence).plain).packet == packet


# -- contents of a sealed datagram -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "source", "reply_to"),
    [
        (None, "10.0.0.9", ("10.0.0.9", 7000)),
        ("10.0.0.7", "10.0.0.9", ("10.0.0.7", 7000)),
        ("fe80::7%eth0", "fe80::9%lan1", ("fe80::7%lan1", 7000)),
    ],
)
def test_reply_goes_to_the_announced_host_rather_than_the_source(host, source, reply_to):
    said = envelope.decode(envelope.encode(Envelope(host=host, port=7000)))
    assert said.reply_to(Endpoint(source, 9)) == reply_to


@pytest.mark.parametrize("host", ["web.example", "", "10.0.0.256", "x" * 300])
def test_host_that_is_not_an_ip_address_is_malformed(host):
    with pytest.raises(RemoteProtocolError, match="malformed sealed datagram"):
        envelope.decode(msgpack.packb([host, 7000]))


# -- rotation --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sender", "receiver", "opens"),
    [
        (Keyring(OLD), Keyring(OLD, (NEW,)), True),
        (Keyring(NEW, (OLD,)), Keyring(OLD, (NEW,)), True),
        (Keyring(OLD, (NEW,)), Keyring(NEW, (OLD,)), True),
        (Keyring(NEW), Keyring(NEW, (OLD,)), True),
        (Keyring(OLD), Keyring(NEW), False),
        (Keyring(OLD, (NEW,)), Keyring(NEW), False),
    ],
)
def test_datagram_opens_only_if_its_secret_is_accepted(sender, receiver, opens):
    one, other = sealing(), sealing(boot=BootId(2, 2))
    one.renew(sender)
    other.renew(receiver)
    datagram = one.seal(PLAIN, FENCE, NOW_S)
    if opens:
        assert other.open(datagram, FENCE).key_id == sender.current.id
    else:
        assert fault_of(other, datagram) is SealFault.OTHER_KEY


def test_dropped_secret_opens_nothing_more():
    opener = sealing(Keyring(NEW, (OLD,)))
    opened = opener.open(CAPTURED, FENCE)
    opener.expect(opened)
    opener.renew(Keyring(NEW))
    assert fault_of(opener, CAPTURED) is SealFault.OTHER_KEY
    opener.expect(opened)
    assert fault_of(opener, CAPTURED) is SealFault.OTHER_KEY
    assert not opener._openers  # nor does a key derived from it stay in memory


# -- remembered senders ----------------------------------------------------------------------------


def test_only_expected_senders_are_remembered():
    opener = Sealing(NAME, BOOT, Keyring(OLD), max_senders=10)
    for number in range(100):
        forged = bytearray(sealed_elsewhere(boot=BootId(number, 1)))
        forged[-1] ^= 1
        assert fault_of(opener, bytes(forged)) is SealFault.FORGED
    assert not opener._openers
    for number in range(100):
        opened = opener.open(sealed_elsewhere(boot=BootId(number, 1)), FENCE)
        assert len(opener._openers) == min(number, 10)
        opener.expect(opened)
    assert len(opener._openers) == 10
    assert opener.open(sealed_elsewhere(boot=BootId(99, 1)), FENCE) == opened


def test_longest_silent_sender_is_forgotten_first():
    opener = Sealing(NAME, BOOT, Keyring(OLD), max_senders=2)
    opened = [opener.open(sealed_elsewhere(boot=BootId(n, 1)), FENCE) for n in range(3)]
    for number in (0, 1, 0, 2):
        opener.expect(opened[number])
    assert [boot for _, boot in opener._openers] == [(0, 1), (2, 1)]


def test_fence_tags_differ_even_if_the_joined_names_are_equal():
    fences = [
        Fence("ab", "c"),
        Fence("a", "bc"),
        Fence("abc", ""),
        Fence("", "abc"),
        Fence("c", "ab"),
    ]
    assert len({fence_tag(fence) for fence in fences}) == len(fences)
    assert fence_tag(FENCE) == hashlib.sha256(b"\0\x04shop\0\x03lan").digest()[:8]


@pytest.mark.parametrize("missing_bytes", [0, 255, 256, 257])
def test_padding_never_exceeds_the_requested_size(missing_bytes):
    bare = Envelope(host=None, port=7000)
    size_bytes = len(envelope.encode(bare)) + missing_bytes
    assert len(envelope.encode(bare.padded(size_bytes))) in (size_bytes - 1, size_bytes)
