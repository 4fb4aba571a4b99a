"""What a fuzz target is, and how inputs derive from others; shared by Hypothesis and atheris."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from random import Random
from typing import Any, NamedTuple

import msgspec

from cluster_kit.node import MAX_METADATA_BYTES


class Form(NamedTuple):
    """Splits an input into plain values and joins them; ``read`` raises ``ValueError`` at others.

    ``head_bytes`` of an input come before that, and stay as they are.
    """

    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]
    head_bytes: int = 0


JSON = Form(msgspec.json.decode, msgspec.json.encode)
JSON_LINES = Form(
    lambda data: [msgspec.json.decode(line) for line in data.split(b"\n") if line],
    lambda lines: b"".join(msgspec.json.encode(line) + b"\n" for line in lines),
)
MSGPACK = Form(msgspec.msgpack.decode, msgspec.msgpack.encode)


def assert_metadata(metadata: Mapping[str, str]) -> None:
    size = sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items())
    assert size <= MAX_METADATA_BYTES


def framed(form: Form) -> Form:
    """Return the form of frames, each after its length in four bytes."""

    def read(data: bytes) -> list[Any]:
        values: list[Any] = []
        start = 0
        while start < len(data):
            end = start + 4 + int.from_bytes(data[start : start + 4], "big")
            values.append(form.read(data[start + 4 : end]))
            start = end
        return values

    def write(values: Any) -> bytes:
        bodies = [form.write(each) for each in values]
        return b"".join(len(body).to_bytes(4, "big") + body for body in bodies)

    return Form(read, write)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A decoder, and what must hold of it whatever comes in.

    Attributes:
        name: What it is chosen by; its corpus is in the folder of that name.
        of: The decoders that it stands for, as ``module:name``.
        check: Decodes an input, and raises unless all holds that must; returns whether the input
            meant anything.
        seeds: Valid inputs, each of which means something.
        form: Of the valid inputs, if they are plain values in a form that libFuzzer can't see into.
        max_bytes: Of an input, somewhat more than the decoder takes where that is little.
    """

    name: str
    of: tuple[str, ...]
    check: Callable[[bytes], bool]
    seeds: tuple[bytes, ...]
    form: Form | None = None
    max_bytes: int = 4200


MODULES = (
    "fuzz_links",
    "fuzz_messages",
    "fuzz_datagrams",
    "fuzz_discovery",
    "fuzz_files",
    "fuzz_processes",
    "fuzz_kubernetes",
)


def find(name: str) -> Target:
    """Return the target of that name; no more modules are loaded than that takes."""
    targets = (target for module in MODULES for target in import_module(module).TARGETS)
    return next(target for target in targets if target.name == name)


_ODD_BYTES = (
    b"\0",
    b"\n",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\xe2\x80\xa8",
)
_ODD_VALUES = (
    None,
    True,
    0,
    -1,
    2**63,
    2**64 - 1,
    1.5,
    1e308,
    "",
    "a@b",
    "\0",
    "\u2028",
    "x" * 300,
    b"",
    b"\xff",
    [],
    {},
    [[]],
)


def mutated(target: Target, data: bytes, random: Random) -> bytes:
    """Return ``data`` with some things in it changed."""
    for _ in range(random.randint(1, 3)):
        data = (
            _form_changed(target.form, data, random)
            if target.form and random.random() < 0.7
            else _bytes_changed(data, random)
        )
    return data[: target.max_bytes]


def reformed(target: Target, data: bytes, random: Random) -> bytes | None:
    """Return ``data`` with one of its values changed, ``None`` where there are none."""
    if target.form is None:
        return None
    changed = _form_changed(target.form, data, random)
    return None if changed == data else changed


def _bytes_changed(data: bytes, random: Random) -> bytes:
    at = random.randint(0, len(data))
    end = min(len(data), at + random.randint(1, 8))
    match random.randint(0, 5):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + data[end:]
        case 2:
            return data[:at] + random.choice(_ODD_BYTES) + data[at:]
        case 3:
            return data[:end] + data[at:]
        case 4:
            return data[:at] + random.randbytes(end - at) + data[end:]
    flipped = bytearray(data or b"\0")
    flipped[at % len(flipped)] ^= 1 << random.randint(0, 7)
    return bytes(flipped)


def _form_changed(form: Form, data: bytes, random: Random) -> bytes:
    head, rest = data[: form.head_bytes], data[form.head_bytes :]
    try:
        return head + form.write(_value_changed(form.read(rest), random))
    except (ValueError, TypeError, RecursionError, OverflowError):
        return data


def _value_changed(value: Any, random: Random) -> Any:
    """Return ``value`` with one value somewhere in it replaced, removed or doubled."""
    if isinstance(value, list) and value and random.random() < 0.9:
        at = random.randrange(len(value))
        match random.randint(0, 5):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return [*value, random.choice([value[at], random.choice(_ODD_VALUES)])]
        return [*value[:at], _value_changed(value[at], random), *value[at + 1 :]]
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(list(value))
        rest = {each: inner for each, inner in value.items() if each != key}
        match random.randint(0, 5):
            case 0:
                return rest
            case 1:
                return rest | {random.choice(["", "x" * 300, "\u2028", "name"]): value[key]}
        return rest | {key: _value_changed(value[key], random)}
    if isinstance(value, str | bytes) and value and random.random() < 0.5:
        return (
            value * random.choice([2, 100])
            if random.random() < 0.3
            else value[: random.randrange(len(value))]
        )
    if isinstance(value, int) and random.random() < 0.5:
        return value + random.choice([1, -1, 2**32, 2**63])
    return random.choice(_ODD_VALUES)
