"""The receiving end of streams: what has arrived, what is missing, what credit the sender gets.

A stream starts at number 1 each time its topic is listened to anew. ``last`` is the number up to
which every message has arrived or is known to be lost, so a later number shows how many are missing
in between. After an uncountable loss has been reported, the next number that arrives only says
where the stream is now: the numbers skipped before it are part of the reported loss.

Credit for what has been read is not given per message. It is given as soon as less than three
quarters of the window are left, or too little for the longest message; the rest at the next tick.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from cluster_kit.wire import topics as wire

MAX_UNCREDITED = 1024  # messages read without credit given, however wide the window is

_GAP = -1  # in the place of a message's size; the sender gets credit as soon as it is read


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalInterest:
    """What this application wants of one topic.

    Attributes:
        messages: How many messages of each sender may be outstanding; 0 if it doesn't listen.
        bytes: The same for their data. A longer message passes if nothing else is outstanding.
        answers: Whether it answers questions.
    """

    messages: int
    bytes: int
    answers: bool = False


class LocalTopic:
    """One topic that this application listens to.

    Attributes:
        interest: The current one.
        number: The stream number that senders use.
        most: The largest window that was ever granted on it, in messages.
    """

    __slots__ = ("interest", "most", "number", "topic")

    def __init__(self, topic: str, interest: LocalInterest, number: int) -> None:
        self.topic = topic
        self.interest = interest
        self.number = number
        self.most = interest.messages

    @property
    def advertised(self) -> wire.Interest:
        """What peers learn of it."""
        interest = self.interest
        return wire.Interest(self.number, interest.messages, interest.bytes, interest.answers)


class LocalTopics:
    """All topics that this application listens to."""

    def __init__(self) -> None:
        self.by_name: dict[str, LocalTopic] = {}
        self.by_number: dict[int, LocalTopic] = {}
        self._last_number = 0

    def set(self, topic: str, interest: LocalInterest | None) -> LocalTopic | None:
        """Begin, change or end listening; return the topic whose streams have ended, if any."""
        local_topic = self.by_name.get(topic)
        if local_topic is not None:
            if interest is not None and interest.messages > 0:
                local_topic.interest = interest
                local_topic.most = max(local_topic.most, interest.messages)
                return None
            del self.by_name[topic], self.by_number[local_topic.number]
        if interest is not None:
            self._last_number += 1
            begun = LocalTopic(topic, interest, self._last_number)
            self.by_name[topic] = self.by_number[begun.number] = begun
        return local_topic


class IncomingStream:
    """One topic of one sender, while this application listens; opaque to applications.

    Attributes:
        last: The number up to which everything has arrived or is lost.
        loss_reported: Whether a loss directly after ``last`` has been reported already.
    """

    __slots__ = (
        "_credited",
        "_gap_read",
        "_read",
        "_read_bytes",
        "_unread",
        "last",
        "local_topic",
        "loss_reported",
        "owner",
        "topic",
    )

    def __init__(self, owner: IncomingStreams, local_topic: LocalTopic) -> None:
        self.owner = owner
        self.topic = local_topic.topic
        self.local_topic = local_topic
        self.last = 0
        self.loss_reported = False
        self._unread: deque[tuple[int, int]] = deque()
        self._read = 0  # everything up to this number is read, or lost
        self._credited = 0  # the same, as far as the sender knows
        self._read_bytes = 0  # since credit was last given
        self._gap_read = False

    @property
    def is_full(self) -> bool:
        """Whether the sender has exceeded every window ever granted, which no honest one does."""
        return len(self._unread) >= 2 * self.local_topic.most  # a gap may precede each message

    def record_arrival(self, number: int, size: int) -> None:
        """Note that message ``number``, which is after ``last``, has arrived."""
        self.last = number
        self.loss_reported = False
        self._unread.append((number, size))

    def record_loss(self, number: int) -> None:
        """Note that everything up to ``number`` is lost; the application has to read that, too."""
        self.last = number
        if self._unread and self._unread[-1][1] == _GAP:
            self._unread.pop()  # adjacent gaps are one
        self._unread.append((number, _GAP))

    def compact(self) -> None:
        """Shrink to one entry, as the sender may be away for long: credit is then all or none."""
        if self._unread:
            self._unread = deque([(self._unread[-1][0], _GAP)])

    def skip(self, number: int) -> None:
        """Move ``last`` to ``number``; the application gets nothing to read for it."""
        self.last = number
        self.loss_reported = False
        self._settle()

    def mark_read(self, number: int) -> None:
        """Note that the application has read everything up to ``number``."""
        unread = self._unread
        while unread and unread[0][0] <= number:
            self._read, size = unread.popleft()
            if size == _GAP:
                self._gap_read = True
            else:
                self._read_bytes += size
        self._settle()

    def _settle(self) -> None:
        if not self._unread:
            self._read = self.last

    @property
    def owes_credit(self) -> bool:
        """Whether more has been read than the sender knows."""
        return self._read > self._credited

    def resend_credit(self) -> None:
        """Give all credit again, as the last of it may be lost with a link."""
        self._credited = 0

    def is_credit_due(self, max_message_bytes: int) -> bool:
        """Whether the sender must get credit now, lest it stalls although there is room."""
        window = self.local_topic.interest
        messages, size = self._read - self._credited, self._read_bytes
        if messages <= 0:
            return False
        return (
            self._gap_read  # lost messages took room as well, and only the sender knows how much
            or messages >= MAX_UNCREDITED
            or messages * 4 >= window.messages
            or size * 4 >= window.bytes
            or size > window.bytes - max_message_bytes
        )

    def take_credit(self) -> int:
        """Return up to where everything is read; the sender is assumed to know from now on."""
        self._credited = self._read
        self._read_bytes = 0
        self._gap_read = False
        return self._read


class PartialRecord:
    """A record that is arriving in fragments; of one that is too long, only the head is kept."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.size = 0

    def add(self, fragment: bytes, most: int) -> None:
        """Append ``fragment`` to a record of up to ``most`` bytes."""
        self.size += len(fragment)
        kept = most if self.size <= most else wire.HEAD_BYTES
        if len(self.body) < kept:
            self.body += fragment
        del self.body[kept:]

    @property
    def is_whole(self) -> bool:
        """Whether nothing of it was dropped."""
        return len(self.body) == self.size


class IncomingStreams:
    """All streams of one sender's application.

    Attributes:
        streams: Those on which a record has arrived, by stream number.
        epoch: The epoch of their numbers; ``None`` until the sender has opened.
        history_may_be_lost: Whether this application may have known the sender before, and
            forgotten it, so that skipped numbers at the start of a stream can't be counted.
    """

    def __init__(self, topics: LocalTopics, *, history_may_be_lost: bool) -> None:
        self.streams: dict[int, IncomingStream] = {}
        self.epoch: int | None = None
        self.history_may_be_lost = history_may_be_lost
        self._topics = topics

    def stream(self, number: int) -> IncomingStream | None:
        """Return the stream of that number, ``None`` if it isn't listened to."""
        stream = self.streams.get(number)
        if stream is None and (local_topic := self._topics.by_number.get(number)) is not None:
            stream = self.streams[number] = IncomingStream(self, local_topic)
        return stream

    def lost_before(self, stream: IncomingStream, number: int) -> int | None:
        """Return how many messages before ``number`` are missing; ``None`` if unknown."""
        if stream.loss_reported:
            return 0
        if self.history_may_be_lost and stream.last == 0 and number > 1:
            return None
        return number - 1 - stream.last

    def doubtful_streams(self) -> list[IncomingStream]:
        """Return the streams that may have lost messages, and mark that as reported."""
        doubtful = []
        for number, local_topic in self._topics.by_number.items():
            stream = self.stream(number) if local_topic.interest.messages > 0 else None
            if stream is not None and not stream.loss_reported:
                stream.loss_reported = True
                doubtful.append(stream)
        return doubtful

    def compact(self) -> None:
        """Reduce memory, as the sender may be away for long."""
        for stream in self.streams.values():
            stream.compact()

    def begin_epoch(self, epoch: int) -> None:
        """Drop all streams: the sender's numbers have restarted."""
        self.streams.clear()
        self.history_may_be_lost = self.history_may_be_lost and self.epoch is None
        self.epoch = epoch
