"""What all findings of a topology come to, and the most likely cause in one sentence. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.worker.examiner import Step


@dataclass(frozen=True, slots=True)
class Entry:
    """What came of one step of the examination of ``source``."""

    source: str
    step: Step
    finding: Finding


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a topology can work, and a sentence that says why or why not; ``EMPTY`` is to be alone."""

    outcome: Outcome
    sentence: str


def judge(entries: Sequence[Entry]) -> Verdict:
    """Return the verdict on one topology: that of its first failure, else whether anybody was found.

    A source that finds nobody is no failure, nor is it to be alone where another source finds somebody.
    """
    of_sources = [entry for entry in entries if entry.step != "node"]
    of_nodes = [entry for entry in entries if entry.step == "node"]
    if failed := _with(Outcome.FAILED, of_sources):
        first = _explained(failed[0], of_sources)
        return Verdict(Outcome.FAILED, f"{first.source}: {_told(first)}")
    if failed := _with(Outcome.FAILED, of_nodes):
        return Verdict(Outcome.FAILED, f"{len(failed)} of {len(of_nodes)} nodes cannot be linked to: {_told(failed[0])}")
    if answering := _with(Outcome.OK, of_nodes):
        return Verdict(Outcome.OK, f"{len(answering)} node{'s' * (len(answering) > 1)} can be linked to")
    if not of_nodes and any(entry.step == "discovery" for entry in _with(Outcome.OK, of_sources)):
        return Verdict(Outcome.OK, "somebody is found; the connector tries nobody without a link")
    causes = [entry.finding.cause for entry in _with(Outcome.EMPTY, entries) if entry.finding.cause]
    return Verdict(Outcome.EMPTY, causes[0] if causes else "no other node of this cluster and group is where it looks")


def _explained(failed: Entry, entries: Sequence[Entry]) -> Entry:
    """Return ``failed``; where that only says that a source counts an empty answer as a failure, what came of asking it."""
    if failed.step != "discovery":
        return failed
    empty = [entry for entry in _with(Outcome.EMPTY, entries) if entry.source == failed.source and entry.finding.cause]
    return empty[0] if empty else failed


def _with(outcome: Outcome, entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.finding.outcome is outcome]


def _told(entry: Entry) -> str:
    finding = entry.finding
    return ": ".join(part for part in (finding.asked, finding.got, finding.cause) if part)
