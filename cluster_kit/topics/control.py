"""What is said on a link besides messages, questions and answers. It goes first, and never waits for room.

Nothing here is queued as often as it is due: it is kept what is to be said, by topic, and made into records when a payload is
made. So it stays small however much happens while the link is slow.
"""

from __future__ import annotations

from collections.abc import Iterator

from cluster_kit.abc import MAX_PAYLOAD_BYTES
from cluster_kit.topics.incoming import Endpoints, IncomingStream
from cluster_kit.topics.lanes import HEARD_STEP_BYTES
from cluster_kit.wire import topics as wire

_MAX_RECORD_BYTES = wire.RECORD_BYTES + wire.MAX_TOPIC_BYTES + wire.INTEREST_BYTES
_PIECE_TOPICS = 128


class Control:
    """All of that for one link.

    Attributes:
        epoch: The one to open with; ``None`` until it is known whose run the peer is.
        peer_has_opened: Whether the peer has said which epoch its numbers are of, so that it can be told what of it was read.
        must_open: Whether the peer wants to know the epoch, though there may be nothing else to say.
    """

    def __init__(self, run: bytes, endpoints: Endpoints) -> None:
        self.epoch: int | None = None
        self.peer_has_opened = False
        self.must_open = False
        self._run = run
        self._endpoints = endpoints
        self._opened = False
        self._epoch_sent = False
        self._interests: list[dict[str, wire.Interest]] = []  # pieces of all of them
        self._changes: dict[str, None] = {}  # topics
        self._missed: list[wire.Missed] = []
        self._credit: dict[IncomingStream, None] = {}
        self._syncs: dict[int, int] = {}  # the tickets of those that aren't answered, by number
        self._last_sync = self._sent_sync = 0
        self._synced: int | None = None
        self._received = 0
        self._announced = 0

    # -- what is to be said ----------------------------------------------------------------------------------------------------

    def announce_interests(self) -> None:
        """Say all that is listened to now, as the peer was told otherwise."""
        topics = list(self._endpoints.by_topic.items())
        pieces = [topics[start : start + _PIECE_TOPICS] for start in range(0, len(topics), _PIECE_TOPICS)] or [[]]
        self._interests = [{topic: endpoint.advertised for topic, endpoint in piece} for piece in pieces]
        self._changes.clear()

    def announce_interest(self, topic: str) -> None:
        """Say how one topic is listened to."""
        self._changes[topic] = None

    def announce_missed(self, missed: list[wire.Missed]) -> None:
        """Say where streams go on, before anything else is said on them."""
        self._missed = missed

    def give_credit(self, stream: IncomingStream) -> None:
        """Say up to where a stream is read."""
        self._credit[stream] = None

    def drop_credit(self) -> None:
        """Say nothing of streams that were read: the peer counts anew."""
        self._credit.clear()

    def sync(self, ticket: int) -> None:
        """Have the peer say when it has heard all that is said here before."""
        self._last_sync += 1
        self._syncs[self._last_sync] = ticket

    def complete_syncs(self, number: int) -> list[int]:
        """The peer has heard all before that number; return the tickets of those who wait for that."""
        return [self._syncs.pop(each) for each in list(self._syncs) if each <= number]

    def answer_sync(self, number: int) -> None:
        """Say that what the peer had said before that number has been heard."""
        self._synced = number

    def count_received(self, size: int) -> None:
        """A payload has arrived."""
        self._received += size

    # -- saying it -------------------------------------------------------------------------------------------------------------

    @property
    def is_due(self) -> bool:
        """Whether there is anything to say."""
        return bool(
            self._interests
            or self._changes
            or self._missed
            or (self._credit and self.peer_has_opened)
            or self._sent_sync != self._last_sync
            or self._synced is not None
            or self._received - self._announced >= HEARD_STEP_BYTES
            or (self.must_open and not self._epoch_sent)
        )

    def open(self, records: list[wire.Record]) -> int:
        """Say who this is, if that is not said; return the bytes it takes."""
        if self._epoch_sent or (self._opened and self.epoch is None):
            return 0
        self._opened, self._epoch_sent = True, self.epoch is not None
        records.append(wire.Opening(self._run, self.epoch))
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
            endpoint = self._endpoints.by_topic.get(topic)
            yield wire.Uninterested(topic) if endpoint is None else wire.Interested(topic, endpoint.advertised)
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
            yield wire.Taken(stream.endpoint.number, stream.take_credit())
        if self._received - self._announced >= HEARD_STEP_BYTES:
            self._announced = self._received
            yield wire.Heard(self._received)


def _size_of(piece: dict[str, wire.Interest]) -> int:
    return wire.RECORD_BYTES + sum(min(4 * len(topic), wire.MAX_TOPIC_BYTES) + wire.INTEREST_BYTES for topic in piece)
