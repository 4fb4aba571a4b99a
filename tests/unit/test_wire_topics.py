"""The records of the message protocol, byte by byte, and against another implementation of
MessagePack.
"""

import msgpack
import msgspec
import pytest

from cluster_kit.abc import MAX_GREETING_BYTES, MAX_PAYLOAD_BYTES
from cluster_kit.errors import LocalProtocolError, RemoteProtocolError
from cluster_kit.wire.topics import (
    ARRAY_BYTES,
    HEAD_BYTES,
    INTEREST_BYTES,
    MAX_LANES,
    MAX_NUMBER,
    MAX_REASON_CHARS,
    MAX_TEXT_CHARS,
    MAX_TOPIC_BYTES,
    MAX_TOPICS,
    RECORD_BYTES,
    RUN_BYTES,
    Answered,
    Asked,
    Closing,
    Credit,
    Data,
    Declined,
    Fragment,
    Interest,
    Interested,
    Interests,
    Missed,
    Opening,
    Raised,
    Received,
    Record,
    Sync,
    Synced,
    TopicGreeting,
    Uninterested,
    bin_head,
    check_topic,
    copied,
    decode,
    decode_cut,
    decode_greeting,
    decode_sliced,
    encode,
    encode_greeting,
    encode_record,
)

RUN = bytes(range(RUN_BYTES))
WANTED = Interest(1, 10_000, 8_388_608, True)
PLAIN = [1, 10_000, 8_388_608, True]

RECORDS = [
    (Opening(RUN, 0), [1, RUN, 0]),
    (Opening(RUN, None), [1, RUN, None]),
    (Interests({"cache": WANTED}, True), [2, {"cache": PLAIN}, True]),
    (Interested("cache", WANTED), [3, "cache", PLAIN]),
    (Uninterested("cache"), [4, "cache"]),
    (Data(1, 3, b"\xa1x"), [5, 1, 3, b"\xa1x"]),
    (Data(2**63 - 1, 0, b""), [5, 2**63 - 1, 0, b""]),
    (Missed(1, 7), [6, 1, 7]),
    (Credit(1, 7), [7, 1, 7]),
    (Received(131_072), [8, 131_072]),
    (Fragment(0, False, b"\x94\x05"), [9, 0, False, b"\x94\x05"]),
    (Asked(1, "stock", 1000, b"\x07"), [10, 1, "stock", 1000, b"\x07"]),
    (Answered(1, b"\x2a"), [11, 1, b"\x2a"]),
    (Raised(1, "KeyError: 7"), [12, 1, "KeyError: 7"]),
    (Declined(1, "nobody answers there"), [13, 1, "nobody answers there"]),
    (Closing(), [14]),
    (Sync(7), [15, 7]),
    (Synced(7), [16, 7]),
]
CAPTURED = (
    "93"  # payload of 3
    "9301c410000102030405060708090a0b0c0d0e0f00"  # opening: run, epoch 0
    "94050103c403a36f6e"  # data: stream 1, number 3, 3 bytes
    "930601cd0100"  # missed: stream 1, up to 256
)

each_record = pytest.mark.parametrize(
    ("record", "plain"), RECORDS, ids=lambda value: type(value).__name__
)


def packed(*plain) -> bytes:
    return msgpack.packb(list(plain))


@each_record
def test_record_reads_as_plain_messagepack(record, plain):
    assert msgpack.unpackb(encode([record])) == [plain]


@each_record
def test_plain_messagepack_reads_as_record(record, plain):
    assert decode(packed(plain, plain)) == [record, record]


@each_record
def test_fields_of_a_later_version_are_skipped(record, plain):
    assert decode(packed([*plain, {"later": [1, 2]}])) == [record]


@each_record
def test_records_of_a_later_version_are_skipped(record, plain):
    assert decode(packed([99, "later", {}], plain, [100])) == [record]


@each_record
def test_truncated_record_is_malformed(record, plain):
    whole = packed(plain)
    for length in range(len(whole)):
        with pytest.raises(RemoteProtocolError):
            decode(whole[:length])


def test_examples_cover_every_record():
    assert {type(record) for record, _ in RECORDS} == set(Record.__subclasses__())
    tags = sorted(cls.__struct_config__.tag for cls in Record.__subclasses__())
    assert tags == list(range(1, len(tags) + 1))


def test_wire_form_of_a_payload_never_changes():
    records = [Opening(RUN, 0), Data(1, 3, b"\xa3on"), Missed(1, 256)]
    assert encode(records).hex() == CAPTURED
    assert decode(bytes.fromhex(CAPTURED)) == records


@pytest.mark.parametrize(
    "plain",
    [
        [1, RUN[:-1], 0],
        [1, RUN + b"x", 0],
        [1, RUN, -1],
        [3, "", PLAIN],
        [3, "x" * 256, PLAIN],
        [3, "ü" * 128, PLAIN],
        [3, "cache", [1, -1, 0, False]],
        [2, {"ü" * 128: PLAIN}, True],
        [5, 1, 2**63, b""],
        [5, 1, 3, "text"],
        [5, 1],
        [9, MAX_LANES, True, b""],
        [9, -1, True, b""],
        [12, 1, "x" * (MAX_TEXT_CHARS + 1)],
        [13, 1, "x" * (MAX_REASON_CHARS + 1)],
        [],
        ["text"],
        "text",
        7,
    ],
    ids=lambda plain: repr(plain)[:30],
)
def test_malformed_record_is_a_remote_protocol_error(plain):
    with pytest.raises(RemoteProtocolError, match="malformed"):
        decode(packed([4, "fine"], plain))


@pytest.mark.parametrize(
    "payload", [b"", b"\xc0", b"\x91" * 60_000, b"\x91\xc1", b"\x80", bytes(MAX_PAYLOAD_BYTES + 1)]
)
def test_garbage_is_a_remote_protocol_error(payload):
    with pytest.raises(RemoteProtocolError):
        decode(payload)


def test_more_topics_than_allowed_are_malformed():
    interests = {str(number): [number, 1, 1, False] for number in range(MAX_TOPICS + 1)}
    with pytest.raises(RemoteProtocolError):
        decode(packed([2, interests, True]))
    with pytest.raises(RemoteProtocolError):
        decode_greeting(packed(RUN, 1, interests))


def test_oversized_payload_is_neither_encoded_nor_decoded():
    room = MAX_PAYLOAD_BYTES - len(encode([Data(1, 1, bytes(256))])) + 256
    longest = [Data(1, 1, bytes(room))]
    assert decode(encode(longest)) == longest
    with pytest.raises(LocalProtocolError, match="at most"):
        encode([Data(1, 1, bytes(room + 1))])
    with pytest.raises(RemoteProtocolError, match="at most"):
        decode(packed([5, 1, 1, bytes(room + 1)]))


def test_only_records_with_data_may_be_fragmented():
    for record, _ in RECORDS:
        if isinstance(record, Data | Asked | Answered):
            assert decode_sliced(bytearray(encode_record(record))) == record
        else:
            with pytest.raises(RemoteProtocolError):
                decode_sliced(encode_record(record))


CUT = [
    Data(1, 1, b""),
    Data(MAX_NUMBER, MAX_NUMBER, b""),
    Asked(7, "t", 1, b""),
    Asked(MAX_NUMBER, "x" * MAX_TOPIC_BYTES, MAX_NUMBER, b""),
    Answered(7, b""),
]


@pytest.mark.parametrize("size", [256, 65_535, 65_536, 200_000])
@pytest.mark.parametrize("record", CUT)
def test_head_of_a_fragmented_record_identifies_the_record(record, size):
    whole = encode_record(msgspec.structs.replace(record, data=b"\xc5\xff" * (size // 2)))
    assert decode_cut(whole[:HEAD_BYTES], len(whole)) == record


def test_topic_that_looks_like_a_data_head_is_not_mistaken_for_one():
    topic = "\u0140A"  # C5 80 41, the head of 0x8041 bytes of data, which would end where these do
    record = Asked(7, topic, 1, bytes(0x8041 - 4))
    whole = encode_record(record)
    assert whole[4:7] == bin_head(len(whole) - 7)
    assert decode_cut(whole[:HEAD_BYTES], len(whole)) == Asked(7, topic, 1, b"")


@pytest.mark.parametrize(
    "head", [b"", b"\xc1" * HEAD_BYTES, encode_record(Closing()), b"\x94\x05\x01\x01\xc6\0\0\1\0"]
)
@pytest.mark.parametrize("size", [300, 2**16, 2**32 + 9, 2**40])
def test_invalid_head_of_a_fragmented_record_is_malformed(head, size):
    with pytest.raises(RemoteProtocolError):
        decode_cut(head, size)


@pytest.mark.parametrize("size", [256, 65535, 65536])
def test_head_of_data_matches_messagepack(size):
    assert bin_head(size) + bytes(size) == msgpack.packb(bytes(size))


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_view_is_copied_whole(size):
    data = bytes(range(256)) * (size // 256 + 1)
    assert copied(memoryview(data)[:size]) == data[:size]


def test_record_sizes_stay_within_the_bounds_used_for_packing():
    long, most = "x" * MAX_TOPIC_BYTES, Interest(MAX_NUMBER, MAX_NUMBER, MAX_NUMBER, True)
    data, text = bytes(40_000), "\U0001f600" * MAX_TEXT_CHARS
    sizes = {
        Opening(RUN, MAX_NUMBER): 2 * RECORD_BYTES,
        Interested(long, most): RECORD_BYTES + MAX_TOPIC_BYTES + INTEREST_BYTES,
        Uninterested(long): RECORD_BYTES + MAX_TOPIC_BYTES,
        Data(MAX_NUMBER, MAX_NUMBER, data): RECORD_BYTES + len(data),
        Missed(MAX_NUMBER, MAX_NUMBER): RECORD_BYTES,
        Credit(MAX_NUMBER, MAX_NUMBER): RECORD_BYTES,
        Received(MAX_NUMBER): RECORD_BYTES,
        Fragment(MAX_LANES - 1, True, data): RECORD_BYTES + len(data),
        Asked(MAX_NUMBER, long, MAX_NUMBER, data): RECORD_BYTES + MAX_TOPIC_BYTES + len(data),
        Answered(MAX_NUMBER, data): RECORD_BYTES + len(data),
        Raised(MAX_NUMBER, text): RECORD_BYTES + 4 * len(text),
    }
    assert {
        record: len(encode_record(record))
        for record, size in sizes.items()
        if len(encode_record(record)) > size
    } == {}
    records = [Closing()] * 30_000
    assert (
        len(encode(records)) <= sum(len(encode_record(record)) for record in records) + ARRAY_BYTES
    )


# -- greetings -------------------------------------------------------------------------------------


def test_greeting_is_plain_messagepack_and_later_fields_are_skipped():
    greeting = TopicGreeting(RUN, 1_048_576, {"cache": WANTED})
    assert msgpack.unpackb(encode_greeting(greeting)) == [RUN, 1_048_576, {"cache": PLAIN}]
    assert (
        decode_greeting(packed(RUN, 1_048_576, {"cache": [*PLAIN, "later"]}, "later")) == greeting
    )


def test_interest_without_an_answers_field_does_not_answer():
    greeting = decode_greeting(packed(RUN, 1, {"cache": PLAIN[:3]}))
    assert greeting.interests == {"cache": Interest(*PLAIN[:3], False)}


def test_empty_greeting_decodes_to_none():
    assert decode_greeting(b"") is None


def test_greeting_of_the_longest_topics_fits():
    most = Interest(MAX_NUMBER, MAX_NUMBER, MAX_NUMBER, True)
    topics = {f"{number}".rjust(MAX_TOPIC_BYTES): most for number in range(MAX_TOPICS)}
    assert len(encode_greeting(TopicGreeting(RUN, MAX_NUMBER, topics))) <= MAX_GREETING_BYTES


@pytest.mark.parametrize(
    "greeting",
    [
        b"\xc0",
        packed(RUN),
        packed(b"", 1, {}),
        packed(RUN, -1, {}),
        packed(RUN, 1, {"ü" * 128: PLAIN}),
        b"\x91" * 5000,
    ],
)
def test_malformed_greeting_is_a_remote_protocol_error(greeting):
    with pytest.raises(RemoteProtocolError):
        decode_greeting(greeting)


@pytest.mark.parametrize(("topic", "size"), [("a", 1), ("ü", 2), ("x" * 255, 255)])
def test_size_of_a_topic_name_is_in_bytes(topic, size):
    assert check_topic(topic) == size


@pytest.mark.parametrize("topic", ["", "x" * 256, "ü" * 128, "\udc80"])
def test_invalid_topic_name_is_refused(topic):
    with pytest.raises(ValueError, match="topic: "):
        check_topic(topic)
