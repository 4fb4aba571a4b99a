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
    """Whether a topology can work, and why or why not; ``EMPTY`` means that it is alone."""

    outcome: Outcome
    sentence: str


def judge(entries: Sequence[Entry]) -> Verdict:
    """Return the verdict on one topology: its first failure, else whether a node was found.

    A source that finds nobody is no failure, nor is it to be alone where another source finds
    somebody.
    """
    of_sources = [
        entry for entry in entries if entry.step != "node" and not _explained(entry, entries)
    ]
    of_nodes = [entry for entry in entries if entry.step == "node"]
    empty = [entry for entry in _with(Outcome.EMPTY, of_sources) if entry.finding.cause]
    if failed := _with(Outcome.FAILED, of_sources):
        return Verdict(Outcome.FAILED, _of_source(failed[0]))
    if failed := _with(Outcome.FAILED, of_nodes):
        # a node that doesn't know where others are can't reach them
        earlier = [_of_source(entry) for entry in empty[:1]]
        unlinked = (
            f"{len(failed)} of {_nodes(len(of_nodes))} cannot be linked to: "
            f"{_sentence_of(failed[0])}"
        )
        return Verdict(Outcome.FAILED, "; and ".join([*earlier, unlinked]))
    if answering := _with(Outcome.OK, of_nodes):
        return Verdict(Outcome.OK, f"{_nodes(len(answering))} can be linked to")
    if not of_nodes and any(entry.step == "discovery" for entry in _with(Outcome.OK, of_sources)):
        return Verdict(Outcome.OK, "somebody is found; the connector tries nobody without a link")
    if empty:
        return Verdict(Outcome.EMPTY, _of_source(empty[0]))
    return Verdict(Outcome.EMPTY, "no other node of this cluster and group is where it looks")


def _explained(failed: Entry, entries: Sequence[Entry]) -> bool:
    """Whether discovery failed only because its source found nobody, as another step says."""
    asked = [
        entry.finding
        for entry in entries
        if entry.source == failed.source and entry.step == "source"
    ]
    return (
        failed.step == "discovery"
        and failed.finding.outcome is Outcome.FAILED
        and any(finding.outcome is Outcome.EMPTY and finding.cause for finding in asked)
    )


def _nodes(count: int) -> str:
    return f"{count} node{'s' * (count != 1)}"


def _of_source(entry: Entry) -> str:
    return f"{entry.step if entry.step == 'connector' else entry.source}: {_sentence_of(entry)}"


def _with(outcome: Outcome, entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.finding.outcome is outcome]


def _sentence_of(entry: Entry) -> str:
    finding = entry.finding
    return ": ".join(part for part in (finding.asked, finding.got, finding.cause) if part)
