"""What a message may hold, and its bytes.

It is what MessagePack carries: ``None``, bool, int, float, str, bytes, list, dict and a datetime that has a time zone. A tuple
goes as a list. Of these types exactly, since the other end gets no subclass; a key of a dict is a str, an int or bytes. What
comes in is held to the same, and no class of anybody is ever built from it.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, NoReturn

import msgspec

from cluster_kit.errors import RemoteProtocolError
from cluster_kit.wire.topics import bin_head, copied

MAX_DEPTH = 64  # lists and dicts in one another; less than any interpreter's limit on recursion

_FLAT = frozenset({type(None), bool, int, float, str, bytes})
_KEYS = frozenset({str, int, bytes})
_SUITABLE = "expected None, bool, int, float, str, bytes, list, tuple, dict or a datetime with a time zone"
_MIN_INT, _MAX_INT = -(2**63), 2**64 - 1

_SMALL_BYTES = 4096
_LONG_BYTES = 1 << 20  # more takes a while to copy
_LONG_HEAD_BYTES = 5  # of what is longer
_LARGE_MAP = re.compile(rb"\xde[\x01-\xff]|\xdf")  # of 256 entries or more. Source: the MessagePack specification

_COUNT_BYTES = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
_LENGTH_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_FIXED_BYTES = dict(zip(range(0xCA, 0xD9), (4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17), strict=True))


def encode(data: Any, part: str = "topic") -> bytes:
    """Return the bytes of ``data``; ``part`` begins the message of an error.

    Raises:
        TypeError: A part of it is of a type that messages can't hold; says which part.
        ValueError: A part of it has a value that messages can't hold; says which part.
    """
    if type(data) is bytes and len(data) > _LONG_BYTES:
        return b"".join((bin_head(len(data)), data))  # which doesn't keep other threads waiting while it copies
    try:
        if _is_plain(data, MAX_DEPTH):
            return _ENCODER.encode(data)
    except (ValueError, OverflowError):  # text that isn't UTF-8, a number that is too large
        pass
    _explain(data, f"{part}: data", [])
    raise ValueError(f"{part}: data can't be encoded")  # it has changed meanwhile


def decode(body: bytes) -> Any:
    """Return what ``body`` holds, which may be a view where it is long.

    Raises:
        RemoteProtocolError: It is nothing that ``encode`` makes.
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
        raise RemoteProtocolError(f"message: data of {len(body)} bytes holds what no message may hold")
    return data


def _long_bytes(body: bytes) -> bytes | None:
    """Return the ``bytes`` that ``body`` is, if it is that."""
    if body[:_LONG_HEAD_BYTES] != bin_head(len(body) - _LONG_HEAD_BYTES):
        return None
    return copied(memoryview(body)[_LONG_HEAD_BYTES:])


def _may_hold_large_map(body: bytes) -> bool:
    """Whether one may begin anywhere; a mere text or ``bytes`` is none, and most others lack the byte that it begins with."""
    if body[0] in _LENGTH_BYTES:
        return False
    return (b"\xde" in body or b"\xdf" in body) and _LARGE_MAP.search(body) is not None


def _check_keys(body: bytes) -> None:
    """Raise ``ValueError`` where a key is an array, which becomes a tuple: it is easy to make many of one hash.

    Source: the MessagePack specification.
    """
    at = 0
    left = [1]  # of each array and map around: how many values are to come, twice as many for a map,
    maps = [False]  # whose every second one is a key
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
            count = head & 0xF if count_bytes is None else int.from_bytes(body[at : at + count_bytes])
            at += count_bytes or 0
            is_map = head <= 0x8F or head >= 0xDE
            left.append(2 * count if is_map else count)
            maps.append(is_map)
        elif 0xA0 <= head <= 0xBF:
            at += head & 0x1F
        elif (length_bytes := _LENGTH_BYTES.get(head)) is not None:
            at += length_bytes + int.from_bytes(body[at : at + length_bytes]) + (0xC7 <= head <= 0xC9)
        else:
            at += _FIXED_BYTES.get(head, 0)


def _is_plain(data: Any, depth: int) -> bool:
    """Whether all of it is of suitable types. Whole lists of what needs no second look are passed over in C."""
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
    """Raise for the first part of ``data`` that can't be held."""
    kind = type(data)
    if kind is int and not _MIN_INT <= data <= _MAX_INT:
        raise ValueError(f"{path} is an int of {data.bit_length()} bits: expected -2**63 to 2**64 - 1; send it as text")
    if kind is str:
        _explain_text(data, path)
    elif kind is datetime:
        _explain_time(data, path)
    elif kind is dict or kind is list or kind is tuple:
        if any(each is data for each in above):
            raise ValueError(f"{path} contains itself")
        if len(above) == MAX_DEPTH:
            raise ValueError(f"{path[:80]}...: more than {MAX_DEPTH} lists and dicts in one another")
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
        raise TypeError(f"{path} has a key of type {type(key).__qualname__}: expected str, int or bytes")
    _explain(key, f"{path}: a key", [])


def _explain_text(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise ValueError(f"{path} is not text that UTF-8 can hold: {text!r:.80}; send it as bytes") from exc


def _explain_time(time: datetime, path: str) -> None:
    if time.utcoffset() is None:
        raise ValueError(f"{path} is a datetime without a time zone: make it with one, such as datetime.now(UTC)")
    try:
        _ENCODER.encode(time)
    except OverflowError as exc:
        raise ValueError(f"{path} is a datetime that UTC can't hold: {time.isoformat()}") from exc


def _cure(data: Any) -> str:
    if isinstance(data, set | frozenset):
        return f"{_SUITABLE}; send it as a list"
    for suitable in (bool, int, float, str, bytes, list, tuple, dict, datetime):
        if isinstance(data, suitable):
            return f"the receiver would get no more than a {suitable.__name__}: send it as one"
    return _SUITABLE


def _refuse(code: int, _: memoryview) -> NoReturn:
    raise ValueError(f"extension {code}: no message holds any")


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(ext_hook=_refuse)
