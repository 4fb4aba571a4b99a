"""Parses a hosts file. Pure: bytes in, nodes or faults out.

A file may be read while it is being written. So anything that looks like half of one is a fault:
an empty file, and one whose last line has no end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cluster_kit.fault import Fault
from cluster_kit.node import Node
from cluster_kit.strategies.static import FORM, identities, parse_node

MAX_FAULTS = 8  # enough for one round of corrections

_BOM = b"\xef\xbb\xbf"  # some editors begin a file with it
_COMMENT = re.compile(r"(?:^|[ \t])#")  # a name may have a # inside
_BLANK = " \t\r"
_SHOWN = 80  # characters of a line

_CURE = "correct the line, or wait until the file is written"
_EMPTY_CURE = "list the nodes in it; for an empty list, write a comment line that begins with '#'"


@dataclass(frozen=True, slots=True)
class FileFault:
    """What is wrong with a file, or with one line of it; each text is one line."""

    what: str
    cure: str
    line: int | None = None

    def in_file(self, file: str) -> Fault:
        """Return the fault with its place, in the form that compilers use."""
        place = file if self.line is None else f"{file}:{self.line}"
        return Fault((), self.what, self.cure, place=place)


@dataclass(frozen=True, slots=True)
class Listing:
    """The nodes that a file lists, in its order, valid only where there are no ``faults``."""

    nodes: tuple[Node, ...]
    faults: tuple[FileFault, ...]


def parse(content: bytes) -> Listing:
    """Return the nodes and faults of a file, faults by line, ``MAX_FAULTS`` at most."""
    nodes: dict[Node, int] = {}
    faults: list[FileFault] = []
    for fault in _faults(content.removeprefix(_BOM), nodes):
        faults.append(fault)
        if len(faults) == MAX_FAULTS:
            break
    return Listing(tuple(nodes), tuple(faults))


def _faults(content: bytes, nodes: dict[Node, int]) -> Iterator[FileFault]:
    """Yield the faults, and put each node into ``nodes`` with the number of its line."""
    *lines, rest = content.split(b"\n")
    is_empty = True
    taken: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        is_empty = is_empty and not line.strip(_BLANK.encode())
        try:
            entry = _COMMENT.split(_text(line), maxsplit=1)[0].strip(_BLANK)
            if entry:
                _add(_node(entry), number, nodes, taken)
        except ValueError as exc:
            yield FileFault(str(exc), _CURE, number)
    if rest:
        what = "the last line has no newline: the file may be half written"
        cure = "end it with a newline, or wait until the file is written"
        yield FileFault(what, cure, len(lines) + 1)
    elif is_empty:
        yield FileFault("the file is empty: it may be half written", _EMPTY_CURE, 1)


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as exc:
        byte = f"byte {exc.start + 1} of the line, {line[exc.start]:#04x}"
        raise ValueError(f"{byte}, is not UTF-8") from exc


def _node(entry: str) -> Node:
    unusable = f"cannot use {entry[:_SHOWN]!r}"
    if "," in entry:
        cure = f"write one {FORM} on each line"
        raise ValueError(f"{unusable}: a comma does not separate nodes; {cure}")
    try:
        return parse_node(entry)
    except ValueError as exc:
        raise ValueError(f"{unusable}: expected one {FORM}; {exc}") from exc


def _add(node: Node, number: int, nodes: dict[Node, int], taken: dict[str, int]) -> None:
    """Add a node; a file may repeat an entry, as after other files were joined."""
    if node in nodes:
        return
    for identity in identities(node):
        if identity in taken:
            what = f"{identity!r:.{_SHOWN}} is in line {taken[identity]}, too"
            raise ValueError(f"{what}: list each node once")
    nodes[node] = number
    taken |= dict.fromkeys(identities(node), number)
