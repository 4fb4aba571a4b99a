"""What happens in a simulation, as lines: a person reads them, and their hash tells whether two
runs are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

_BATCH = 1024  # lines to hash at once


class Trace:
    """Lines in the order of their times.

    Args:
        show: Called with each line; nobody sees them by default.
    """

    def __init__(self, show: Callable[[str], object] | None = None) -> None:
        self._show = show
        self._hash = blake2b(digest_size=16)
        self._lines: list[str] = []
        self._at_s = -1.0  # of the latest line
        self._time = ""  # that time as text: much happens at one moment

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
        """The hash of all lines so far; that of another run is the same if and only if its lines
        are.
        """
        self._flush()
        return self._hash.hexdigest()

    def _flush(self) -> None:
        if self._lines:
            self._hash.update("\n".join([*self._lines, ""]).encode())
            self._lines.clear()
