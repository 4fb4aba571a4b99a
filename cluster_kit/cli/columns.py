"""Rows of text as aligned columns. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cluster_kit.cli.printable import printable


def columns(rows: Iterable[Sequence[str]], indent: str = "") -> str:
    """Return one line for each row, its cells padded to the widest of their column; rows have the same length."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(f"{indent}{line}".rstrip() for line in lines)


def pairs(mapping: Iterable[tuple[str, object]]) -> str:
    """Return ``key=value key=value``, a dash if there is nothing."""
    return " ".join(f"{key}={value}" for key, value in mapping) or "-"
