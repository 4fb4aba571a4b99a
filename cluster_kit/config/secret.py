"""``Secret``: text that is never shown in a repr, a message or a log."""

from __future__ import annotations

SECRET_VARIABLE = "CLUSTER_KIT_SECRET"  # noqa: S105 - the name of the variable
"""The environment variable with the cluster's secret."""


class Secret:
    """A value that must never be shown; ``reveal`` it only where it is used.

    It is not a dataclass, as ``dataclasses.asdict`` and printers of fields would show the value.

    Args:
        value: The text. Bytes that are not UTF-8 are represented by surrogates (PEP 383).
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return self._value == other._value if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(...)"
