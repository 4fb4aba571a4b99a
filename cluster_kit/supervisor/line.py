"""``WorkerLine``: the supervisor's end of the pipe to one worker."""

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
    """Any thread sends; the supervising thread receives, and waits for room.

    It owns neither the channel nor the selector. Call ``hang_up`` before the channel is closed, as
    other threads may be sending.

    Args:
        channel: The channel to the worker.
        selector: What the supervising thread waits on.
        ready: Called on that thread with the selector's events when the channel is ready.
        request_watch: Called on any thread; has to make the supervising thread call ``watch``.
    """

    def __init__(
        self,
        channel: SocketChannel,
        selector: selectors.BaseSelector,
        ready: Callable[[int], None],
        request_watch: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._selector = selector
        self._ready = ready
        self._request_watch = request_watch
        self._lock = threading.Lock()  # for sending; only the supervising thread receives
        self._watched: int | None = _READ
        self._hung_up = False
        selector.register(channel, _READ, ready)

    def send(self, message: Any) -> None:
        """Send ``message``, on the supervising thread; dropped if the worker is gone."""
        with self._lock:
            if not self._hung_up:
                with suppress(OSError):
                    self._channel.send(message)
        self.watch()

    def send_parcel(self, link: int, payload: bytes) -> None:
        """Send a parcel, on any thread; while the worker has no room, ``receive`` sends it."""
        with self._lock:
            if self._hung_up:
                return
            was_pending = self._channel.pending_bytes > 0
            with suppress(OSError):
                self._channel.send_parcel(link, payload)
            is_first = self._channel.pending_bytes > 0 and not was_pending
        if is_first:
            self._request_watch()

    def receive(self, mask: int) -> list[Any]:
        """Send and receive as far as the selector's events allow; return the messages.

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
        """Update the events to wait for; on the supervising thread."""
        if self._watched is not None:
            events = _READ | (_WRITE if self._channel.pending_bytes else 0)
            if events != self._watched:
                self._watched = events
                self._selector.modify(self._channel, events, self._ready)

    def unwatch(self) -> None:
        """Stop waiting for events."""
        if self._watched is not None:
            self._watched = None
            with suppress(KeyError):  # an attempt to change what to wait for has failed
                self._selector.unregister(self._channel)

    def hang_up(self) -> None:
        """Stop sending and waiting, so that the channel can be closed."""
        self.unwatch()
        with self._lock:
            self._hung_up = True
