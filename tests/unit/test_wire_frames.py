"""The frames of the link protocol, byte by byte, and against another implementation of
MessagePack.
"""

import msgpack
import pytest

from cluster_kit.abc import MAX_PAYLOAD_BYTES
from cluster_kit.errors import LocalProtocolError, RemoteProtocolError, UntrustedError
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.wire.frames import (
    MAX_FRAME_BYTES,
    MAX_HANDSHAKE_BYTES,
    MAX_HINTS,
    MAX_SECRET_ID_BYTES,
    MAX_SECRETS,
    TLS_HEAD_BYTES,
    App,
    Confirm,
    Frame,
    FrameReader,
    Goodbye,
    Greeting,
    Hello,
    Hint,
    Hints,
    Identity,
    Payload,
    Ping,
    Pong,
    Refusal,
    Secrets,
    Update,
    Want,
    Welcome,
    begins_tls,
    decode,
    encode,
    is_plain,
    is_tls,
)

ANN = Node(
    name="ann@10.0.0.1",
    address="10.0.0.1:4000",
    metadata={"zone": "a"},
    boot_id=BootId(1_700_000_000_000, 2**64 - 1),
)
IDENTITY = Identity.of(ANN, Fence("shop", "web"), leaving=False, wanted=True)
PLAIN_IDENTITY = [
    "shop",
    "web",
    "ann@10.0.0.1",
    [1_700_000_000_000, 2**64 - 1],
    "10.0.0.1:4000",
    {"zone": "a"},
    False,
    True,
    [],
]
CAPTURED_HELLO = (
    "00000052"  # length
    "94"  # array of 4
    "01"  # hello
    "ab636c75737465725f6b6974"  # cluster_kit
    "01"  # version
    "99"  # array of 9
    "a473686f70"  # shop
    "a3776562"  # web
    "ac616e6e4031302e302e302e31"  # ann@10.0.0.1
    "92cf0000018bcfe56800cfffffffffffffffff"  # boot
    "ad31302e302e302e313a34303030"  # 10.0.0.1:4000
    "81a47a6f6e65a161"  # zone: a
    "c2"  # leaving: no
    "c3"  # wanted: yes
    "90"  # features: none
)

FRAMES = [
    (
        Hello(magic="cluster_kit", version=1, identity=IDENTITY),
        [1, "cluster_kit", 1, PLAIN_IDENTITY],
    ),
    (Welcome(identity=IDENTITY), [2, PLAIN_IDENTITY]),
    (Refusal(reason="crossed", identity=IDENTITY), [3, "crossed", 1, PLAIN_IDENTITY, None]),
    (Refusal(reason="foreign"), [3, "foreign", 1, None, None]),
    (
        Refusal(reason="conflict", identity=IDENTITY, rival=(5, 6)),
        [3, "conflict", 1, PLAIN_IDENTITY, [5, 6]],
    ),
    (Confirm(), [4]),
    (Ping(token=2**32 - 1, rtt_us=1500), [5, 2**32 - 1, 1500]),
    (Pong(token=7), [6, 7]),
    (Want(wanted=False), [7, False]),
    (Update(metadata={"zone": "b"}, leaving=True), [8, {"zone": "b"}, True]),
    (Goodbye(reason="leaving"), [9, "leaving", None]),
    (Goodbye(reason="conflict", rival=(5, 6)), [9, "conflict", [5, 6]]),
    (Greeting(b"I am \x00 free"), [13, b"I am \x00 free"]),
    (Payload(b""), [14, b""]),
    (Payload(bytes(MAX_PAYLOAD_BYTES)), [14, bytes(MAX_PAYLOAD_BYTES)]),
    (
        Hints([Hint.of(ANN)]),
        [11, [["ann@10.0.0.1", "10.0.0.1:4000", [1_700_000_000_000, 2**64 - 1]]]],
    ),
    (Secrets([b"12345678"]), [12, [b"12345678"]]),
    (Hints([Hint("b@h", "h:1", None)]), [11, [["b@h", "h:1", None]]]),
]

each_frame = pytest.mark.parametrize(
    ("frame", "plain"), FRAMES, ids=lambda value: type(value).__name__
)


def packed(*plain) -> bytes:
    return msgpack.packb(list(plain))


@each_frame
def test_frame_reads_as_plain_messagepack(frame, plain):
    data = encode(frame)
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    assert msgpack.unpackb(data[4:]) == plain


@each_frame
def test_plain_messagepack_reads_as_frame(frame, plain):
    assert decode(msgpack.packb(plain)) == frame


@each_frame
def test_fields_of_a_later_version_are_skipped(frame, plain):
    grown = [[*part, "later"] if part is PLAIN_IDENTITY else part for part in plain]
    assert decode(msgpack.packb([*grown, {"later": [1, 2]}])) == frame


def test_wire_form_of_hello_never_changes():
    assert encode(Hello(magic="cluster_kit", version=1, identity=IDENTITY)).hex() == CAPTURED_HELLO


def test_heartbeat_is_small():
    assert len(encode(Ping(token=2**32 - 1, rtt_us=900))) + len(encode(Pong(token=2**32 - 1))) <= 32


def test_peer_name_is_canonicalised():
    plain = packed(2, [*PLAIN_IDENTITY[:2], "ann@LocalHost.", *PLAIN_IDENTITY[3:]])
    identity = decode(plain).identity
    assert identity.name == identity.node().name == "ann@localhost"


def test_maximum_number_of_longest_hints_fits_into_a_frame():
    host = ("h" * 63 + ".") * 3 + "h" * 61
    longest = Hint(f"a@{host}", f"{host}:65535", (2**63 - 1, 2**64 - 1))
    assert len(encode(Hints([longest] * MAX_HINTS))) <= 4 + MAX_FRAME_BYTES


@pytest.mark.parametrize(
    ("number", "fits"), [(-1, False), (0, True), (2**32 - 1, True), (2**32, False)]
)
def test_token_and_round_trip_have_32_bits(number, fits):
    for fields in ((5, number, 1), (5, 1, number), (6, number)):
        if fits:
            assert decode(packed(*fields)) in (Ping(number, 1), Ping(1, number), Pong(number))
        else:
            with pytest.raises(RemoteProtocolError):
                decode(packed(*fields))


def test_unknown_frame_type_is_skipped():
    assert decode(packed(200, "whatever")) is None


def test_app_frame_carries_any_payload():
    frame = decode(packed(10, {"any": [1, 2.5, None]}))
    assert isinstance(frame, App)
    assert msgpack.unpackb(bytes(frame.payload)) == {"any": [1, 2.5, None]}


def test_hello_of_another_version_is_distinguished_from_garbage():
    assert decode(packed(1, "cluster_kit", 2, "what a version 2 has here")) == Hello(
        magic="cluster_kit", version=2, identity=None
    )


def test_identity_keeps_the_node_its_fence_and_its_features():
    assert IDENTITY.node() == ANN
    fence = Fence("shop", "web")
    able = Identity.of(ANN, fence, leaving=False, wanted=True, features=("fly",))
    assert able.features == ["fly"]
    assert IDENTITY.fence == Fence("shop", "web")


def identity(**changes) -> list:
    names = (
        "cluster",
        "group",
        "name",
        "boot",
        "address",
        "metadata",
        "leaving",
        "wanted",
        "features",
    )
    return list((dict(zip(names, PLAIN_IDENTITY, strict=True)) | changes).values())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"GET / HTTP/1.1\r\n\r\n",
        packed(),
        packed("hello"),
        packed(4)[:-1] + b"\xcc",
        packed(1, "other_kit", 1, PLAIN_IDENTITY),
        packed(1, "cluster_kit", 1),
        packed(2, identity(name="no-host")),
        packed(2, identity(name="a@b" + "c" * 300)),
        packed(2, identity(cluster="c" * 256)),
        packed(2, identity(boot=[-1, 0])),
        packed(2, identity(boot=[0])),
        packed(2, identity(address="no where")),
        packed(2, identity(metadata={"a": 1})),
        packed(2, identity(metadata={"a": "x" * 2000})),
        packed(2, identity(features=["f"] * 33)),
        packed(2, identity(features=["f" * 65])),
        packed(2, identity(wanted=1)),
        packed(3, "r" * 65),
        packed(3, "conflict", 1, None, [0, 2**63, 3]),
        packed(5, -1, 0),
        packed(5, 2**32, 0),
        packed(8, {"a": "x" * 2000}, False),
        packed(9, "conflict", [-1, 0]),
        packed(11, [["a@b", "b:1", None]] * (MAX_HINTS + 1)),
        packed(11, [["a@b", None, None]]),
        packed(11, [["no-host", "b:1", None]]),
        packed(11, [["a@b", "no where", None]]),
        packed(11, [["a@b", "b:1", [-1, 0]]]),
        packed(3, "conflict", 1, None, [-1, 0]),
        packed(12, [b"x"] * (MAX_SECRETS + 1)),
        packed(12, [b"x" * (MAX_SECRET_ID_BYTES + 1)]),
        packed(13, b""),
        packed(14, bytes(MAX_PAYLOAD_BYTES + 1)),
        packed(4) + b"\x00",
        b"\x92\x07" + b"\x91" * 5000 + b"\x01",
        b"\x95\x05\x01\x01" + b"\x91" * 5000 + b"\x01",
        b"\xdd\xff\xff\xff\xff\x04",
        b"\x99\x09\xa1\xff",
    ],
    ids=lambda body: body[:12].hex(),
)
def test_malformed_body_is_a_remote_protocol_error(body):
    with pytest.raises(RemoteProtocolError, match="malformed"):
        decode(body)


def test_oversized_frame_is_a_local_protocol_error():
    nobody = Identity.of(ANN, Fence("c" * MAX_HANDSHAKE_BYTES, "g"), leaving=False, wanted=True)
    with pytest.raises(LocalProtocolError, match="Welcome of 4"):
        encode(Welcome(identity=nobody))


def test_oversized_payload_is_a_local_protocol_error():
    assert decode(encode(Payload(bytes(MAX_PAYLOAD_BYTES)))[4:]).payload == bytes(MAX_PAYLOAD_BYTES)
    with pytest.raises(LocalProtocolError, match="Payload of 65006 bytes"):
        encode(Payload(bytes(MAX_PAYLOAD_BYTES + 1)))


@pytest.mark.parametrize(
    "frame",
    [*(frame for frame, _ in FRAMES), App(payload=msgpack.packb([1, "two"]))],
    ids=lambda frame: type(frame).__name__,
)
def test_frame_outlives_the_buffer_it_was_read_from(frame):
    received = bytearray(encode(frame))
    reader = FrameReader()
    reader.feed(received)
    heard = decode(reader.next(MAX_FRAME_BYTES))
    received[:] = b"\xdb" * len(received)
    assert heard == frame


class TestReader:
    def test_frames_are_read_from_a_stream_fed_byte_by_byte(self):
        stream = b"".join(encode(frame) for frame, _ in FRAMES)
        reader, bodies = FrameReader(), []
        for position in range(len(stream)):
            reader.feed(stream[position : position + 1])
            while (body := reader.next(MAX_FRAME_BYTES)) is not None:
                bodies.append(body)
        assert [decode(body) for body in bodies] == [frame for frame, _ in FRAMES]

    def test_chunk_that_completes_a_frame_may_hold_the_next_ones(self):
        frames = [Ping(1, 0), Confirm(), Pong(1)]
        stream = b"".join(map(encode, frames))
        for position in range(len(stream)):
            reader, read = FrameReader(), []
            for piece in (stream[:position], stream[position:]):
                reader.feed(piece)
                while (body := reader.next(MAX_FRAME_BYTES)) is not None:
                    read.append(decode(body))
            assert read == frames

    def test_announced_length_over_the_limit_is_refused(self):
        reader = FrameReader()
        reader.feed((1001).to_bytes(4, "big"))
        with pytest.raises(RemoteProtocolError, match="1001 bytes announced: at most 1000"):
            reader.next(1000)

    def test_incomplete_frame_is_awaited(self):
        reader = FrameReader()
        reader.feed((3).to_bytes(4, "big") + b"ab")
        assert reader.next(3) is None
        reader.feed(b"c")
        assert reader.next(3) == b"abc"

    def test_calling_next_again_without_new_data_changes_nothing(self):
        reader = FrameReader()
        assert reader.next(3) is None
        for part in (b"\0\0\0", b"\3", b"ab"):
            reader.feed(part)
            assert reader.next(3) is None
            assert reader.next(3) is None
        reader.feed(b"c")
        assert reader.next(3) == b"abc"
        assert reader.next(3) is None


def test_frames_are_immutable():
    kinds = {type(frame) for frame, _ in FRAMES} | {Frame, App, Identity, Hint}
    assert kinds >= set(Frame.__subclasses__())
    assert all(kind.__struct_config__.frozen for kind in kinds)


RECORD = b"\x16\x03\x01\x00\x04abcd"  # a TLS handshake record
ALERT = b"\x15\x03\x03\x00\x02\x02t"


@pytest.mark.parametrize("head", [RECORD, ALERT, RECORD[:2]])
def test_peer_speaking_tls_is_recognised_by_the_frame_length(head):
    assert is_tls(head)
    reader = FrameReader()
    reader.feed(head + bytes(4))
    with pytest.raises(
        UntrustedError, match="secret or certificates that this node lacks"
    ) as raised:
        reader.next(MAX_FRAME_BYTES)
    assert raised.value.cure == "give both nodes the same secret, or certificates of one authority"


@pytest.mark.parametrize("head", [b"\x17\x03\x03\x00", b"\x14\x03\x03\x00", b"\x16\x02\x01\x00"])
def test_other_excessive_lengths_are_not_taken_for_tls(head):
    assert not is_tls(head)
    reader = FrameReader()
    reader.feed(head)
    with pytest.raises(RemoteProtocolError, match="at most 65536 allowed"):
        reader.next(MAX_FRAME_BYTES)


@pytest.mark.parametrize(
    ("first", "begins"),
    [
        (b"", None),
        (RECORD[: TLS_HEAD_BYTES - 1], None),
        (RECORD[:TLS_HEAD_BYTES], None),
        (RECORD[:-1], None),
        (RECORD, True),
        (RECORD + b"more", True),
        (b"\x16\x03\x01\x00\x00", True),
        (b"\x16\x03\x01\x01\x04abcd", None),
        (b"GET /", False),
        (b"GET", None),
    ],
)
def test_first_tls_record_is_recognised_once_it_is_complete(first, begins):
    assert begins_tls(first) is begins


@pytest.mark.parametrize(
    ("head", "plain"),
    [
        (encode(Confirm())[:5], True),
        (b"\0\0\0\1\x9f", True),
        (b"\0\0\x10\0\x90", True),
        (b"\0\0\x10\1\x90", False),
        (b"\0\0\0\0\x90", False),
        (b"\0\0\0\1", False),
        (b"\0\0\0\1\x81", False),
        (b"\0\0\0\1\xa1", False),
        (RECORD[:5], False),
    ],
)
def test_plaintext_frame_is_distinguished_from_other_data(head, plain):
    assert is_plain(head) is plain
