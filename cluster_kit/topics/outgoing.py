"""The sending end of a stream: its numbers, and the peer's window.

A message gets its number when it is queued, and is outstanding until the peer says that it has read
everything up to it. The window limits what may be outstanding, in messages and bytes. A message of
``send`` that finds no room is parked, in order, without a number. A published one is dropped, and
uses up a number: the peer notices by the next number that arrives or, if none does, by a ``Missed``
that is sent once there is room.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from cluster_kit.topics.lanes import Lane
from cluster_kit.wire.topics import Interest


class OutgoingStream:
    """One topic of one peer.

    Attributes:
        stream_number: What the peer calls the stream; see ``wire.topics.Interest``.
        number: The last one used.
        window: What the peer has granted.
        parked: Messages that wait for room: data by ticket.
        skipped_bytes: The size of the last dropped message, if ``Missed`` must report it.
        lane: Where messages are queued while there is a link.
        count: How many messages are outstanding.
        outstanding_bytes: The sum of their sizes.
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
        self.count = 0
        self.outstanding_bytes = 0
        self._outstanding: deque[tuple[int, int, int]] = deque()  # number, bytes, messages

    def has_room(self, size: int) -> bool:
        """Whether the window has room for a message of ``size`` bytes."""
        window = self.window
        if self.count >= window.messages:
            return False
        return self.count == 0 or self.outstanding_bytes + size <= window.bytes

    def next_number(self, size: int) -> int:
        """Return the number of a message that is queued now."""
        self.number += 1
        self.count += 1
        self.outstanding_bytes += size
        self.skipped_bytes = None
        self._outstanding.append((self.number, size, 1))
        return self.number

    def skip(self, size: int) -> None:
        """Use up the number of a message that is dropped."""
        self.number += 1
        self.skipped_bytes = size

    def release(self, number: int) -> int:
        """Note that everything up to ``number`` is read; return how many messages that were."""
        outstanding = self._outstanding
        before = self.count
        while outstanding and outstanding[0][0] <= number:
            _, size, count = outstanding.popleft()
            self.count -= count
            self.outstanding_bytes -= size
        return before - self.count

    def compact(self) -> None:
        """Shrink to one entry, as the peer may be away for long: credit is then all or none."""
        if self._outstanding:
            last = self._outstanding[-1][0]
            self._outstanding = deque([(last, self.outstanding_bytes, self.count)])
