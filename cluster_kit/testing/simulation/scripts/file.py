"""A script as a YAML file: each step is one flat mapping, and its verb names the nodes.

As in ``{at_s: 5, crash: 2}`` or ``{at_s: 8, partition: [[1, 2], [3-5]], for_s: 10}``. Nodes are a
number, a range such as ``3-5``, a list of these, or ``all``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from functools import partial
from typing import Any, get_type_hints

from cluster_kit.config.document import Document, Faults, Piece, shown
from cluster_kit.config.options import construct, convert
from cluster_kit.config.values import plain, read_fields
from cluster_kit.config.yaml_source import read_yaml
from cluster_kit.errors import ConfigError
from cluster_kit.fault import Fault, did_you_mean
from cluster_kit.testing.simulation.scripts.script import (
    MAX_NODES,
    Script,
    faults_of,
    faults_of_size,
)
from cluster_kit.testing.simulation.scripts.steps import ALL, KINDS, Step

STDIN = "/dev/stdin"

_RANGE = re.compile(r"\s*([0-9]{1,9})\s*-\s*([0-9]{1,9})\s*")


def read_script(file: str | os.PathLike[str], *, nodes: int | None = None) -> Script:
    """Read a script.

    Args:
        file: A YAML file; ``-`` is standard input.
        nodes: Replaces the file's ``nodes``, which may then be left out.

    Raises:
        ConfigError: The script is invalid; ``errors`` holds every fault, with its place.
    """
    path = STDIN if file == "-" else os.fspath(file)
    expected = "a mapping with the keys 'nodes' and 'steps'"
    return _script(read_yaml(path, os.environ, expected=expected), nodes)


def script_from(data: Mapping[str, Any], *, nodes: int | None = None) -> Script:
    """Make a script from a dict of the same shape as a file.

    Raises:
        ConfigError: As for ``read_script``, without places.
    """
    return _script(Document(data=data), nodes)


def _script(document: Document, nodes: int | None) -> Script:
    faults = Faults(document.errors)
    with faults:
        required = ["nodes"] if nodes is None else []
        given = read_fields(document.root, {"nodes": _size, "steps": _steps}, required=required)
    faults.check()
    size, steps = given.get("nodes", 0) if nodes is None else nodes, given.get("steps", ())
    parts = document.root.by_key()["steps"].items() if steps else []
    faults.add(_placed(parts, fault) for fault in faults_of(size, steps))
    faults.check()
    return Script(nodes=size, steps=steps)


def _size(part: Piece) -> int:
    size: int = plain(part, int)
    for fault in faults_of_size(size):
        raise part.error(fault.what)
    return size


def _steps(part: Piece) -> tuple[Step, ...]:
    faults = Faults()
    steps = []
    for item in [] if part.raw is None else part.items():
        with faults:
            steps.append(_step(item))
    faults.check()
    return tuple(steps)


def _step(part: Piece) -> Step:
    given = part.by_key()
    verbs = [key for key in given if key in KINDS]
    if not verbs:
        odd = next((key for key in given if key != "at_s"), None)
        if odd is None:
            raise part.error(f"nothing happens: expected one of {', '.join(sorted(KINDS))}")
        raise given[odd].key_error(f"unknown step{did_you_mean(odd, KINDS)}")
    if verbs[1:]:
        raise given[verbs[1]].key_error(
            f"a step does one thing, and {verbs[0]!r} is given too: make it a separate step"
        )
    kind = KINDS[verbs[0]]
    values = read_fields(part, _readers(kind), required=_required(kind))
    values = {kind.subject if key == kind.verb else key: value for key, value in values.items()}
    step: Step = construct(part, kind, values, keys={kind.subject: kind.verb})
    return step


def _readers(kind: type[Step]) -> dict[str, Callable[[Piece], Any]]:
    kinds = get_type_hints(kind)
    readers: dict[str, Callable[[Piece], Any]] = {}
    for field in fields(kind):
        name = kind.verb if field.name == kind.subject else field.name
        readers[name] = _SPECIAL.get(field.name) or partial(convert, kind=kinds[field.name])
    return readers


def _required(kind: type[Step]) -> list[str]:
    required = [field.name for field in fields(kind) if field.default is MISSING]
    return [name for name in required if name != kind.subject]


def _place(part: Piece, field: str) -> Piece:
    """Return the part of a step that gives ``field``."""
    given = part.by_key()
    verb = next(key for key in given if key in KINDS)
    return given[verb] if field == KINDS[verb].subject else given.get(field, part)


def _placed(steps: Sequence[Piece], fault: Fault) -> ConfigError:
    """Return the error for a fault of one of the steps, at the value that a file gives."""
    _, index, field = tuple(fault.where)
    return _place(steps[int(index)], str(field)).error(fault.what, fault.cure)


def _numbers(part: Piece) -> tuple[int, ...]:
    if part.value == "all":
        return ALL
    items = part.items() if isinstance(part.value, list | tuple) else [part]
    faults = Faults()
    numbers: list[int] = []
    for item in items:
        with faults:
            numbers += _range(item)
    faults.check()
    if not numbers:
        raise part.error("names no node: expected numbers of nodes, or all")
    return tuple(numbers)


def _range(part: Piece) -> range | tuple[int]:
    value = part.value
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    found = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise part.error(
            f"invalid value {shown(value)}: expected the number of a node, a range such as 3-5, or "
            "all"
        )
    first, last = int(found[1]), int(found[2])
    if not 1 <= first <= last <= MAX_NODES:
        raise part.error(
            f"invalid range {shown(value)}: expected it to go up, from 1 to {MAX_NODES}"
        )
    return range(first, last + 1)


def _groups(part: Piece) -> tuple[tuple[int, ...], ...]:
    return tuple(_numbers(item) for item in part.items())


_SPECIAL: Mapping[str, Callable[[Piece], Any]] = {
    "nodes": _numbers,
    "to": _numbers,
    "groups": _groups,
}
