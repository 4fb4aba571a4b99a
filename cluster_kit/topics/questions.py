"""The questions that are open on one link, at both ends.

A question has no number in a stream: whether it is lost shows by itself. At most so many are open at once in each direction;
who has more to ask waits, and who asks more all the same is declined.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from cluster_kit.wire import topics as wire

MAX_OPEN = 256


class Question:
    """A question that was asked here; to applications a handle and nothing else."""

    __slots__ = ("link", "number")

    def __init__(self, link: int, number: int) -> None:
        self.link = link
        self.number = number


class ParkedQuestion(NamedTuple):
    """A question that waits for room."""

    topic: str
    data: bytes
    patience_ms: int


class SentQuestion(NamedTuple):
    """A question that was handed over."""

    ticket: int
    record: wire.Asked


class Questions:
    """Those of one link.

    Attributes:
        parked: Of ours, those that wait for room, by ticket.
        asked: Of ours, those that were handed over, by number.
        open: Of theirs, those that aren't ended, by number.
    """

    def __init__(self, link: int) -> None:
        self.parked: OrderedDict[int, ParkedQuestion] = OrderedDict()
        self.asked: dict[int, SentQuestion] = {}
        self.open: dict[int, Question] = {}
        self._link = link
        self._last = 0

    @property
    def has_room(self) -> bool:
        """Whether one more may be asked now."""
        return len(self.asked) < MAX_OPEN

    def ask(self, ticket: int, question: ParkedQuestion) -> wire.Asked:
        """Return the record of a question that is handed over now."""
        self._last += 1
        record = wire.Asked(self._last, question.topic, question.patience_ms, question.data)
        self.asked[self._last] = SentQuestion(ticket, record)
        return record

    def number_of(self, ticket: int) -> int | None:
        """Return the number of a question that was handed over, if it is open."""
        return next((number for number, sent in self.asked.items() if sent.ticket == ticket), None)

    def accept(self, number: int) -> Question | None:
        """Take a question of theirs; ``None`` if too many are open."""
        if len(self.open) >= MAX_OPEN:
            return None
        question = self.open[number] = Question(self._link, number)
        return question

    def end(self, question: Question) -> bool:
        """End a question of theirs; return whether it was open."""
        if self.open.get(question.number) is not question:
            return False
        del self.open[question.number]
        return True
