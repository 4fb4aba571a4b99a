"""Draws the conclusion from all findings about a topology, with the most likely cause. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.worker.examiner import Step


@dataclass(frozen=True, slots=True)
class SourceFinding:
    """The result of one step of the examination of ``source``."""

    source: str
    step: Step
    finding: Finding


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a topology can work, and why or why not; ``EMPTY`` means that it is alone."""

    outcome: Outcome
    sentence: str


def verdict_of(findings: Sequence[SourceFinding]) -> Verdict:
    """Return the verdict on one topology: its first failure, else whether a node was found.

    A source that finds no nodes has not failed, nor is the node alone if another source finds
    some.
    """
    of_sources = [
        each for each in findings if each.step != "node" and not _explained(each, findings)
    ]
    of_nodes = [each for each in findings if each.step == "node"]
    empty = [each for each in _with(Outcome.EMPTY, of_sources) if each.finding.cause]
    if failed := _with(Outcome.FAILED, of_sources):
        return Verdict(Outcome.FAILED, _of_source(failed[0]))
    if failed := _with(Outcome.FAILED, of_nodes):
        # a node that doesn't know where the others are can't reach them either
        earlier = [_of_source(each) for each in empty[:1]]
        count = f"{len(failed)} of {_nodes(len(of_nodes))}"
        unlinked = f"{count} cannot be linked to: {_sentence_of(failed[0])}"
        return Verdict(Outcome.FAILED, "; and ".join([*earlier, unlinked]))
    if answering := _with(Outcome.OK, of_nodes):
        return Verdict(Outcome.OK, f"{_nodes(len(answering))} can be linked to")
    if not of_nodes and any(each.step == "discovery" for each in _with(Outcome.OK, of_sources)):
        return Verdict(Outcome.OK, "nodes were found; the connector can't test them without a link")
    if empty:
        return Verdict(Outcome.EMPTY, _of_source(empty[0]))
    return Verdict(Outcome.EMPTY, "no source found another node of this cluster and group")


def _explained(failed: SourceFinding, findings: Sequence[SourceFinding]) -> bool:
    """Whether discovery failed only because its source found no nodes, as an earlier step shows."""
    if failed.step != "discovery" or failed.finding.outcome is not Outcome.FAILED:
        return False
    earlier = [
        each.finding for each in findings if each.source == failed.source and each.step == "source"
    ]
    return any(finding.outcome is Outcome.EMPTY and finding.cause for finding in earlier)


def _nodes(count: int) -> str:
    return f"{count} node{'s' * (count != 1)}"


def _of_source(found: SourceFinding) -> str:
    return f"{found.step if found.step == 'connector' else found.source}: {_sentence_of(found)}"


def _with(outcome: Outcome, findings: Sequence[SourceFinding]) -> list[SourceFinding]:
    return [each for each in findings if each.finding.outcome is outcome]


def _sentence_of(found: SourceFinding) -> str:
    finding = found.finding
    return ": ".join(part for part in (finding.asked, finding.got, finding.cause) if part)
