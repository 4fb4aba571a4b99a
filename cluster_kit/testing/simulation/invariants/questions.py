"""Judges questions: each ends once, and its outcome is right about whether it ran. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cluster_kit.testing.simulation.invariants.deliveries import ApplicationRun, serial_of
from cluster_kit.testing.simulation.invariants.findings import Law


@dataclass(slots=True, eq=False)
class _Record:
    """How often a question ran, and whether the asker still has to reckon with that."""

    runs: int = 0
    may_run: bool = True


class QuestionChecker:
    """Every question of a simulation, by serial number."""

    def __init__(self, report: Callable[[ApplicationRun, Law, str], None]) -> None:
        self._report = report
        self._records: dict[int, _Record] = {}

    def ran(self, run: ApplicationRun, serial: int) -> None:
        """Record that ``run`` answers a question."""
        record = self._records.setdefault(serial, _Record())
        record.runs += 1
        if record.runs > 1:
            self._report(run, Law.QUESTIONS, f"question {serial} ran more than once")
        elif not record.may_run:
            what = f"question {serial} ran, though the asker learned that it certainly did not"
            self._report(run, Law.QUESTIONS, what)

    def ended(
        self,
        run: ApplicationRun,
        serial: int | None,
        how: str,
        *,
        ran: bool | None,
        answer: bytes | None = None,
    ) -> None:
        """Record how a question of ``run`` ended.

        Args:
            run: The asker.
            serial: Of the question; ``None`` if it is not open.
            how: What the asker learned, as text.
            ran: Whether it ran, according to that; ``None`` if it leaves that open.
            answer: The data of the answer.
        """
        if serial is None:
            self._report(run, Law.QUESTIONS, f"a question that had ended before was {how}")
            return
        record = self._records.setdefault(serial, _Record())
        record.may_run = ran is not False
        if ran is not None and ran != (record.runs > 0):
            what = f"question {serial} was {how}, and ran {record.runs} times"
            self._report(run, Law.QUESTIONS, what)
        if answer is not None and serial_of(answer) != serial:
            what = f"question {serial} was answered by the answer to another"
            self._report(run, Law.QUESTIONS, what)
