"""The send queue of one link.

It is divided into lanes that take turns (round robin), so that a long message delays a short one of
another lane by no more than one fragment. Each topic has a lane. Short questions share one, and so
do short answers; a question or an answer that is too long for one payload gets its own, as
questions have no order among them. A payload is filled from lane after lane, so that many short
messages cost one payload.

Sending stops while too many bytes are in transit. Otherwise, megabytes would stand in sockets and
pipes ahead of whatever comes next.
"""

from __future__ import annotations

from collections import deque

from cluster_kit.abc import MAX_PAYLOAD_BYTES
from cluster_kit.errors import RemoteProtocolError
from cluster_kit.wire import topics as wire

MAX_QUEUED_BYTES = 8 * 1024 * 1024  # messages and questions of one link
MAX_REPLY_BYTES = 32 * 1024 * 1024  # answers of one link
MAX_TRANSIT_BYTES = 1024 * 1024
RECEIVED_STEP_BYTES = MAX_TRANSIT_BYTES // 4

_TURN_BYTES = 8 * 1024
_MIN_FRAGMENT_BYTES = 4 * 1024  # a smaller one isn't worth its overhead
_MAX_WHOLE_BYTES = MAX_PAYLOAD_BYTES - wire.ARRAY_BYTES


class Lane:
    """A queue of records: of one topic, of short questions or answers, or one long record."""

    __slots__ = ("_rest", "_slot", "has_replies", "is_queued", "items")

    def __init__(self, *, has_replies: bool = False) -> None:
        self.has_replies = has_replies
        self.items: deque[tuple[wire.Record, int]] = deque()  # with upper bounds of their sizes
        self.is_queued = False
        self._rest: memoryview | None = None  # of the first record's data, once it is fragmented
        self._slot = 0

    @property
    def is_begun(self) -> bool:
        """Whether the first fragment of the first record has been sent."""
        return self._rest is not None

    def remove(self, record: wire.Record) -> int | None:
        """Remove a record unless some of it has been sent; return its size, ``None`` if it has."""
        for at, (each, size) in enumerate(self.items):
            if each is record and not (at == 0 and self.is_begun):
                del self.items[at]
                return size
        return None

    def next_fragment(self, room: int, slots: list[int]) -> wire.Fragment | None:
        """Return the next fragment of the first record, ``None`` if all ``slots`` are in use.

        A slot is the number by which the receiver tells apart the records that arrive in fragments.
        """
        size = min(room - wire.RECORD_BYTES, wire.FRAGMENT_BYTES)
        rest = self._rest
        if rest is None:
            if not slots:
                return None
            self._slot = slots.pop()
            head, rest = wire.cut_record(self.items[0][0])
            size -= len(head)
            data: bytes | memoryview = head + rest[:size]
        else:
            data = rest[:size]
        self._rest = rest = rest[size:]
        fragment = wire.Fragment(self._slot, not rest, data)  # type: ignore[arg-type]  # encoded as it is
        if fragment.last:
            slots.append(self._slot)
            self._rest = None
        return fragment


class Lanes:
    """All lanes of one link.

    Attributes:
        queued: Bytes of messages and questions. A record that is longer than the whole queue may be
            is not counted: records of other lanes pass it, and need their room.
        replies: The number of queued answers.
        was_full: Whether ``has_room`` has returned False since this was last reset.
    """

    def __init__(self) -> None:
        self.queued = 0
        self.replies = 0
        self.was_full = False
        self._short_questions = Lane()
        self._short_replies = Lane(has_replies=True)
        self._has_long = False
        self._reply_bytes = 0
        self._turns: deque[Lane] = deque()
        self._slots = list(range(wire.MAX_LANES))
        self._sent = 0  # bytes
        self._received = 0  # bytes of these that have arrived, according to the peer

    # -- queueing ----------------------------------------------------------------------------------

    @property
    def is_empty(self) -> bool:
        """Whether nothing is queued."""
        return not self._turns

    @property
    def can_send(self) -> bool:
        """Whether something is queued and the transit has room for a payload."""
        in_transit = self._sent - self._received
        return bool(self._turns) and in_transit <= MAX_TRANSIT_BYTES - MAX_PAYLOAD_BYTES

    def has_room(self, size: int) -> bool:
        """Whether ``size`` more bytes may be queued. One longer record may, in an empty queue."""
        is_empty = self.queued == 0 and not self._has_long
        if is_empty or self.queued + size <= MAX_QUEUED_BYTES:
            return True
        self.was_full = True
        return False

    def put(self, lane: Lane, record: wire.Record, size: int) -> None:
        """Queue a message; the caller has checked ``has_room``."""
        self._count(size, 1)
        self._queue(lane, record, size)

    def put_question(self, question: wire.Asked, size: int) -> None:
        """Queue a question; the caller has checked ``has_room``."""
        self.put(self._short_questions if size <= _MAX_WHOLE_BYTES else Lane(), question, size)

    def _queue(self, lane: Lane, record: wire.Record, size: int) -> None:
        lane.items.append((record, size))
        if not lane.is_queued:
            lane.is_queued = True
            self._turns.append(lane)

    def put_missed(self, lane: Lane, missed: wire.Missed) -> None:
        """Queue ``missed`` behind what is in ``lane``.

        It needs no room, as two adjacent ones become one.
        """
        if lane.items and type(lane.items[-1][0]) is wire.Missed:
            lane.items[-1] = (missed, wire.RECORD_BYTES)
        else:
            self.put(lane, missed, wire.RECORD_BYTES)

    def has_reply_room(self, size: int) -> bool:
        """Whether an answer of ``size`` bytes may be queued."""
        return self._reply_bytes + size <= MAX_REPLY_BYTES or self._reply_bytes == 0

    def put_reply(self, record: wire.QuestionEnd) -> None:
        """Queue an answer."""
        match record:
            case wire.Answered(data=data):
                size = len(data) + wire.RECORD_BYTES
            case wire.Raised(text=text) | wire.Declined(reason=text):
                size = 4 * len(text) + wire.RECORD_BYTES
        is_short = size <= _MAX_WHOLE_BYTES
        lane = self._short_replies if is_short else Lane(has_replies=True)
        self._queue(lane, record, size)
        self._reply_bytes += size
        self.replies += 1

    def take_back(self, question: wire.Asked) -> bool:
        """Remove a question; return False if some of it has been sent."""
        for lane in self._turns:
            size = lane.remove(question) if type(lane.items[0][0]) is wire.Asked else None
            if size is not None:
                self._count(size, -1)
                if not lane.items:
                    lane.is_queued = False
                    self._turns.remove(lane)
                return True
        return False

    # -- sending -----------------------------------------------------------------------------------

    def fill(self, records: list[wire.Record], used: int) -> None:
        """Append what goes next to ``records``, which take ``used`` bytes of a payload."""
        turns = self._turns
        while turns:  # if a lane lacks a slot, those that hold all slots have turns, too
            lane = turns[0]
            used, is_over = self._take_turn(lane, records, used)
            if not lane.items:
                lane.is_queued = False
                turns.popleft()
            elif is_over:
                return  # this lane has the first turn in the next payload
            else:
                turns.rotate(-1)

    def _take_turn(self, lane: Lane, records: list[wire.Record], used: int) -> tuple[int, bool]:
        """Append records of one lane; return the bytes in use, and whether the payload is full."""
        items = lane.items
        end = min(used + _TURN_BYTES, _MAX_WHOLE_BYTES)
        while items:
            record, size = items[0]
            if size > _MAX_WHOLE_BYTES:
                return self._add_fragment(lane, records, used)
            if used + size > _MAX_WHOLE_BYTES:
                return used, True
            items.popleft()
            records.append(record)
            used += size
            self._dequeued(lane, size)
            if used >= end:
                break
        return used, False

    def _add_fragment(self, lane: Lane, records: list[wire.Record], used: int) -> tuple[int, bool]:
        room = _MAX_WHOLE_BYTES - used
        if room < _MIN_FRAGMENT_BYTES:
            return used, True
        fragment = lane.next_fragment(room, self._slots)
        if fragment is None:
            return used, False
        records.append(fragment)
        if fragment.last:
            self._dequeued(lane, lane.items.popleft()[1])
        return used + wire.RECORD_BYTES + len(fragment.data), False

    def _dequeued(self, lane: Lane, size: int) -> None:
        if lane.has_replies:
            self._reply_bytes -= size
            self.replies -= 1
        else:
            self._count(size, -1)

    def _count(self, size: int, sign: int) -> None:
        if size > MAX_QUEUED_BYTES:
            self._has_long = sign > 0
        else:
            self.queued += sign * size

    def sent(self, size: int) -> None:
        """Note that a payload of ``size`` bytes is in transit."""
        self._sent += size

    def note_received(self, total: int) -> None:
        """Note that ``total`` bytes have arrived since the link is up.

        Raises:
            RemoteProtocolError: That many were not sent, or more had arrived before.
        """
        if not self._received <= total <= self._sent:
            text = f"messages: the peer claims that {total} bytes arrived"
            raise RemoteProtocolError(f"{text}: {self._sent} were sent")
        self._received = total
