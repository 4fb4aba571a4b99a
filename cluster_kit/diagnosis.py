"""The diagnosis of a source of nodes, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from cluster_kit.fault import Fault


class Outcome(StrEnum):
    """The outcome of a question to a source; a closed list."""

    OK = "ok"
    """It answered usefully."""
    EMPTY = "empty"
    """It answered, and the answer lists no nodes."""
    FAILED = "failed"
    """It did not answer, or with an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One question that a strategy put to its source when it was diagnosed; each text one line.

    Args:
        asked: The question and who was asked: ``SRV _web._tcp.shop.test at 10.0.0.2:53``.
        got: The answer in short: ``3 records, time to live 30 s``; ``NXDOMAIN``.
        outcome: Whether the answer is useful.
        cause: The likely cause and the cure, if it isn't.
    """

    asked: str
    got: str
    outcome: Outcome = Outcome.OK
    cause: str | None = None


def finding_of(fault: Fault) -> Finding:
    """Return a fault as a finding about its place."""
    return failed(fault.place, fault.what, fault.cure)


def failed(asked: str, got: str, cause: str) -> Finding:
    """Return a finding without a useful answer."""
    return Finding(asked=asked, got=got, outcome=Outcome.FAILED, cause=cause or None)


def empty(asked: str, got: str, cause: str) -> Finding:
    """Return a finding about an answer that lists no nodes."""
    return Finding(asked=asked, got=got, outcome=Outcome.EMPTY, cause=cause)


def listed(names: Sequence[object], shown: int = 3) -> str:
    """Return the first names, and the number of the others."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(map(str, names[:shown])) + more
