"""One stream: what is said on one topic to one peer's application. Its numbers, and the room that the peer gives.

A message has a number from the moment at which it is handed over, and is outstanding until the peer says that everything up to
it is read. The peer's window is how much may be outstanding: so many messages, and so many bytes. Who waits for room has no
number yet, and is handed over in turn. Who doesn't wait, where there is none, uses up a number all the same: the peer finds
out by the next number that comes, or, where none comes, by being told once there is room.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from cluster_kit.topics.lanes import Lane
from cluster_kit.wire.topics import Interest


class OutgoingStream:
    """A stream.

    Attributes:
        stream: What the peer calls it; see ``wire.topics.Interest``.
        number: The last that was used.
        window: What the peer gives room for.
        parked: Those who wait for room: data by ticket.
        skipped_bytes: How long the last message was that there was no room for; ``None`` if the peer will find out.
        lane: Where its messages wait for the link, while there is one.
    """

    __slots__ = (
        "_outstanding",
        "count",
        "lane",
        "number",
        "outstanding_bytes",
        "parked",
        "skipped_bytes",
        "stream_number",
        "topic",
        "window",
    )

    def __init__(self, topic: str, window: Interest) -> None:
        self.topic = topic
        self.stream_number = window.stream
        self.window = window
        self.number = 0
        self.parked: OrderedDict[int, bytes] = OrderedDict()
        self.skipped_bytes: int | None = None
        self.lane = Lane()
        self.count = 0  # of what is outstanding
        self.outstanding_bytes = 0
        self._outstanding: deque[tuple[int, int, int]] = deque()  # number, bytes, and how many it stands for

    def has_room(self, size: int) -> bool:
        """Whether a message of ``size`` bytes may be handed over now, as far as the window goes."""
        window = self.window
        if self.count >= window.messages:
            return False
        return self.count == 0 or self.outstanding_bytes + size <= window.bytes

    def next_number(self, size: int) -> int:
        """Return the number of a message that is handed over."""
        self.number += 1
        self.count += 1
        self.outstanding_bytes += size
        self.skipped_bytes = None
        self._outstanding.append((self.number, size, 1))
        return self.number

    def skip(self, size: int) -> None:
        """Use up the number of a message that there is no room for."""
        self.number += 1
        self.skipped_bytes = size

    def release(self, number: int) -> int:
        """Everything up to ``number`` is read; return how many messages that were."""
        outstanding = self._outstanding
        before = self.count
        while outstanding and outstanding[0][0] <= number:
            _, size, count = outstanding.popleft()
            self.count -= count
            self.outstanding_bytes -= size
        return before - self.count

    def compact(self) -> None:
        """Take no more memory than a number, as the peer is away for long: what is outstanding is read as a whole or not."""
        if len(self._outstanding) > 1:
            self._outstanding = deque([(self._outstanding[-1][0], self.outstanding_bytes, self.count)])
