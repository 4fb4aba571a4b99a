"""``Secret``: text that doesn't show itself in a repr, a message or a log."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """An option's value that must never be shown; ``reveal`` it only where it is used."""

    _value: str = field(repr=False)

    def reveal(self) -> str:
        """Return the text."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(...)"
