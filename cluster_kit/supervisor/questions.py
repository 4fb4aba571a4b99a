"""What was asked of a worker and has not been answered yet."""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any

from cluster_kit.errors import ClusterKitError, CommandError
from cluster_kit.worker.messages import Reply

Answers = SimpleQueue[tuple[Any, ClusterKitError | None]]
"""Where the one answer to a question is put: a value, or why there is none. A signal handler may interrupt who waits for it."""


class Questions:
    """Every question that is noted gets one answer."""

    def __init__(self, topology: str) -> None:
        self._topology = topology
        self._open: dict[int, Answers] = {}

    def note(self, number: int, answers: Answers) -> None:
        """Remember where the answer to question ``number`` goes."""
        self._open[number] = answers

    def answered(self, reply: Reply) -> None:
        """Pass the worker's answer on."""
        if (answers := self._open.pop(reply.id, None)) is not None:
            answers.put((reply.value, reply.error))

    def lost(self, why: str) -> None:
        """Tell everybody who waits that there will be no answer."""
        for answers in self._open.values():
            answers.put((None, CommandError(f"call: topology {self._topology!r} {why}")))
        self._open.clear()
