"""Data that messages may hold, checked at both ends, and against another implementation of
MessagePack.
"""

import enum
from collections import OrderedDict, defaultdict
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from math import inf, nan

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster_kit.errors import RemoteProtocolError
from cluster_kit.topics import data as topics_data
from cluster_kit.topics.data import MAX_DEPTH, decode, encode

NONE_YET = []
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
KEYS = (
    st.text(st.characters(exclude_categories=["Cs"]))
    | st.integers(-(2**63), 2**64 - 1)
    | st.binary()
)
TIMES = st.datetimes(timezones=st.just(UTC))
FLAT = st.none() | st.booleans() | KEYS | st.floats(allow_nan=False) | TIMES
DATA = st.recursive(
    FLAT, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=20
)


class Color(enum.IntEnum):
    RED = 1


def nested(depth):
    data = []
    for _ in range(depth - 1):
        data = [data]
    return data


@given(DATA)
def test_data_round_trips(data):
    assert decode(encode(data)) == data


@given(DATA)
def test_data_reads_as_plain_messagepack(data):
    assert msgpack.unpackb(encode(data), timestamp=3, strict_map_key=False) == data


@given(DATA)
def test_plain_messagepack_reads_as_data(data):
    assert decode(msgpack.packb(data, datetime=True)) == data


@pytest.mark.parametrize(
    "data",
    [
        None,
        True,
        0,
        -(2**63),
        2**64 - 1,
        1.5,
        inf,
        "",
        "ü",
        b"\xff",
        [],
        {},
        {"a": {1: b"x"}},
        NOON,
        nested(MAX_DEPTH),
    ],
    ids=lambda data: repr(data)[:30],
)
def test_suitable_data_round_trips(data):
    assert decode(encode(data)) == data


def test_scalar_types_are_preserved_and_tuples_become_lists():
    assert decode(encode([True, 1, 1.0])) == [True, 1, 1.0]
    assert [type(each) for each in decode(encode([True, 1, 1.0]))] == [bool, int, float]
    assert str(decode(encode(nan))) == "nan"
    assert decode(encode((1, (2,)))) == [1, [2]]


def test_datetime_is_decoded_in_utc():
    there = NOON.astimezone(timezone(timedelta(hours=5)))
    assert decode(encode(there)) == NOON
    assert decode(encode(there)).tzinfo == UTC


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (
            {"user": [1, 2, 3, {1}]},
            TypeError,
            "publish: data['user'][3] is of type set: .*; send it as a list",
        ),
        (Decimal(1), TypeError, "publish: data is of type Decimal: expected None, bool"),
        (
            Color.RED,
            TypeError,
            "publish: data is of type Color: the receiver would get a plain int: ",
        ),
        ([OrderedDict()], TypeError, r"publish: data\[0\] is of type OrderedDict: .* dict"),
        (defaultdict(list), TypeError, "of type defaultdict"),
        (bytearray(b"x"), TypeError, "of type bytearray"),
        (
            {"a": {(1, 2): 3}},
            TypeError,
            r"publish: data\['a'\] has a key of type tuple: expected str, int or bytes",
        ),
        ({True: 1}, TypeError, "has a key of type bool"),
        ({None: 1}, TypeError, "has a key of type NoneType"),
        ([2**64], ValueError, r"publish: data\[0\] is an int of 65 bits"),
        (-(2**63) - 1, ValueError, "64 bits: expected"),
        (10**5000, ValueError, "an int of 16610 bits"),
        ({10**5000: 1}, ValueError, "a key is an int of 16610 bits"),
        ({2**64: 1}, ValueError, "data: a key is an int of 65 bits"),
        ("\ud800", ValueError, "is text that UTF-8 can't encode"),
        ({"a": {"\udfff": 1}}, ValueError, r"publish: data\['a'\]: a key is text that"),
        (
            [datetime(2026, 1, 1)],
            ValueError,
            r"publish: data\[0\] is a datetime without a time zone: .*now\(UTC\)",
        ),
        (
            datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
            ValueError,
            "out of range in UTC",
        ),
        (nested(MAX_DEPTH + 1), ValueError, "lists and dicts nested more than 64 deep"),
        ((-(2**63), 2**64 - 1, {1}), TypeError, r"publish: data\[2\] is of type set"),
        ([NONE_YET, NONE_YET, {1}], TypeError, r"publish: data\[2\] is of type set"),
    ],
    ids=lambda value: value if type(value) is str else "",
)
def test_unsuitable_data_is_refused_with_its_path(data, error, text):
    with pytest.raises(error, match=text.replace("['user'][3]", r"\['user'\]\[3\]")):
        encode(data, "publish")


def test_data_that_contains_itself_is_refused():
    data = {"list": []}
    data["list"] += [data, data]
    with pytest.raises(ValueError, match=r"data\['list'\]\[0\] contains itself"):
        encode(data)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x01\x02",
        b"\x92\x01",
        b"\xa1\xff",
        b"\x91" * 100_000,
        b"\x91" * (MAX_DEPTH + 1) + b"\xc0",
        b"\x81\xc0\x01",
        b"\x81\xc3\x01",
        b"\x81\x91\x01\x01",
        b"\x81\xcb\0\0\0\0\0\0\0\0\x01",
        b"\xd4\x05x",
        b"\xd6\xff\xff\xff\xff\xff" + b"x",
        b"\xc7\x0c\xff" + b"\xff" * 12,
    ],
    ids=lambda body: repr(body)[:30],
)
def test_bytes_that_encode_never_produces_are_refused(body):
    with pytest.raises(RemoteProtocolError):
        decode(body)


@given(st.binary(max_size=200))
def test_decoded_data_can_be_encoded_again(body):
    try:
        data = decode(body)
    except RemoteProtocolError:
        return
    again = encode(data)
    assert encode(decode(again)) == again


def large(data):
    """Encode ``data`` with enough around it that every key is checked."""
    return encode([dict.fromkeys(range(2000)), data])


@given(DATA)
def test_large_data_round_trips(data):
    body = large(data)
    assert decode(body)[1] == data


@pytest.mark.parametrize(
    "data",
    [
        -200,
        40_000,
        2**40,
        -(2**40),
        1.5,
        "x" * 40,
        "x" * 300,
        "x" * 70_000,
        b"x" * 300,
        b"x" * 70_000,
    ],
)
def test_key_check_steps_over_values_of_every_length(data):
    assert decode(large([data, {"k": data}, NOON, [None] * 20, [None] * 70_000]))[1][:3] == [
        data,
        {"k": data},
        NOON,
    ]


def shortest(head):
    """Return the shortest value that begins with the byte ``head``, as zeros may follow it."""
    for zeros in range(32):
        value = bytes([head]) + bytes(zeros)
        try:
            msgpack.unpackb(value, ext_hook=lambda *_: None, strict_map_key=False)
        except ValueError:  # incomplete
            continue
        return value
    raise AssertionError


@pytest.mark.parametrize(
    "value",
    [
        *(shortest(head) for head in range(256) if head != 0xC1),
        *(msgpack.packb(msgpack.ExtType(5, bytes(size))) for size in (3, 300, 70_000)),
        *(msgpack.packb([0] * size) for size in (20, 70_000)),
        *(msgpack.packb(b"x" * size) for size in (1, 300, 70_000)),
    ],
    ids=lambda value: f"{value[:5].hex()} {len(value)}",
)
def test_key_check_finds_a_bad_key_after_any_value(monkeypatch, value):
    body = large(0)[:-1] + b"\x92" + value + b"\x81\x90\x00"
    monkeypatch.setattr(topics_data, "_DECODER", None)  # the key must not get there
    with pytest.raises(RemoteProtocolError, match="a key is an array"):
        decode(body)


@pytest.mark.parametrize("head", [b"", b"\x92\xc4\x00"], ids=["alone", "after bytes"])
@pytest.mark.parametrize("many", [b"\xde\x07\xd0", b"\xdf\x00\x00\x07\xd0"], ids=["de", "df"])
@pytest.mark.parametrize("key", [b"\x80", b"\x90", b"\x91\x00"], ids=["map", "array", "of one"])
def test_keys_of_large_maps_are_checked_before_a_dict_is_built(monkeypatch, head, many, key):
    monkeypatch.setattr(topics_data, "_DECODER", None)
    with pytest.raises(RemoteProtocolError, match="a key is an array or a map"):
        decode(head + many + (key + b"\x00") * 2000 + bytes(2000))


def colliding(keys):
    """Yield pairs of numbers that make tuples of one hash. Source: ``tuplehash`` in CPython's
    tupleobject.c.
    """
    prime_1, prime_2, prime_5, word = (
        11400714785074694791,
        14029467366897019727,
        2870177450012600261,
        2**64,
    )
    inverse, first = pow(prime_2, -1, word), 0
    while keys:
        first += 1
        lane = (prime_5 + first * prime_2) % word
        lane = ((lane << 31) | (lane >> 33)) % word * prime_1 % word
        second = (1 - lane) * inverse % word
        if second < 2**61 - 1:
            keys -= 1
            yield first, second


def test_colliding_keys_are_refused_before_a_dict_is_built(monkeypatch):
    pairs = list(colliding(1_000))
    assert len({hash(pair) for pair in pairs}) == 1
    entries = b"".join(msgpack.packb(pair) + b"\x00" for pair in pairs)
    monkeypatch.setattr(topics_data, "_DECODER", None)  # it would fill a dict with them
    with pytest.raises(RemoteProtocolError, match="a key is an array"):
        decode(b"\xdf" + len(pairs).to_bytes(4, "big") + entries)
