"""Prints findings: as lines for people, or as one JSON object a line for programs.

Much of a finding comes from the network, so control characters are escaped.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from typing import Any, Protocol

import click

from cluster_kit.cli.doctor.verdict import SourceFinding, Verdict
from cluster_kit.cli.text import printable
from cluster_kit.config import ClusterConfig, TopologyConfig
from cluster_kit.diagnosis import Outcome

_COLOUR = {Outcome.OK: "green", Outcome.EMPTY: "yellow", Outcome.FAILED: "red"}
_WORD = {Outcome.OK: "healthy", Outcome.EMPTY: "alone", Outcome.FAILED: "sick"}
_MARK_CHARS = max(map(len, Outcome)) + 2
_LEAST_CHARS = 40  # a narrower terminal wraps by itself


class FindingPrinter(Protocol):
    """Prints findings, in this order."""

    def begin(self, file: str, config: ClusterConfig) -> None:
        """Print that ``file`` is valid, and where the examination runs."""

    def topology(self, topology: TopologyConfig) -> None:
        """Begin a topology."""

    def source(self, name: str) -> None:
        """Begin one of its sources."""

    def finding(self, found: SourceFinding) -> None:
        """Print a finding."""

    def verdict(self, verdict: Verdict) -> None:
        """Print the verdict on the topology."""


class Lines:
    """Prints for people.

    Args:
        echo: Prints a line.
        width: The width at which to wrap long lines; ``None`` wraps none.
    """

    def __init__(self, echo: Callable[[str], object], width: int | None) -> None:
        self._echo = echo
        self._width = width

    def begin(self, file: str, config: ClusterConfig) -> None:
        """Print that ``file`` is valid, and where the examination runs."""
        where = f"diagnosing cluster {config.cluster!r} from {config.host}"
        self._echo(f"{file} is valid; {where}, without announcing this node")

    def topology(self, topology: TopologyConfig) -> None:
        """Print its name and group."""
        title = click.style(f"topology {topology.name}", bold=True)
        self._echo("")
        self._echo(f"{title}, group {topology.group!r}")

    def source(self, name: str) -> None:
        """Print its name."""
        self._echo(f"  {name}")

    def finding(self, found: SourceFinding) -> None:
        """Print mark, question and answer, and the cause below."""
        finding = found.finding
        mark = click.style(finding.outcome.ljust(_MARK_CHARS), fg=_COLOUR[finding.outcome])
        first, *rest = self._wrapped(f"{finding.asked}: {finding.got}", 4 + _MARK_CHARS)
        cause = self._wrapped(finding.cause, 4 + _MARK_CHARS) if finding.cause else []
        self._echo(f"    {mark}{first}")
        for line in [*rest, *(click.style(line, dim=True) for line in cause)]:
            self._echo(" " * (4 + _MARK_CHARS) + line)

    def verdict(self, verdict: Verdict) -> None:
        """Print mark and sentence."""
        mark = f"{_WORD[verdict.outcome]}: "
        first, *rest = self._wrapped(verdict.sentence, 2 + len(mark))
        self._echo(f"  {click.style(mark, fg=_COLOUR[verdict.outcome], bold=True)}{first}")
        for line in rest:
            self._echo(" " * (2 + len(mark)) + line)

    def _wrapped(self, text: str, indent: int) -> list[str]:
        text = printable(" ".join(str(text).split()))
        if self._width is None:
            return [text]
        width = max(self._width - indent, _LEAST_CHARS)
        return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


class JsonLines:
    """Prints for programs: an object for each finding, and one for each verdict.

    Args:
        echo: Prints a line.
    """

    def __init__(self, echo: Callable[[str], object]) -> None:
        self._echo = echo
        self._topology = ""

    def begin(self, file: str, config: ClusterConfig) -> None:
        """Print nothing, as a file with faults doesn't get here."""

    def topology(self, topology: TopologyConfig) -> None:
        """Keep its name for what follows."""
        self._topology = topology.name

    def source(self, name: str) -> None:
        """Print nothing, as each finding names its source."""

    def finding(self, found: SourceFinding) -> None:
        """Print a finding."""
        finding = found.finding
        self._print(
            source=found.source,
            step=found.step,
            outcome=finding.outcome,
            asked=finding.asked,
            got=finding.got,
            cause=finding.cause,
        )

    def verdict(self, verdict: Verdict) -> None:
        """Print a verdict."""
        self._print(verdict=_WORD[verdict.outcome], because=verdict.sentence)

    def _print(self, **members: Any) -> None:
        self._echo(json.dumps({"topology": self._topology} | members, default=str))
