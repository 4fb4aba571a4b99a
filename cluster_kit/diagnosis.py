"""What a strategy says of its source when it is diagnosed: ``Finding``, loaded by those who diagnose only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What came of a question to a source; a closed list."""

    OK = "ok"
    """It answered, and the answer is of use."""
    EMPTY = "empty"
    """It answered, and there is nobody in the answer."""
    FAILED = "failed"
    """It did not answer, or not with an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One question that a strategy put to its source when it was diagnosed, and what came of it; each text one line.

    Args:
        asked: What was asked, and whom: ``SRV _web._tcp.shop.test at 10.0.0.2:53``.
        got: The answer in short: ``3 records, time to live 30 s``; ``NXDOMAIN``.
        outcome: Whether that is of use.
        cause: The likely cause and the cure, where it isn't.
    """

    asked: str
    got: str
    outcome: Outcome = Outcome.OK
    cause: str | None = None
