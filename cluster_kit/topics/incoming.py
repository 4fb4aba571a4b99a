"""What one sender's application says: where each of its streams has come to, what is missing, and what is owed to it.

A stream ends at ``last``: up to there, every number has arrived or is known to be lost. It is exact if what follows can be
counted from there, so that a later number tells how many are missing in between. It is not exact

- where the topic was listened to when the sender had begun already: what came before was not wanted,
- after a loss that nobody could count was told: then all that is missing is covered by it.

In both, what comes first says where the stream is, and makes it exact.

What is read has to be told to the sender, who has no room else, but not each message by itself. It is told as soon as less than
three quarters of the window are left, or too little for the longest message; the rest at the next tick.
"""

from __future__ import annotations

from collections import deque

from cluster_kit.wire.topics import Interest

_GAP = -1  # in place of a size


class Heed:
    """One topic that this application listens to.

    Attributes:
        interest: As of now.
        since: When it began, counted in beginnings.
        most: How many messages of one stream a sender may have been given room for.
    """

    __slots__ = ("interest", "most", "since")

    def __init__(self, interest: Interest, since: int) -> None:
        self.interest = interest
        self.since = since
        self.most = interest.messages

    def change(self, interest: Interest) -> None:
        """Listen otherwise from now on."""
        self.interest = interest
        self.most = max(self.most, interest.messages)


class Heeds:
    """All topics that this application listens to."""

    def __init__(self) -> None:
        self.by_topic: dict[str, Heed] = {}
        self.beginnings = 0

    def begin(self, topic: str, interest: Interest) -> None:
        """Listen to ``topic``, which isn't listened to."""
        self.beginnings += 1
        self.by_topic[topic] = Heed(interest, self.beginnings)


class Stream:
    """One topic of one sender, while it is listened to; to applications a handle and nothing else.

    Attributes:
        last: Where it has come to.
        is_exact: Whether what is missing behind ``last`` can be counted.
    """

    __slots__ = ("_bytes", "_gap_read", "_read", "_told", "_unread", "heed", "is_exact", "last", "owner", "topic")

    def __init__(self, owner: Incoming, topic: str, heed: Heed, *, is_exact: bool) -> None:
        self.owner = owner
        self.topic = topic
        self.heed = heed
        self.last = 0
        self.is_exact = is_exact
        self._unread: deque[tuple[int, int]] = deque()
        self._read = 0  # everything up to there is read, or lost
        self._told = 0  # as far as the sender knows
        self._bytes = 0  # that were read since
        self._gap_read = False

    @property
    def is_full(self) -> bool:
        """Whether more was sent than there ever was room for: nothing that an honest sender does."""
        return len(self._unread) > 2 * self.heed.most  # with a gap before each message

    def arrive(self, number: int, size: int) -> None:
        """Take the message ``number``, behind ``last``."""
        self.last = number
        self.is_exact = True
        self._unread.append((number, size))

    def lose(self, number: int) -> None:
        """Take everything up to ``number`` for lost; the application is told of it."""
        self.last = number
        self.is_exact = True
        if self._unread and self._unread[-1][1] == _GAP:
            self._unread.pop()  # gaps without a message in between are one
        self._unread.append((number, _GAP))

    def skip(self, number: int) -> None:
        """Go on behind ``number``; the application has no need to know."""
        self.last = max(self.last, number)
        self.is_exact = True
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

    def is_due(self, max_message_bytes: int) -> bool:
        """Whether the sender must know now, lest it waits for room that is there."""
        window = self.heed.interest
        messages, size = self._read - self._told, self._bytes
        if messages <= 0:
            return False
        return (
            self._gap_read  # what was lost took room as well; only the sender knows how much
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
        streams: Of those that something was said on, by topic.
        line: Which of its counts they belong to, once it has told.
        is_vague: Whether this application may have heard it before, and forgotten.
    """

    def __init__(self, heeds: Heeds, *, is_vague: bool) -> None:
        self.streams: dict[str, Stream] = {}
        self.line: int | None = None
        self.is_vague = is_vague
        self._heeds = heeds
        self._since = heeds.beginnings
        self._begins_exact = True  # streams of topics that were listened to since then

    def stream(self, topic: str) -> Stream | None:
        """Return the stream of a topic, ``None`` if it isn't listened to."""
        stream = self.streams.get(topic)
        if stream is None and (heed := self._heeds.by_topic.get(topic)) is not None:
            is_exact = self._begins_exact and heed.since <= self._since
            stream = self.streams[topic] = Stream(self, topic, heed, is_exact=is_exact)
        return stream

    def lost_before(self, stream: Stream, number: int) -> int | None:
        """Return how many are missing between the stream's last and ``number``; ``None`` if they can't be counted."""
        if not stream.is_exact:
            return 0
        if self.is_vague and stream.last == 0 and number > 1:
            return None
        return number - 1 - stream.last

    def give_up(self) -> list[Stream]:
        """Return the streams that may miss what nobody can count, and go on as if that was told."""
        doubtful = [stream for topic in self._heeds.by_topic if (stream := self.stream(topic)) is not None and stream.is_exact]
        for stream in self.streams.values():
            stream.is_exact = False
        self._begins_exact = False
        return doubtful

    def begin_line(self, line: int) -> None:
        """Forget all streams: the sender counts anew."""
        self.streams.clear()
        self.line = line
        self.is_vague = False
        self._since = self._heeds.beginnings
        self._begins_exact = True
