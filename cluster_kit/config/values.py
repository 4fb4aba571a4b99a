"""Plain values and mappings of a configuration, checked strictly: text is never taken for a number,
nor ``no`` for text.

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
from cluster_kit.config.document import Faults, MisreadNumberError, Part, shown, type_name
from cluster_kit.config.suggest import did_you_mean
from cluster_kit.fault import Fault
from cluster_kit.host import why_unexpanded

Reader = Callable[[Part], Any]

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
_FENCE = re.compile(r"[!-~]{1,255}")  # it travels in every hello and heartbeat


def is_plain(kind: Any) -> bool:
    """Whether ``plain`` reads values of this type."""
    return get_origin(kind) is Literal or bare(kind) in _PLAIN


def bare(kind: Any) -> Any:
    """Return a type without its bounds."""
    if get_origin(kind) is Annotated:
        return get_args(kind)[0]
    if get_origin(kind) in (Union, UnionType):
        return reduce(or_, map(bare, get_args(kind)))
    return kind


def plain(part: Part, kind: Any) -> Any:
    """Return the value as a str, int, float, bool or one of a ``Literal``; a float is finite."""
    if get_origin(kind) is Literal:
        return _choice(part, get_args(kind))
    wanted = bare(kind)
    invalid = f"invalid value {shown(part.value)}"
    try:
        value = msgspec.convert(part.value, wanted)
    except OverflowError:
        value = math.inf
    except (msgspec.ValidationError, UnicodeError) as exc:
        name = wanted.__name__ if isinstance(wanted, type) else str(wanted)
        what = f"{invalid}: expected {name}, got {type_name(part.value)}"
        raise part.error(what, _cure_of_misreading(part, wants_text=wanted is str)) from exc
    if isinstance(value, float) and not math.isfinite(value):
        raise part.error(f"invalid value {value}: expected a finite number")
    bounds = bounds_of(kind)
    if bounds is not None and isinstance(value, int | float) and not bounds.admit(value):
        fault = bounds.fault_of(part.key, value)
        raise part.error(fault.what, fault.cure)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as exc:
        raise part.error(f"{invalid}: expected {_limits_of(kind)}") from exc


def _limits_of(kind: Any) -> str:
    """Return the bounds that ``msgspec.Meta`` sets."""
    given = [each for each in get_args(kind) if isinstance(each, msgspec.Meta)]
    limits = [(words, getattr(each, name)) for each in given for name, words in _LIMITS.items()]
    return " and ".join(f"{words} {limit}" for words, limit in limits if limit is not None)


def text(part: Part) -> str:
    """Return text; an error doesn't show what stands there instead, as it may be a secret."""
    if isinstance(part.raw, MisreadNumberError):
        raise part.error("expected text, got a number: quote it")
    if not isinstance(part.value, str):
        hint = ": quote it" if isinstance(part.value, int | float) else ""
        raise part.error(f"expected text, got {type_name(part.value)}{hint}")
    return part.value


def read_fields(
    part: Part,
    readers: Mapping[str, Reader],
    *,
    required: Iterable[str] = (),
    refused: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Read each key of a mapping with its own reader, and report all faults at once.

    Args:
        part: The mapping.
        readers: Every key that can be given.
        required: Keys that must be.
        refused: Keys that can't be given, with the reason.
    """
    faults = Faults()
    fields = part.by_key()
    given = {}
    for key, field in fields.items():
        with faults:
            if key in refused:
                raise field.key_error(refused[key])
            if key not in readers:
                raise field.key_error(f"unknown key{did_you_mean(key, readers)}")
            given[key] = readers[key](field)
    faults.add(
        part.placed(Fault((), f"missing key {key!r}", missing=True))
        for key in required
        if key not in fields
    )
    faults.check()
    return given


def ignore(part: Part) -> None:
    """Take a key that is read elsewhere."""


def switch(part: Part) -> bool:
    """Read true or false."""
    value: bool = plain(part, bool)
    return value


def fence(part: Part) -> str:
    """Read what must be equal for two nodes to belong together."""
    value: str = plain(part, str)
    unexpanded = why_unexpanded(value)
    if unexpanded:
        raise part.error(f"invalid value {shown(value)}: {unexpanded}")
    if not _FENCE.fullmatch(value):
        raise part.error(
            f"invalid value {shown(value)}: expected 1 to 255 visible ASCII characters"
        )
    return value


def _choice(part: Part, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        if type(choice) is type(part.value) and choice == part.value:
            return choice
    nearest = did_you_mean(str(part.value), [str(choice) for choice in choices])
    cure = _cure_of_misreading(part, wants_text=isinstance(choices[0], str))
    raise part.error(f"invalid value {shown(part.value)}{nearest}", cure)


def _cure_of_misreading(part: Part, *, wants_text: bool) -> str:
    """Return what to do about a value whose type is wrong because YAML reads it unexpectedly."""
    place = part.place
    if part.value is None and place and "${" in (place.text or ""):
        return f"{place.text} is empty: set the variable, or write a default"
    if place is None or place.text is None or isinstance(part.value, str) == wants_text:
        return ""
    if wants_text and not place.text:
        return "write a value after the colon"
    if wants_text:
        return f"YAML reads {place.text} as {type_name(part.value)}: quote it"
    if place.quoted and "${" in place.text:
        return "a quoted ${...} is text: write it unquoted, on a line of its own"
    written = part.value.strip()
    cure = None if place.quoted else _number_as_written(written)
    return f"YAML 1.1 reads {written} as text: write {cure}" if cure else ""


def _number_as_written(text: str) -> str | None:
    """Return how YAML writes the number that ``text`` looks like; ``None`` for other text."""
    if _FLOAT.fullmatch(text):
        return f"{float(text):.15g}"
    if _OCTAL.fullmatch(text):
        return str(int(text, 8))
    return "it without leading zeros and colons" if _BASE_60.fullmatch(text) else None
