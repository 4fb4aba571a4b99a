"""Tells who hangs up on our hello now and then, overloaded or stopping, from who always does: another kind of server. Pure."""

from __future__ import annotations

from collections import OrderedDict

PATIENCE = 8  # hang-ups in a row; with the usual back-off, some ten seconds
MAX_DIALLED = 256  # whoever makes us dial one after the other must not cost memory without end


class HangUps:
    """The hang-ups in a row, by whom was dialled; those counted longest ago make room for others."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()

    def again(self, key: str) -> bool:
        """Count one more; return whether that was one too many."""
        self._counts[key] = count = self._counts.pop(key, 0) + 1
        if len(self._counts) > MAX_DIALLED:
            self._counts.popitem(last=False)
        return count > PATIENCE

    def answered(self, key: str) -> None:
        """Forget them: it has said something that we understand."""
        self._counts.pop(key, None)
