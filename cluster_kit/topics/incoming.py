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

MAX_UNTOLD = 1024  # messages that are read, and whose sender doesn't know, however wide the window is

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


class Heed:
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
    def told(self) -> wire.Interest:
        """What peers are told of it."""
        interest = self.interest
        return wire.Interest(self.number, interest.messages, interest.bytes, interest.answers)


class Heeds:
    """All topics that this application listens to."""

    def __init__(self) -> None:
        self.by_topic: dict[str, Heed] = {}
        self.by_number: dict[int, Heed] = {}
        self._beginnings = 0

    def set(self, topic: str, interest: Interest | None) -> Heed | None:
        """Listen to ``topic`` so from now on, or not; return what has ended with that, if its streams have."""
        heed = self.by_topic.get(topic)
        if heed is not None and interest is not None and (interest.messages > 0 or heed.interest.messages == 0):
            heed.interest = interest
            heed.most = max(heed.most, interest.messages)
            return None
        if heed is not None:
            del self.by_topic[topic], self.by_number[heed.number]
        if interest is not None:
            self._beginnings += 1
            self.by_topic[topic] = self.by_number[self._beginnings] = Heed(topic, interest, self._beginnings)
        return heed


class Stream:
    """One topic of one sender, while it is listened to; to applications a handle and nothing else.

    Attributes:
        last: Where it has come to.
        is_covered: Whether whatever is missing behind ``last`` was told already.
    """

    __slots__ = ("_bytes", "_gap_read", "_read", "_told", "_unread", "heed", "is_covered", "last", "owner", "topic")

    def __init__(self, owner: Incoming, heed: Heed) -> None:
        self.owner = owner
        self.topic = heed.topic
        self.heed = heed
        self.last = 0
        self.is_covered = False
        self._unread: deque[tuple[int, int]] = deque()
        self._read = 0  # everything up to there is read, or lost
        self._told = 0  # as far as the sender knows
        self._bytes = 0  # that were read since
        self._gap_read = False

    @property
    def is_full(self) -> bool:
        """Whether more was sent than there ever was room for: nothing that an honest sender does."""
        return len(self._unread) >= 2 * self.heed.most  # with a gap before each message

    def arrive(self, number: int, size: int) -> None:
        """Take the message ``number``, behind ``last``."""
        self.last = number
        self.is_covered = False
        self._unread.append((number, size))

    def lose(self, number: int) -> None:
        """Take everything up to ``number`` for lost; the application is told of it."""
        self.last = number
        self.is_covered = False
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
        self.is_covered = False
        self._settle()

    def take(self, number: int) -> None:
        """The application has read everything up to ``number``."""
        unread = self._unread
        while unread and unread[0][0] <= number:
            self._read, size = unread.popleft()
            if size == _GAP:
                self._gap_read = True
            else:
                self._bytes += size
        self._settle()

    def _settle(self) -> None:
        if not self._unread:
            self._read = self.last

    @property
    def is_owed(self) -> bool:
        """Whether the sender doesn't know of all that is read."""
        return self._read > self._told

    def doubt_told(self) -> None:
        """What the sender was told may have been lost with a link."""
        self._told = 0

    def is_due(self, max_message_bytes: int) -> bool:
        """Whether the sender must know now, lest it waits for room that is there."""
        window = self.heed.interest
        messages, size = self._read - self._told, self._bytes
        if messages <= 0:
            return False
        return (
            self._gap_read  # what was lost took room as well; only the sender knows how much
            or messages >= MAX_UNTOLD
            or messages * 4 >= window.messages
            or size * 4 >= window.bytes
            or size > window.bytes - max_message_bytes
        )

    def tell(self) -> int:
        """Return up to where everything is read, and assume that the sender knows."""
        self._told = self._read
        self._bytes = 0
        self._gap_read = False
        return self._read


class Incoming:
    """All streams of one sender's application.

    Attributes:
        streams: Those that something was said on, by number.
        line: Which of its counts they belong to, once it has told.
        is_vague: Whether this application may have heard it before, and forgotten.
    """

    def __init__(self, heeds: Heeds, *, is_vague: bool) -> None:
        self.streams: dict[int, Stream] = {}
        self.line: int | None = None
        self.is_vague = is_vague
        self._heeds = heeds

    def stream(self, number: int) -> Stream | None:
        """Return the stream of that number, ``None`` if it isn't listened to."""
        stream = self.streams.get(number)
        if stream is None and (heed := self._heeds.by_number.get(number)) is not None:
            stream = self.streams[number] = Stream(self, heed)
        return stream

    def lost_before(self, stream: Stream, number: int) -> int | None:
        """Return how many are missing between the stream's last and ``number``; ``None`` if they can't be counted."""
        if stream.is_covered:
            return 0
        if self.is_vague and stream.last == 0 and number > 1:
            return None
        return number - 1 - stream.last

    def give_up(self) -> list[Stream]:
        """Return the streams that may miss what nobody can count, and go on as if that was told."""
        listened = [number for number, heed in self._heeds.by_number.items() if heed.interest.messages > 0]
        doubtful = [stream for number in listened if (stream := self.stream(number)) is not None and not stream.is_covered]
        for stream in doubtful:
            stream.is_covered = True
        return doubtful

    def compact(self) -> None:
        """Take little memory, as the sender is away for long."""
        for stream in self.streams.values():
            stream.compact()

    def begin_line(self, line: int) -> None:
        """Forget all streams: the sender counts anew."""
        self.streams.clear()
        self.is_vague = self.is_vague and self.line is None
        self.line = line
