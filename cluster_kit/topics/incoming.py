"""What one sender's application says: where each of its streams has come to, what is missing, and what is owed to it.

A stream begins with 1 each time that its topic is listened to anew, and ends at ``last``: up to there, every number has arrived
or is known to be lost. So a later number tells how many are missing in between. After a loss that nobody could count was told,
the next number that comes tells where the stream is, and nothing else: what is missing up to there is covered.

What is read has to be told to the sender, who has no room else, but not each message by itself. It is told as soon as less than
three quarters of the window are left, or too little for the longest message; the rest at the next tick.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from cluster_kit.wire import topics as wire

MAX_UNCREDITED = 1024  # messages that are read, and whose sender doesn't know, however wide the window is

_GAP = -1  # in place of a size


@dataclass(frozen=True, slots=True, kw_only=True)
class Interest:
    """What this application wants of one topic.

    Attributes:
        messages: How many it takes in before it has read them, from each sender; 0 if it doesn't listen.
        bytes: The same of their data. One message that is longer passes where nothing else waits.
        answers: Whether it answers questions.
    """

    messages: int
    bytes: int
    answers: bool = False


class Endpoint:
    """One topic that this application listens to.

    Attributes:
        interest: As of now.
        number: By which senders name their streams of it.
        most: How many messages of one stream a sender may have been given room for.
    """

    __slots__ = ("interest", "most", "number", "topic")

    def __init__(self, topic: str, interest: Interest, number: int) -> None:
        self.topic = topic
        self.interest = interest
        self.number = number
        self.most = interest.messages

    @property
    def advertised(self) -> wire.Interest:
        """What peers are told of it."""
        interest = self.interest
        return wire.Interest(self.number, interest.messages, interest.bytes, interest.answers)


class Endpoints:
    """All topics that this application listens to."""

    def __init__(self) -> None:
        self.by_topic: dict[str, Endpoint] = {}
        self.by_number: dict[int, Endpoint] = {}
        self._last_number = 0

    def set(self, topic: str, interest: Interest | None) -> Endpoint | None:
        """Listen to ``topic`` so from now on, or not; return what has ended with that, if its streams have."""
        endpoint = self.by_topic.get(topic)
        if endpoint is not None and interest is not None and (interest.messages > 0 or endpoint.interest.messages == 0):
            endpoint.interest = interest
            endpoint.most = max(endpoint.most, interest.messages)
            return None
        if endpoint is not None:
            del self.by_topic[topic], self.by_number[endpoint.number]
        if interest is not None:
            self._last_number += 1
            self.by_topic[topic] = self.by_number[self._last_number] = Endpoint(topic, interest, self._last_number)
        return endpoint


class IncomingStream:
    """One topic of one sender, while it is listened to; to applications a handle and nothing else.

    Attributes:
        last: Where it has come to.
        loss_reported: Whether whatever is missing behind ``last`` was told already.
    """

    __slots__ = (
        "_credited",
        "_gap_read",
        "_read",
        "_read_bytes",
        "_unread",
        "endpoint",
        "last",
        "loss_reported",
        "owner",
        "topic",
    )

    def __init__(self, owner: IncomingStreams, endpoint: Endpoint) -> None:
        self.owner = owner
        self.topic = endpoint.topic
        self.endpoint = endpoint
        self.last = 0
        self.loss_reported = False
        self._unread: deque[tuple[int, int]] = deque()
        self._read = 0  # everything up to there is read, or lost
        self._credited = 0  # as far as the sender knows
        self._read_bytes = 0  # that were read since
        self._gap_read = False

    @property
    def is_full(self) -> bool:
        """Whether more was sent than there ever was room for: nothing that an honest sender does."""
        return len(self._unread) >= 2 * self.endpoint.most  # with a gap before each message

    def record_arrival(self, number: int, size: int) -> None:
        """Take the message ``number``, behind ``last``."""
        self.last = number
        self.loss_reported = False
        self._unread.append((number, size))

    def record_loss(self, number: int) -> None:
        """Take everything up to ``number`` for lost; the application is told of it."""
        self.last = number
        self.loss_reported = False
        if self._unread and self._unread[-1][1] == _GAP:
            self._unread.pop()  # gaps without a message in between are one
        self._unread.append((number, _GAP))

    def compact(self) -> None:
        """Take no more memory than a number, as the sender is away for long: it is told once all of this is read."""
        if len(self._unread) > 1:
            self._gap_read = self._gap_read or any(size == _GAP for _, size in self._unread)
            size = sum(size for _, size in self._unread if size != _GAP)
            self._unread = deque([(self._unread[-1][0], size)])

    def skip(self, number: int) -> None:
        """Go on behind ``number``; the application has no need to know."""
        self.last = max(self.last, number)
        self.loss_reported = False
        self._settle()

    def mark_read(self, number: int) -> None:
        """The application has read everything up to ``number``."""
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
        """Whether the sender doesn't know of all that is read."""
        return self._read > self._credited

    def resend_credit(self) -> None:
        """What the sender was told may have been lost with a link."""
        self._credited = 0

    def is_credit_due(self, max_message_bytes: int) -> bool:
        """Whether the sender must know now, lest it waits for room that is there."""
        window = self.endpoint.interest
        messages, size = self._read - self._credited, self._read_bytes
        if messages <= 0:
            return False
        return (
            self._gap_read  # what was lost took room as well; only the sender knows how much
            or messages >= MAX_UNCREDITED
            or messages * 4 >= window.messages
            or size * 4 >= window.bytes
            or size > window.bytes - max_message_bytes
        )

    def take_credit(self) -> int:
        """Return up to where everything is read, and assume that the sender knows."""
        self._credited = self._read
        self._read_bytes = 0
        self._gap_read = False
        return self._read


class IncomingStreams:
    """All streams of one sender's application.

    Attributes:
        streams: Those that something was said on, by number.
        epoch: Which of its counts they belong to, once it has told.
        history_may_be_lost: Whether this application may have heard it before, and forgotten.
    """

    def __init__(self, endpoints: Endpoints, *, history_may_be_lost: bool) -> None:
        self.streams: dict[int, IncomingStream] = {}
        self.epoch: int | None = None
        self.history_may_be_lost = history_may_be_lost
        self._endpoints = endpoints

    def stream(self, number: int) -> IncomingStream | None:
        """Return the stream of that number, ``None`` if it isn't listened to."""
        stream = self.streams.get(number)
        if stream is None and (endpoint := self._endpoints.by_number.get(number)) is not None:
            stream = self.streams[number] = IncomingStream(self, endpoint)
        return stream

    def lost_before(self, stream: IncomingStream, number: int) -> int | None:
        """Return how many are missing between the stream's last and ``number``; ``None`` if they can't be counted."""
        if stream.loss_reported:
            return 0
        if self.history_may_be_lost and stream.last == 0 and number > 1:
            return None
        return number - 1 - stream.last

    def doubtful_streams(self) -> list[IncomingStream]:
        """Return the streams that may miss what nobody can count, and go on as if that was told."""
        listened = [number for number, endpoint in self._endpoints.by_number.items() if endpoint.interest.messages > 0]
        doubtful = [stream for number in listened if (stream := self.stream(number)) is not None and not stream.loss_reported]
        for stream in doubtful:
            stream.loss_reported = True
        return doubtful

    def compact(self) -> None:
        """Take little memory, as the sender is away for long."""
        for stream in self.streams.values():
            stream.compact()

    def begin_epoch(self, epoch: int) -> None:
        """Forget all streams: the sender counts anew."""
        self.streams.clear()
        self.history_may_be_lost = self.history_may_be_lost and self.epoch is None
        self.epoch = epoch
