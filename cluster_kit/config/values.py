"""Reads plain values and mappings strictly: neither text as a number, nor ``no`` as text.

msgspec checks the types, one value at a time, so that every fault is found.
``Annotated[int, Bounds(ge=0)]`` and ``Annotated[int, msgspec.Meta(ge=0)]`` bound a value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from operator import or_
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from cluster_kit.config.bounds import bounds_of
from cluster_kit.config.document import Faults, MisreadNumberError, Piece, shown, type_name
from cluster_kit.fault import Fault, did_you_mean
from cluster_kit.host import why_unexpanded

Reader = Callable[[Piece], Any]

_LIMITS: Mapping[str, str] = MappingProxyType(
    {
        "gt": "more than",
        "ge": "at least",
        "lt": "less than",
        "le": "at most",
        "multiple_of": "a multiple of",
        "pattern": "text that matches",
        "min_length": "a length of at least",
        "max_length": "a length of at most",
    }
)
_PLAIN = (str, int, float, bool, int | str)
_FLOAT = re.compile(r"[-+]?[0-9]{1,20}(\.[0-9]{0,20})?([eE][-+]?[0-9]{1,2})?")
_OCTAL = re.compile(r"[-+]?0[oO][0-7]{1,20}")  # YAML 1.2, Python
_BASE_60 = re.compile(r"[-+]?[0-9]{1,20}(:[0-9]{1,2}){1,9}(\.[0-9]{0,20})?")
_FENCE = re.compile(r"[!-~]{1,255}")  # bounded, as every hello and heartbeat carries it


def is_plain(kind: Any) -> bool:
    """Whether ``plain`` reads values of this type."""
    return get_origin(kind) is Literal or _unannotated(kind) in _PLAIN


def _unannotated(kind: Any) -> Any:
    """Return a type without ``Bounds``, ``msgspec.Meta`` or any other annotation."""
    if get_origin(kind) is Annotated:
        return get_args(kind)[0]
    if get_origin(kind) in (Union, UnionType):
        return reduce(or_, map(_unannotated, get_args(kind)))
    return kind


def plain(piece: Piece, kind: Any) -> Any:
    """Return the value as a str, int, float, bool or one of a ``Literal``; a float is finite."""
    if get_origin(kind) is Literal:
        return _choice(piece, get_args(kind))
    wanted = _unannotated(kind)
    invalid = f"invalid value {shown(piece.value)}"
    try:
        value = msgspec.convert(piece.value, wanted)
    except OverflowError:
        value = math.inf
    except (msgspec.ValidationError, UnicodeError) as exc:
        name = wanted.__name__ if isinstance(wanted, type) else str(wanted)
        what = f"{invalid}: expected {name}, got {type_name(piece.value)}"
        raise piece.error(what, _cure_of_misreading(piece, wants_text=wanted is str)) from exc
    if isinstance(value, float) and not math.isfinite(value):
        raise piece.error(f"invalid value {value}: expected a finite number")
    bounds = bounds_of(kind)
    if bounds is not None and isinstance(value, int | float) and not bounds.admit(value):
        fault = bounds.fault_of(piece.key, value)
        raise piece.error(fault.what, fault.cure)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as exc:
        raise piece.error(f"{invalid}: expected {_limits_of(kind)}") from exc


def _limits_of(kind: Any) -> str:
    """Return the bounds that ``msgspec.Meta`` sets."""
    given = [each for each in get_args(kind) if isinstance(each, msgspec.Meta)]
    limits = [(words, getattr(each, name)) for each in given for name, words in _LIMITS.items()]
    return " and ".join(f"{words} {limit}" for words, limit in limits if limit is not None)


def text(piece: Piece) -> str:
    """Return text; an error doesn't show a value of another type, as it may be a secret."""
    if isinstance(piece.raw, MisreadNumberError):
        raise piece.error("expected text, got a number: quote it")
    if not isinstance(piece.value, str):
        hint = ": quote it" if isinstance(piece.value, int | float) else ""
        raise piece.error(f"expected text, got {type_name(piece.value)}{hint}")
    return piece.value


def read_fields(
    piece: Piece,
    readers: Mapping[str, Reader],
    *,
    required: Iterable[str] = (),
    refused: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Read each key of a mapping with its own reader, and report all faults at once.

    Args:
        piece: The mapping.
        readers: The known keys.
        required: Keys that must be given.
        refused: Keys that can't be given, with the reason.
    """
    faults = Faults()
    fields = piece.by_key()
    given = {}
    for key, field in fields.items():
        with faults:
            if key in refused:
                raise field.key_error(refused[key])
            if key not in readers:
                raise field.key_error(f"unknown key{did_you_mean(key, readers)}")
            if readers[key] is not ignore:
                given[key] = readers[key](field)
    faults.add(
        piece.error_of(Fault((), f"missing key {key!r}", missing=True))
        for key in required
        if key not in fields
    )
    faults.check()
    return given


def ignore(piece: Piece) -> None:
    """Mark a key that is read elsewhere; ``read_fields`` leaves it out."""


def switch(piece: Piece) -> bool:
    """Read true or false."""
    value: bool = plain(piece, bool)
    return value


def fence(piece: Piece) -> str:
    """Read a cluster or group, which must be equal for two nodes to belong together."""
    value: str = plain(piece, str)
    unexpanded = why_unexpanded(value)
    if unexpanded or not _FENCE.fullmatch(value):
        why = unexpanded or "expected 1 to 255 visible ASCII characters"
        raise piece.error(f"invalid value {shown(value)}: {why}")
    return value


def _choice(piece: Piece, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        if type(choice) is type(piece.value) and choice == piece.value:
            return choice
    nearest = did_you_mean(str(piece.value), [str(choice) for choice in choices])
    cure = _cure_of_misreading(piece, wants_text=isinstance(choices[0], str))
    raise piece.error(f"invalid value {shown(piece.value)}{nearest}", cure)


def _cure_of_misreading(piece: Piece, *, wants_text: bool) -> str:
    """Return the cure if YAML resolves the value to an unexpected type."""
    place = piece.place
    if piece.value is None and place and "${" in (place.text or ""):
        return f"{place.text} is empty: set the variable, or write a default"
    if place is None or place.text is None or isinstance(piece.value, str) == wants_text:
        return ""
    if wants_text and not place.text:
        return "write a value after the colon"
    if wants_text:
        return f"YAML reads {place.text} as {type_name(piece.value)}: quote it"
    if place.quoted and "${" in place.text:
        return "a quoted ${...} is text: write it unquoted, on a line of its own"
    written = piece.value.strip()
    cure = None if place.quoted else _number_as_written(written)
    return f"YAML 1.1 reads {written} as text: write {cure}" if cure else ""


def _number_as_written(text: str) -> str | None:
    """Return how to write in YAML the number that ``text`` looks like; ``None`` for other text."""
    if _FLOAT.fullmatch(text):
        return f"{float(text):.15g}"
    if _OCTAL.fullmatch(text):
        return str(int(text, 8))
    return "it without leading zeros and colons" if _BASE_60.fullmatch(text) else None
