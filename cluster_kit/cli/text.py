"""Formats text for terminals: aligned, on one line, without control characters. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def printable(text: str) -> str:
    """Return ``text`` on one line, with control and bidirectional characters escaped."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def columns(rows: Iterable[Sequence[str]], indent: str = "") -> str:
    """Return one line for each row, with cells padded to the width of their column."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([*map(str.ljust, row, widths)] for row in rows)
    return "\n".join(f"{indent}{'  '.join(row)}".rstrip() for row in padded)


def pairs(items: Iterable[tuple[str, object]]) -> str:
    """Return ``key=value key=value``, or a dash if there are none."""
    return " ".join(f"{key}={value}" for key, value in items) or "-"


def duration(seconds: float) -> str:
    """Return a time in its largest unit: ``90 s`` is ``1 min``."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds / size)} {unit}"
    return "0 s"
