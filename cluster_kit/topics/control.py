"""The control records of one link, which go before messages and never wait for room.

There is no queue of records. What is due is kept as state, at most once per topic or stream, and
becomes records when a payload is built. So it stays small however much happens on a slow link.
"""

from __future__ import annotations

from collections.abc import Iterator

from cluster_kit.abc import MAX_PAYLOAD_BYTES
from cluster_kit.topics.incoming import IncomingStream, LocalTopics
from cluster_kit.topics.lanes import RECEIVED_STEP_BYTES
from cluster_kit.wire import topics as wire

_MAX_RECORD_BYTES = wire.RECORD_BYTES + wire.MAX_TOPIC_BYTES + wire.INTEREST_BYTES
_PIECE_TOPICS = 128


class Control:
    """The control records that are due on one link.

    Attributes:
        epoch: That of our numbers, for ``Opening``; ``None`` until the peer's run is known.
        peer_has_opened: Whether the peer has said which epoch its numbers are of. Credit for them
            makes sense only then.
        must_open: Whether to send ``Opening`` even if nothing else is due, as the peer listens.
    """

    def __init__(self, run: bytes, topics: LocalTopics) -> None:
        self.epoch: int | None = None
        self.peer_has_opened = False
        self.must_open = False
        self._run = run
        self._topics = topics
        self._opened = False
        self._epoch_sent = False
        self._interests: list[dict[str, wire.Interest]] = []  # in pieces
        self._changes: dict[str, None] = {}  # topics
        self._missed: list[wire.Missed] = []
        self._credit: dict[IncomingStream, None] = {}
        self._syncs: dict[int, int] = {}  # tickets of those without an answer, by number
        self._last_sync = self._sent_sync = 0
        self._synced: int | None = None
        self._received = 0
        self._announced = 0

    # -- what is due -------------------------------------------------------------------------------

    def announce_interests(self) -> None:
        """Replace the interests in our greeting, which is out of date, by the current ones."""
        topics = [(topic, each.advertised) for topic, each in self._topics.by_name.items()]
        starts = range(0, max(1, len(topics)), _PIECE_TOPICS)  # if there are none, an empty piece
        self._interests = [dict(topics[start : start + _PIECE_TOPICS]) for start in starts]
        self._changes.clear()

    def announce_interest(self, topic: str) -> None:
        """Announce our current interest in one topic, or that it has ended."""
        self._changes[topic] = None

    def announce_missed(self, missed: list[wire.Missed]) -> None:
        """Announce the last number of each stream, before anything else is sent on it."""
        self._missed = missed

    def give_credit(self, stream: IncomingStream) -> None:
        """Give the sender of a stream credit for what has been read of it."""
        self._credit[stream] = None

    def drop_credit(self) -> None:
        """Drop all pending credit: the sender's numbers have restarted."""
        self._credit.clear()

    def sync(self, ticket: int) -> None:
        """Ask the peer to confirm that it has processed all earlier records."""
        self._last_sync += 1
        self._syncs[self._last_sync] = ticket

    def complete_syncs(self, number: int) -> list[int]:
        """Return the tickets of the syncs up to ``number``, which the peer has confirmed."""
        return [self._syncs.pop(each) for each in list(self._syncs) if each <= number]

    def answer_sync(self, number: int) -> None:
        """Confirm that all records before the peer's sync ``number`` have been processed."""
        self._synced = number

    def count_received(self, size: int) -> None:
        """Count a payload towards ``Received``."""
        self._received += size

    # -- records -----------------------------------------------------------------------------------

    @property
    def is_due(self) -> bool:
        """Whether there is a control record to send."""
        return bool(
            self._interests
            or self._changes
            or self._missed
            or (self._credit and self.peer_has_opened)
            or self._sent_sync != self._last_sync
            or self._synced is not None
            or self._received - self._announced >= RECEIVED_STEP_BYTES
            or (self.must_open and not self._epoch_sent)
        )

    def open(self, records: list[wire.Record]) -> int:
        """Append ``Opening`` if it is due; return the bytes that it takes."""
        if self._epoch_sent or (self._opened and self.epoch is None):
            return 0
        self._opened, self._epoch_sent = True, self.epoch is not None
        records.append(wire.Opening(self._run, self.epoch))
        return 2 * wire.RECORD_BYTES

    def fill(self, records: list[wire.Record], used: int) -> int:
        """Append what is due to ``records``; take and return the payload's bytes in use."""
        while self._interests:
            size = _size_of(self._interests[0])
            if used + size >= MAX_PAYLOAD_BYTES - wire.ARRAY_BYTES:
                return used
            piece = self._interests.pop(0)
            records.append(wire.Interests(piece, not self._interests))
            used += size
        for record in self._due():
            records.append(record)
            used += _MAX_RECORD_BYTES
            if used > MAX_PAYLOAD_BYTES - _MAX_RECORD_BYTES - wire.ARRAY_BYTES:
                break
        return used

    def _due(self) -> Iterator[wire.Record]:
        """Yield the records that are due; each counts as sent once it is yielded."""
        while self._changes:
            topic, _ = self._changes.popitem()
            local_topic = self._topics.by_name.get(topic)
            if local_topic is None:
                yield wire.Uninterested(topic)
            else:
                yield wire.Interested(topic, local_topic.advertised)
        if self._sent_sync != self._last_sync:
            self._sent_sync = self._last_sync
            yield wire.Sync(self._last_sync)
        if self._synced is not None:
            number, self._synced = self._synced, None
            yield wire.Synced(number)
        while self._missed:
            yield self._missed.pop()
        while self._credit and self.peer_has_opened:
            stream, _ = self._credit.popitem()
            yield wire.Credit(stream.local_topic.number, stream.take_credit())
        if self._received - self._announced >= RECEIVED_STEP_BYTES:
            self._announced = self._received
            yield wire.Received(self._received)


def _size_of(piece: dict[str, wire.Interest]) -> int:
    names = sum(min(4 * len(topic), wire.MAX_TOPIC_BYTES) for topic in piece)
    return wire.RECORD_BYTES + names + wire.INTEREST_BYTES * len(piece)
