"""What a message may hold, and how it is encoded.

Data is MessagePack: ``None``, bool, int, float, str, bytes, list, dict and aware datetime. A tuple
is sent as a list. Subclasses of these types are refused, as the receiver would not get them back;
the keys of a dict are str, int or bytes. Incoming data is checked in the same way. Decoding never
instantiates any other class.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, NoReturn

import msgspec

from cluster_kit.errors import RemoteProtocolError
from cluster_kit.wire.topics import bin_head, copied

MAX_DEPTH = 64  # of nested lists and dicts; below any interpreter's recursion limit

_FLAT = frozenset({type(None), bool, int, float, str, bytes})
_KEYS = frozenset({str, int, bytes})
_SUITABLE = "expected None, bool, int, float, str, bytes, list, tuple, dict or an aware datetime"
_MIN_INT, _MAX_INT = -(2**63), 2**64 - 1

_SMALL_BYTES = 4096
_LONG_BYTES = 1 << 20  # copying more than this takes noticeable time
_LONG_HEAD_BYTES = 5  # the MessagePack head of anything longer
_LARGE_MAP = re.compile(rb"\xde[\x01-\xff]|\xdf")  # 256 entries or more

_COUNT_BYTES = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
_LENGTH_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_FROM_0XCA = (4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17)
_FIXED_BYTES = dict(enumerate(_FROM_0XCA, 0xCA))


def encode(data: Any, part: str = "topic") -> bytes:
    """Return the encoding of ``data``; ``part`` is the prefix of error messages.

    Raises:
        TypeError: A part of ``data`` is of an unsupported type; the message says which part.
        ValueError: A part of ``data`` has an unsupported value; the message says which part.
    """
    if type(data) is bytes and len(data) > _LONG_BYTES:
        return b"".join((bin_head(len(data)), data))  # releases the GIL while it copies
    try:
        if _is_plain(data, MAX_DEPTH):
            return _ENCODER.encode(data)
    except (ValueError, OverflowError):  # surrogates in a str, or an int that is too large
        pass
    _explain(data, f"{part}: data", [])
    raise ValueError(f"{part}: data can't be encoded")  # another thread has changed it


def decode(body: bytes) -> Any:
    """Return the data encoded in ``body``, which may be a view if it is long.

    Raises:
        RemoteProtocolError: ``encode`` would not produce this.
    """
    if len(body) > _LONG_BYTES:
        if (held := _long_bytes(body)) is not None:
            return held
        body = bytes(body)
    try:
        if len(body) > _SMALL_BYTES and _may_hold_large_map(body):
            _check_keys(body)
        data = _DECODER.decode(body)
    except (ValueError, IndexError, OverflowError, RecursionError) as exc:
        raise RemoteProtocolError(f"message: malformed data of {len(body)} bytes: {exc}") from exc
    if not _is_plain(data, MAX_DEPTH):
        raise RemoteProtocolError(f"message: data of {len(body)} bytes has an unsupported type")
    return data


def _long_bytes(body: bytes) -> bytes | None:
    """Return the ``bytes`` object that ``body`` encodes, ``None`` if it encodes something else."""
    if body[:_LONG_HEAD_BYTES] != bin_head(len(body) - _LONG_HEAD_BYTES):
        return None
    return copied(memoryview(body)[_LONG_HEAD_BYTES:])


def _may_hold_large_map(body: bytes) -> bool:
    """Whether ``body`` may contain a map of 256 entries or more, judged by a fast scan.

    A str or ``bytes`` contains none, and most other values lack a map's first byte.
    """
    if body[0] in _LENGTH_BYTES:
        return False
    return (b"\xde" in body or b"\xdf" in body) and _LARGE_MAP.search(body) is not None


def _check_keys(body: bytes) -> None:
    """Raise ``ValueError`` if a key is an array or a map.

    An array as key becomes a tuple, and many tuples of one hash are easy to make: that would be a
    hash-flooding attack.

    Source: the MessagePack specification.
    """
    at = 0
    left = [1]  # per enclosing array or map: values still to come; for a map, keys count as well
    maps = [False]  # per enclosing array or map: whether it is a map
    while left:
        if left[-1] == 0:
            left.pop()
            maps.pop()
            continue
        is_key = maps[-1] and left[-1] % 2 == 0
        left[-1] -= 1
        head = body[at]
        at += 1
        count_bytes = _COUNT_BYTES.get(head)
        if count_bytes is not None or 0x80 <= head <= 0x9F:
            if is_key:
                raise ValueError("a key is an array or a map")
            count = head & 0xF
            if count_bytes is not None:
                count = int.from_bytes(body[at : at + count_bytes])
                at += count_bytes
            is_map = head <= 0x8F or head >= 0xDE
            left.append(2 * count if is_map else count)
            maps.append(is_map)
        elif 0xA0 <= head <= 0xBF:
            at += head & 0x1F
        elif (length_bytes := _LENGTH_BYTES.get(head)) is not None:
            is_extension = 0xC7 <= head <= 0xC9  # whose type takes a byte
            at += length_bytes + int.from_bytes(body[at : at + length_bytes]) + is_extension
        else:
            at += _FIXED_BYTES.get(head, 0)


def _is_plain(data: Any, depth: int) -> bool:
    """Whether ``data`` consists of supported types; flat lists are checked in C."""
    kind = type(data)
    if kind in _FLAT:
        return True
    if kind is datetime:
        return data.utcoffset() is not None
    if kind is dict:
        if not _KEYS.issuperset(map(type, data)):
            return False
        data = data.values()
    elif kind is not list and kind is not tuple:
        return False
    if depth == 0:
        return False
    return _FLAT.issuperset(map(type, data)) or all(_is_plain(each, depth - 1) for each in data)


def _explain(data: Any, path: str, above: list[Any]) -> None:
    """Raise an error for the first unsupported part of ``data``."""
    kind = type(data)
    if kind is int and not _MIN_INT <= data <= _MAX_INT:
        bits = data.bit_length()
        text = f"{path} is an int of {bits} bits: expected -2**63 to 2**64 - 1"
        raise ValueError(f"{text}; send it as text")
    if kind is str:
        _explain_text(data, path)
    elif kind is datetime:
        _explain_time(data, path)
    elif kind is dict or kind is list or kind is tuple:
        if any(each is data for each in above):
            raise ValueError(f"{path} contains itself")
        if len(above) == MAX_DEPTH:
            raise ValueError(f"{path[:80]}...: lists and dicts nested more than {MAX_DEPTH} deep")
        above.append(data)
        for key, each in data.items() if kind is dict else enumerate(data):
            if kind is dict:
                _explain_key(key, path)
            _explain(each, f"{path}[{key!r:.80}]", above)
        above.pop()
    elif kind not in _FLAT:
        raise TypeError(f"{path} is of type {kind.__qualname__}: {_cure(data)}")


def _explain_key(key: Any, path: str) -> None:
    if type(key) not in _KEYS:
        kind = type(key).__qualname__
        raise TypeError(f"{path} has a key of type {kind}: expected str, int or bytes")
    _explain(key, f"{path}: a key", [])


def _explain_text(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        why = f"{path} is text that UTF-8 can't encode: {text!r:.80}"
        raise ValueError(f"{why}; send it as bytes") from exc


def _explain_time(time: datetime, path: str) -> None:
    if time.utcoffset() is None:
        why = f"{path} is a datetime without a time zone"
        raise ValueError(f"{why}: give it one, as in datetime.now(UTC)")
    try:
        _ENCODER.encode(time)
    except OverflowError as exc:
        raise ValueError(f"{path} is a datetime out of range in UTC: {time.isoformat()}") from exc


def _cure(data: Any) -> str:
    if isinstance(data, set | frozenset):
        return f"{_SUITABLE}; send it as a list"
    for suitable in (bool, int, float, str, bytes, list, tuple, dict, datetime):
        if isinstance(data, suitable):
            return f"the receiver would get a plain {suitable.__name__}: convert it to one"
    return _SUITABLE


def _refuse(code: int, _: memoryview) -> NoReturn:
    raise ValueError(f"extension {code}: extensions are not supported")


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(ext_hook=_refuse)
