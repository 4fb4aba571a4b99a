"""What happens in a simulation, as lines to read, whose hash is the same for the same run."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

_BATCH = 1024  # lines that are hashed at once


class Trace:
    """Lines in the order of time.

    Args:
        show: Called with each line.
    """

    def __init__(self, show: Callable[[str], object] | None = None) -> None:
        self._show = show
        self._hash = blake2b(digest_size=16)
        self._lines: list[str] = []
        self._at_s = -1.0  # of the latest line
        self._time = ""  # the same as text; many lines share a time

    def add(self, at_s: float, who: str, what: str) -> None:
        """Add a line: when, which node, what."""
        if at_s != self._at_s:
            self._at_s, self._time = at_s, f"{at_s:12.6f}"
        line = f"{self._time} {who:<6} {what}"
        self._lines.append(line)
        if len(self._lines) >= _BATCH:
            self._flush()
        if self._show is not None:
            self._show(line)

    @property
    def digest(self) -> str:
        """The hash of all lines so far."""
        self._flush()
        return self._hash.hexdigest()

    def _flush(self) -> None:
        if self._lines:
            self._hash.update("\n".join([*self._lines, ""]).encode())
            self._lines.clear()
