"""How findings are shown: lines for people, a JSON object a line for machines.

Much of a finding comes from the network, so whatever could move the cursor is escaped.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from typing import Any, Protocol

import click

from cluster_kit.cli.doctor.verdict import Entry, Verdict
from cluster_kit.cli.text import printable
from cluster_kit.config import ClusterConfig, TopologyConfig
from cluster_kit.diagnosis import Outcome

_COLOUR = {Outcome.OK: "green", Outcome.EMPTY: "yellow", Outcome.FAILED: "red"}
_WORD = {Outcome.OK: "healthy", Outcome.EMPTY: "alone", Outcome.FAILED: "sick"}
_MARK_CHARS = max(map(len, Outcome)) + 2
_LEAST_CHARS = 40  # a narrower terminal wraps by itself


class Report(Protocol):
    """Where findings go, in order."""

    def begin(self, file: str, config: ClusterConfig) -> None:
        """Report that ``file`` can be used, and from which host it looks."""

    def topology(self, topology: TopologyConfig) -> None:
        """Begin with a topology."""

    def source(self, name: str) -> None:
        """Begin with one of its sources."""

    def entry(self, entry: Entry) -> None:
        """Tell a finding."""

    def verdict(self, verdict: Verdict) -> None:
        """Close the topology."""


class Lines:
    """For people.

    Args:
        echo: Prints a line.
        width: To which long lines are wrapped; ``None`` leaves each text on a line of its own.
    """

    def __init__(self, echo: Callable[[str], object], width: int | None) -> None:
        self._echo = echo
        self._width = width

    def begin(self, file: str, config: ClusterConfig) -> None:
        """Print it."""
        self._echo(
            f"{file} has no fault; looking from {config.host} in cluster {config.cluster!r}, "
            "announcing nothing"
        )

    def topology(self, topology: TopologyConfig) -> None:
        """Print its name and group."""
        self._echo("")
        self._echo(
            f"{click.style(f'topology {topology.name}', bold=True)}, group {topology.group!r}"
        )

    def source(self, name: str) -> None:
        """Print its name."""
        self._echo(f"  {name}")

    def entry(self, entry: Entry) -> None:
        """Print mark, question and answer, and the cause below."""
        finding = entry.finding
        mark = click.style(finding.outcome.ljust(_MARK_CHARS), fg=_COLOUR[finding.outcome])
        first, *rest = self._wrapped(f"{finding.asked}: {finding.got}", 4 + _MARK_CHARS)
        cause = self._wrapped(finding.cause, 4 + _MARK_CHARS) if finding.cause else []
        self._echo(f"    {mark}{first}")
        for line in [*rest, *(click.style(line, dim=True) for line in cause)]:
            self._echo(" " * (4 + _MARK_CHARS) + line)

    def verdict(self, verdict: Verdict) -> None:
        """Print it."""
        mark = f"{_WORD[verdict.outcome]}: "
        first, *rest = self._wrapped(verdict.sentence, 2 + len(mark))
        self._echo(f"  {click.style(mark, fg=_COLOUR[verdict.outcome], bold=True)}{first}")
        for line in rest:
            self._echo(" " * (2 + len(mark)) + line)

    def _wrapped(self, text: str, indent: int) -> list[str]:
        text = printable(" ".join(str(text).split()))
        if self._width is None:
            return [text]
        return textwrap.wrap(
            text,
            max(self._width - indent, _LEAST_CHARS),
            break_long_words=False,
            break_on_hyphens=False,
        )


class JsonLines:
    """For machines: an object for each finding, and one for each verdict.

    Args:
        echo: Prints a line.
    """

    def __init__(self, echo: Callable[[str], object]) -> None:
        self._echo = echo
        self._topology = ""

    def begin(self, file: str, config: ClusterConfig) -> None:
        """Say nothing: a file with faults doesn't come so far."""

    def topology(self, topology: TopologyConfig) -> None:
        """Keep its name for what follows."""
        self._topology = topology.name

    def source(self, name: str) -> None:
        """Say nothing: each entry names its source."""

    def entry(self, entry: Entry) -> None:
        """Print a finding."""
        finding = entry.finding
        self._print(
            source=entry.source,
            step=entry.step,
            outcome=finding.outcome,
            asked=finding.asked,
            got=finding.got,
            cause=finding.cause,
        )

    def verdict(self, verdict: Verdict) -> None:
        """Print it."""
        self._print(verdict=_WORD[verdict.outcome], because=verdict.sentence)

    def _print(self, **members: Any) -> None:
        self._echo(json.dumps({"topology": self._topology} | members, default=str))
