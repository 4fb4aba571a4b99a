"""The lines of ``cluster-kit watch``, including supervisors that ended recently. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from cluster_kit.cli.status_lines import status_lines, summary
from cluster_kit.cli.supervisors import Answers, no_answer
from cluster_kit.cli.text import duration, printable

ENDED_S = 60.0  # for how long a supervisor that has ended is shown


class StatusHistory:
    """Remembers which supervisors answered before."""

    def __init__(self) -> None:
        self._running: dict[int, str] = {}
        self._ended: dict[int, tuple[str, float]] = {}

    def lines(self, answers: Answers, now_s: float) -> list[str]:
        """Return a summary, an empty line, and a paragraph for each supervisor."""
        self._update(answers, now_s)
        parts = [status_lines(report) for report in answers.reports]
        parts += [printable(no_answer(pid, self._running.get(pid))) for pid in answers.unresponsive]
        parts += self._departures(now_s)
        return [summary(answers.reports), "", *"\n\n".join(parts).split("\n")]

    def _update(self, answers: Answers, now_s: float) -> None:
        running = {report["pid"]: report["node"] for report in answers.reports}
        for pid in self._running.keys() - running.keys() - set(answers.unresponsive):
            self._ended[pid] = (self._running.pop(pid), now_s)
        self._running |= running
        self._ended = {
            pid: (node, at_s)
            for pid, (node, at_s) in self._ended.items()
            if pid not in running and now_s - at_s < ENDED_S
        }

    def _departures(self, now_s: float) -> Iterator[str]:
        for pid, (node, at_s) in self._ended.items():
            yield printable(f"{node}: process {pid} ended {duration(now_s - at_s)} ago")
