"""What has arrived at a simulated application, and when the application reads it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from cluster_kit.topics.incoming import IncomingStream


class Inbox:
    """Messages and gaps that are unread, in order.

    Args:
        read: Called with each entry that is read: its stream, and its number there.
        later: Calls a function after a delay in seconds.

    Attributes:
        delay_s: Each arrival has everything read that is unread after so many seconds.
        is_stalled: Whether nothing is read at all.
    """

    def __init__(
        self,
        read: Callable[[IncomingStream, int], None],
        later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self.delay_s = 0.0
        self.is_stalled = False
        self._read = read
        self._later = later
        self._unread: deque[tuple[IncomingStream, int]] = deque()

    @property
    def is_slow(self) -> bool:
        """Whether entries are not read at once, so that senders may wait for room."""
        return self.delay_s > 0 or self.is_stalled

    def add(self, stream: IncomingStream, number: int) -> None:
        """Add an entry."""
        self._unread.append((stream, number))
        self._later(self.delay_s, self.read)

    def discard(self, topic: str) -> None:
        """Drop what is unread of a topic."""
        self._unread = deque(each for each in self._unread if each[0].topic != topic)

    def resume(self) -> None:
        """Go on reading after a stall."""
        self.is_stalled = False
        self.read()

    def read(self) -> None:
        """Read everything, unless reading is stalled."""
        while self._unread and not self.is_stalled:
            self._read(*self._unread.popleft())
