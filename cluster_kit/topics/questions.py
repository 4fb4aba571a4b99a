"""The open questions of one link, in both directions.

A question has no number in a stream, as its own end shows whether it was lost. The number of open
questions per direction is limited: further ones of ours are parked, further ones of the peer are
declined.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from cluster_kit.wire import topics as wire

MAX_OPEN = 256


class Question:
    """A question of the peer; opaque to applications."""

    __slots__ = ("link", "number")

    def __init__(self, link: int, number: int) -> None:
        self.link = link
        self.number = number


class ParkedQuestion(NamedTuple):
    """A question of ours that waits for room."""

    topic: str
    data: bytes
    patience_ms: int


class SentQuestion(NamedTuple):
    """A question of ours that is queued or sent."""

    ticket: int
    record: wire.Asked


class Questions:
    """The questions of one link.

    Attributes:
        parked: Ours that wait for room, by ticket.
        asked: Ours that are queued or sent and not answered, by number.
        open: Theirs that have not ended, by number.
    """

    def __init__(self, link: int) -> None:
        self.parked: OrderedDict[int, ParkedQuestion] = OrderedDict()
        self.asked: dict[int, SentQuestion] = {}
        self.open: dict[int, Question] = {}
        self._link = link
        self._last = 0

    @property
    def has_room(self) -> bool:
        """Whether we may ask one more question now."""
        return len(self.asked) < MAX_OPEN

    @property
    def has_room_for_theirs(self) -> bool:
        """Whether the peer may ask one more question now."""
        return len(self.open) < MAX_OPEN

    def ask(self, ticket: int, question: ParkedQuestion) -> wire.Asked:
        """Return the record of a question that is queued now."""
        self._last += 1
        record = wire.Asked(self._last, question.topic, question.patience_ms, question.data)
        self.asked[self._last] = SentQuestion(ticket, record)
        return record

    def withdraw(self, ticket: int) -> wire.Asked:
        """End a question of ours that is queued or sent; return its record."""
        number = next(number for number, sent in self.asked.items() if sent.ticket == ticket)
        return self.asked.pop(number).record

    def accept(self, number: int) -> Question:
        """Open a question of theirs, for which there is room."""
        question = self.open[number] = Question(self._link, number)
        return question

    def end(self, question: Question) -> bool:
        """End a question of theirs; return whether it was open."""
        if self.open.get(question.number) is not question:
            return False
        del self.open[question.number]
        return True
