"""The supervisor's end of the pipe to one worker: any thread sends, the supervising thread reads and waits for room."""

from __future__ import annotations

import selectors
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cluster_kit.pipe.socket_channel import SocketChannel

_READ = selectors.EVENT_READ
_WRITE = selectors.EVENT_WRITE


class WorkerLine:
    """Owns neither the channel nor the selector; hung up before the channel is closed, as other threads send over it.

    Args:
        channel: Whose messages are sent and read.
        selector: What the supervising thread waits on.
        ready: Called on that thread when the channel can be read, or written to, with which of them it is.
        pend: Has ``watch`` called on that thread; from any thread.
    """

    def __init__(
        self,
        channel: SocketChannel,
        selector: selectors.BaseSelector,
        ready: Callable[[int], None],
        pend: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._selector = selector
        self._ready = ready
        self._pend = pend
        self._lock = threading.Lock()  # for what is sent; only the supervising thread reads
        self._watched: int | None = _READ
        self._hung_up = False
        selector.register(channel, _READ, ready)

    def send(self, message: Any) -> None:
        """Send ``message``, on the supervising thread; nothing to a worker that is dying, whose end is told otherwise."""
        with self._lock:
            if not self._hung_up:
                with suppress(OSError):
                    self._channel.send(message)
        self.watch()

    def send_parcel(self, link: int, payload: bytes) -> None:
        """Send a parcel, from any thread; what the worker doesn't take at once goes on the supervising thread."""
        with self._lock:
            if self._hung_up:
                return
            was_pending = self._channel.pending_bytes > 0
            with suppress(OSError):
                self._channel.send_parcel(link, payload)
            is_first = self._channel.pending_bytes > 0 and not was_pending
        if is_first:
            self._pend()

    def receive(self, mask: int) -> list[Any]:
        """Send and read what the selector says can be sent and read; return what was read.

        Raises:
            EOFError: See ``SocketChannel.receive``.
            OSError: The other end is gone.
        """
        if mask & _WRITE:
            with self._lock:
                self._channel.flush()
        messages = self._channel.receive() if mask & _READ else []
        self.watch()
        return messages

    def watch(self) -> None:
        """Have the supervising thread wait for what there is to wait for; on that thread."""
        if self._watched is not None:
            events = _READ | (_WRITE if self._channel.pending_bytes else 0)
            if events != self._watched:
                self._watched = events
                self._selector.modify(self._channel, events, self._ready)

    def unwatch(self) -> None:
        """Wait for nothing of it any more."""
        if self._watched is not None:
            self._watched = None
            self._selector.unregister(self._channel)

    def hang_up(self) -> None:
        """Send nothing any more; the channel can be closed."""
        self.unwatch()
        with self._lock:
            self._hung_up = True
