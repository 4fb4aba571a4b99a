"""What is said on a link besides messages, questions and answers. It goes first, and never waits for room.

Nothing here is queued as often as it is due: it is kept what is to be said, by topic, and made into records when a payload is
made. So it stays small however much happens while the link is slow.
"""

from __future__ import annotations

from collections.abc import Iterator

from cluster_kit.abc import MAX_PAYLOAD_BYTES
from cluster_kit.topics.incoming import Heeds, Stream
from cluster_kit.topics.lanes import HEARD_STEP_BYTES
from cluster_kit.wire import topics as wire

_MAX_RECORD_BYTES = wire.RECORD_BYTES + wire.MAX_TOPIC_BYTES + wire.INTEREST_BYTES
_PIECE_TOPICS = 128


class Control:
    """All of that for one link.

    Attributes:
        line: The one to open with; ``None`` until it is known whose run the peer is.
        may_tell: Whether the peer has said which line its numbers are of, so that it can be told what of it was read.
        must_open: Whether the peer wants to know the line, though there may be nothing else to say.
    """

    def __init__(self, run: bytes, heeds: Heeds) -> None:
        self.line: int | None = None
        self.may_tell = False
        self.must_open = False
        self._run = run
        self._heeds = heeds
        self._opened = False
        self._line_told = False
        self._interests: list[dict[str, wire.Interest]] = []  # pieces of all of them
        self._changes: dict[str, None] = {}  # topics
        self._missed: list[wire.Missed] = []
        self._read: dict[Stream, None] = {}
        self._syncs: dict[int, int] = {}  # the tickets of those that aren't answered, by number
        self._last_sync = self._told_sync = 0
        self._synced: int | None = None
        self._arrived = 0
        self._told_arrived = 0

    # -- what is to be said ----------------------------------------------------------------------------------------------------

    def tell_interests(self) -> None:
        """Say all that is listened to now, as the peer was told otherwise."""
        topics = list(self._heeds.by_topic.items())
        pieces = [topics[start : start + _PIECE_TOPICS] for start in range(0, len(topics), _PIECE_TOPICS)] or [[]]
        self._interests = [{topic: heed.told for topic, heed in piece} for piece in pieces]
        self._changes.clear()

    def tell_interest(self, topic: str) -> None:
        """Say how one topic is listened to."""
        self._changes[topic] = None

    def tell_missed(self, missed: list[wire.Missed]) -> None:
        """Say where streams go on, before anything else is said on them."""
        self._missed = missed

    def tell_read(self, stream: Stream) -> None:
        """Say up to where a stream is read."""
        self._read[stream] = None

    def forget_read(self) -> None:
        """Say nothing of streams that were read: the peer counts anew."""
        self._read.clear()

    def sync(self, ticket: int) -> None:
        """Have the peer say when it has heard all that is said here before."""
        self._last_sync += 1
        self._syncs[self._last_sync] = ticket

    def end_syncs(self, number: int) -> list[int]:
        """The peer has heard all before that number; return the tickets of those who wait for that."""
        return [self._syncs.pop(each) for each in list(self._syncs) if each <= number]

    def synced(self, number: int) -> None:
        """Say that what the peer had said before that number has been heard."""
        self._synced = number

    def arrived(self, size: int) -> None:
        """A payload has arrived."""
        self._arrived += size

    # -- saying it -------------------------------------------------------------------------------------------------------------

    @property
    def is_due(self) -> bool:
        """Whether there is anything to say."""
        return bool(
            self._interests
            or self._changes
            or self._missed
            or (self._read and self.may_tell)
            or self._told_sync != self._last_sync
            or self._synced is not None
            or self._arrived - self._told_arrived >= HEARD_STEP_BYTES
            or (self.must_open and not self._line_told)
        )

    def open(self, records: list[wire.Record]) -> int:
        """Say who this is, if that is not said; return the bytes it takes."""
        if self._line_told or (self._opened and self.line is None):
            return 0
        self._opened, self._line_told = True, self.line is not None
        records.append(wire.Opening(self._run, self.line))
        return 2 * wire.RECORD_BYTES

    def fill(self, records: list[wire.Record], used: int) -> int:
        """Add what is to be said to ``records``, which take ``used`` bytes of a payload; return the bytes used then."""
        while self._interests and used < MAX_PAYLOAD_BYTES - wire.ARRAY_BYTES - _size_of(self._interests[0]):
            piece = self._interests.pop(0)
            records.append(wire.Interests(piece, not self._interests))
            used += _size_of(piece)
        if self._interests:
            return used
        for record in self._due():
            records.append(record)
            used += _MAX_RECORD_BYTES
            if used > MAX_PAYLOAD_BYTES - _MAX_RECORD_BYTES - wire.ARRAY_BYTES:
                break
        return used

    def _due(self) -> Iterator[wire.Record]:
        """Yield what is to be said; each record counts as said when it is yielded."""
        while self._changes:
            topic, _ = self._changes.popitem()
            heed = self._heeds.by_topic.get(topic)
            yield wire.Uninterested(topic) if heed is None else wire.Interested(topic, heed.told)
        if self._told_sync != self._last_sync:
            self._told_sync = self._last_sync
            yield wire.Sync(self._last_sync)
        if self._synced is not None:
            number, self._synced = self._synced, None
            yield wire.Synced(number)
        while self._missed:
            yield self._missed.pop()
        while self._read and self.may_tell:
            stream, _ = self._read.popitem()
            yield wire.Taken(stream.heed.number, stream.tell())
        if self._arrived - self._told_arrived >= HEARD_STEP_BYTES:
            self._told_arrived = self._arrived
            yield wire.Heard(self._arrived)


def _size_of(piece: dict[str, wire.Interest]) -> int:
    return wire.RECORD_BYTES + sum(min(4 * len(topic), wire.MAX_TOPIC_BYTES) + wire.INTEREST_BYTES for topic in piece)
