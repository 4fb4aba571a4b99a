"""``TopicSubscription``: a reader of a topic, and its queue.

The queue is bounded in messages and bytes. The supervising thread fills it and never blocks. The
reader empties it without the switchboard's lock. Now and then it reports its progress, which is
what gives the senders credit. If the queue is full, the messages of a sender become a gap, which
grows until a message of that sender fits again.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Self

from cluster_kit.errors import RemoteProtocolError
from cluster_kit.node import Node
from cluster_kit.supervisor.timeouts import checked_s_or_none
from cluster_kit.supervisor.topics.items import Gap, Message
from cluster_kit.throttle import Throttle
from cluster_kit.topics.data import decode
from cluster_kit.topics.outcomes import Arrived, IncomingStream, Missing

if TYPE_CHECKING:
    from cluster_kit.supervisor.topics.switchboard import Switchboard

DEFAULT_MESSAGES = 10_000
DEFAULT_BYTES = 8 * 1024 * 1024

_REPORT_EACH = 64  # messages per report of progress
_PART = 8  # a report is due after this fraction of the queue's bounds, too
_MOST_GAPS = 1024  # that can grow at a time, each of another stream

log = logging.getLogger("cluster_kit.supervisor")


class _QueuedGap:
    """A gap in the queue, which grows while nothing of its stream follows it."""

    __slots__ = ("lost", "number", "sender", "stream")

    def __init__(self, stream: IncomingStream, sender: Node, number: int, lost: int | None) -> None:
        self.stream = stream
        self.sender = sender
        self.number = number
        self.lost = lost

    def extend(self, number: int, lost: int | None) -> None:
        self.number = number
        self.lost = None if lost is None or self.lost is None else self.lost + lost


class TopicSubscription:
    """An iterator over messages and gaps; ``Topic.subscribe`` makes it.

    It ends when it is closed, its topology is removed, or its supervisor stops. Only one thread may
    read it at a time. Use it in ``for``, and in ``with`` to close it early.
    """

    def __init__(
        self, board: Switchboard, topic: str, *, max_messages: int, max_bytes: int
    ) -> None:
        for option, bound in (("max_messages", max_messages), ("max_bytes", max_bytes)):
            if type(bound) is not int or bound < 1:
                text = f"subscribe: {option} {bound!r:.80}"
                raise ValueError(f"{text}: expected a number, at least 1")
        self.topic = topic
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self._board = board
        self._queue: deque[Arrived | _QueuedGap] = deque()
        self._open_gaps: dict[IncomingStream, _QueuedGap] = {}  # that can still grow
        self._bytes_in = 0  # counted by the supervising thread
        self._bytes_out = 0  # counted by the reader, so that neither needs a lock
        self._read_up_to: dict[IncomingStream, int] = {}  # not reported yet
        self._unreported = 0
        self._bytes_reported = 0
        self._report_each = max(1, min(_REPORT_EACH, max_messages // _PART))
        self._report_bytes = max_bytes // _PART
        self._closed = False
        self._waiting = False
        self._tokens: SimpleQueue[None] = SimpleQueue()
        self._wake: Callable[[], None] = self._put_token
        self._throttle = Throttle()

    # -- the reader --------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._title}>"

    @property
    def _title(self) -> str:
        """What it receives and how it is doing, for ``repr``."""
        topic = f"{self.topic!r} of topology {self._board.topology!r}"
        return f"to {topic}: {self.queued} queued{', closed' if self._closed else ''}"

    def __iter__(self) -> Iterator[Message | Gap]:
        return self

    def __next__(self) -> Message | Gap:
        item = self.get()
        if item is None:
            raise StopIteration
        return item

    def get(self, timeout_s: float | None = None) -> Message | Gap | None:
        """Wait for the next message or gap and return it; ``None`` if the subscription has ended.

        Args:
            timeout_s: How long to wait, in seconds; without limit by default.

        Raises:
            TimeoutError: No message arrived in that time.
        """
        item = self.poll()
        if item is not None:
            return item
        patience_s = checked_s_or_none(timeout_s, "get: timeout_s")
        deadline_s = None if patience_s is None else time.monotonic() + patience_s
        while item is None:
            if not self.arm() and (item := self.poll()) is None and self._closed:
                return None
            if item is None:
                left_s = None if deadline_s is None else deadline_s - time.monotonic()
                if left_s is not None and left_s <= 0:
                    raise TimeoutError(f"topic {self.topic!r}: nothing came within {timeout_s:g} s")
                with suppress(Empty):
                    self._tokens.get(timeout=left_s)
                item = self.poll()
        return item

    def poll(self) -> Message | Gap | None:
        """Return the next message or gap without waiting; ``None`` if there is none."""
        try:
            entry = self._queue.popleft()
        except IndexError:
            return None
        if type(entry) is _QueuedGap:
            return self._gap(entry)
        assert isinstance(entry, Arrived)
        self._bytes_out += len(entry.data)
        self._mark_read(entry.stream, entry.number)
        try:
            return Message(sender=entry.sender, data=decode(entry.data), topic=self.topic)
        except RemoteProtocolError as exc:
            if self._throttle.passes(entry.sender.key, time.monotonic()):
                more = self._throttle.more(entry.sender.key)
                text = "topic %r: a message of %s is lost: %s%s"
                log.warning(text, self.topic, entry.sender, exc, more)
            return Gap(sender=entry.sender, lost=1, topic=self.topic)

    @property
    def queued(self) -> int:
        """How many messages and gaps are waiting to be read."""
        return len(self._queue)

    @property
    def exhausted(self) -> bool:
        """Whether nothing is queued and nothing will be."""
        return self._closed and not self._queue

    def close(self) -> None:
        """Receive no more messages; queued ones can still be read. Idempotent."""
        self._board.unsubscribe(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def set_wake(self, wake: Callable[[], None]) -> None:
        """Call ``wake``, in any thread, instead of waking ``get``."""
        self._wake = wake

    def arm(self) -> bool:
        """Ask to be woken for the next item; return False if one is there, or none will be."""
        self._board.check_process()
        with suppress(Empty):  # left over from an earlier call
            self._tokens.get_nowait()
        self._waiting = True
        if self._queue or self._closed:
            self._waiting = False
            return False
        return True

    def _put_token(self) -> None:
        self._tokens.put(None)

    def _gap(self, gap: _QueuedGap) -> Gap:
        with self._board.lock:  # it may be growing this very moment, and has to stop
            if self._open_gaps.get(gap.stream) is gap:
                del self._open_gaps[gap.stream]
        self._mark_read(gap.stream, gap.number)
        return Gap(sender=gap.sender, lost=gap.lost, topic=self.topic)

    def _mark_read(self, stream: IncomingStream, number: int) -> None:
        """Record reading up to ``number``; report often enough that senders never stall."""
        self._read_up_to[stream] = number
        self._unreported += 1
        unreported_bytes = self._bytes_out - self._bytes_reported
        is_due = self._unreported >= self._report_each or unreported_bytes >= self._report_bytes
        if is_due or not self._queue:
            read = self._read_up_to
            if self._board.mark_read(read):
                self._read_up_to = {}
                self._unreported = 0
                self._bytes_reported = self._bytes_out

    # -- the supervising thread, under the switchboard's lock --------------------------------------

    def offer(self, arrived: Arrived) -> None:
        """Queue a message, or lose it."""
        queue, size = self._queue, len(arrived.data)
        if queue:
            queued_bytes = self._bytes_in - self._bytes_out
            if len(queue) >= self.max_messages or queued_bytes + size > self.max_bytes:
                self._miss(arrived.stream, arrived.sender, arrived.number, 1)
                return
        if self._open_gaps:
            self._open_gaps.pop(arrived.stream, None)
        self._bytes_in += size
        queue.append(arrived)

    def miss(self, missing: Missing) -> None:
        """Queue a gap."""
        self._miss(missing.stream, missing.sender, missing.number, missing.lost)

    def _miss(self, stream: IncomingStream, sender: Node, number: int, lost: int | None) -> None:
        gap = self._open_gaps.get(stream)
        if gap is not None:
            gap.extend(number, lost)
            return
        if len(self._open_gaps) >= _MOST_GAPS:
            oldest = self._open_gaps.pop(next(iter(self._open_gaps)))
            with suppress(ValueError):
                self._queue.remove(oldest)
        gap = self._open_gaps[stream] = _QueuedGap(stream, sender, number, lost)
        self._queue.append(gap)

    def wake_reader(self) -> None:
        """Wake the reader if it waits; called without the lock."""
        if self._waiting:
            self._waiting = False
            self._wake()

    def end(self) -> None:
        """Record that nothing more will be queued."""
        self._closed = True
        self.wake_reader()
