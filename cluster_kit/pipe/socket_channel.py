"""``SocketChannel``: one end of the pipe, on a non-blocking stream socket.

A frozen worker can't hold up the supervisor in the middle of a message, nor a frozen application
its worker. Messages are pickled: both ends run the same code as the same user, and bytes from the
network are never unpickled. The supervisor's end unpickles nothing before the other end has sent
the greeting of a worker.
"""

from __future__ import annotations

import pickle
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from cluster_kit.pipe.channel import Channel
from cluster_kit.pipe.reader import LENGTH_BYTES, PipeReader, parcel_head
from cluster_kit.pipe.writer import PipeWriter

if TYPE_CHECKING:
    import asyncio

_SHORT_BYTES = 4096  # up to this, copying is cheaper than sending two pieces


class SocketChannel(Channel):
    """Sends and receives messages; owns its socket.

    A worker lets its event loop drive it, see ``attach``. A thread without a loop waits on
    ``fileno`` and calls ``receive`` and ``flush``. Any thread may send and flush, and so may a
    signal handler, see ``writer``; only one may receive.

    Args:
        sock: One end of a connected pair.
        greeting: What the other end sends before its first message.
    """

    def __init__(self, sock: socket.socket, greeting: bytes = b"") -> None:
        sock.setblocking(False)
        self._socket = sock
        self._reader = PipeReader(sock, greeting)
        self._writer = PipeWriter(sock)
        self._attached: _Attached | None = None

    @classmethod
    def from_fd(cls, fd: int) -> Self:
        """Make a channel from an inherited file descriptor."""
        return cls(socket.socket(fileno=fd))

    def attach(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        hear: Callable[[Any], None],
        ended: Callable[[str | None], None],
        relieved: Callable[[], None],
    ) -> None:
        """See ``Channel.attach``."""
        self._attached = _Attached(self, loop, hear, ended, relieved)
        self._attached.write_later()

    def fileno(self) -> int:
        """Return the file descriptor to wait on."""
        return self._socket.fileno()

    @property
    def pending_bytes(self) -> int:
        """Bytes that were sent, but are still held here until the socket has room."""
        return self._writer.pending_bytes

    @property
    def greeted(self) -> bool:
        """Whether the other end has sent its greeting."""
        return not self._reader.greeting

    def send_raw(self, data: bytes) -> None:
        """Send ``data`` unframed, before the first message.

        Raises:
            OSError: The other end is gone.
        """
        self._send(data, b"")

    def send(self, message: Any) -> None:
        """See ``Channel.send``."""
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._send(len(data).to_bytes(LENGTH_BYTES, "big"), data)

    def send_parcel(self, link: int, payload: bytes, forwarded: int = 0) -> None:
        """See ``Channel.send_parcel``."""
        self._send(parcel_head(link, payload, forwarded), payload)

    def _send(self, head: bytes, data: bytes) -> None:
        if len(data) <= _SHORT_BYTES:
            self._writer.add(head + data)
        else:
            self._writer.add(head, data)
        if not self._writer.write() and self._attached is not None:
            self._attached.write_later()

    def flush(self) -> bool:
        """Send what is pending; return whether all of it is out.

        Raises:
            OSError: The other end is gone.
        """
        return self._writer.write()

    def drain(self, timeout_s: float | None = None) -> None:
        """See ``Channel.drain``."""
        with suppress(OSError):
            while not self.flush() and self._poll(select.POLLOUT, timeout_s):
                pass

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until there is something to receive, or the end; return whether there is."""
        return self._poll(select.POLLIN, timeout_s)

    def _poll(self, events: int, timeout_s: float | None) -> bool:
        # Not select(): a worker inherits the descriptor's number, which may be 1024 or more.
        poller = select.poll()
        poller.register(self._socket, events)
        return bool(poller.poll(None if timeout_s is None else timeout_s * 1000))

    def receive(self) -> list[Any]:
        """Return the messages that one read completes, perhaps none.

        Raises:
            EOFError: The other end has closed; or, with a text, it has sent something malformed,
                and whatever follows is ignored.
        """
        return self._reader.take() if self._reader.fault or self._reader.read() else []

    def receive_rest(self) -> list[Any]:
        """Return everything that the other end sent before it died, as far as it is well-formed."""
        messages = []
        with suppress(EOFError):
            while self._reader.fault is None and self._reader.read():
                messages += self._reader.take()
        return messages

    def close(self) -> None:
        """See ``Channel.close``."""
        if self._attached is not None:
            self._attached.detach()
        self._writer.close()


class _Attached:
    """A channel driven by an event loop, and its callbacks."""

    def __init__(
        self,
        channel: SocketChannel,
        loop: asyncio.AbstractEventLoop,
        hear: Callable[[Any], None],
        ended: Callable[[str | None], None],
        relieved: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._loop = loop
        self._hear = hear
        self._ended = ended
        self._relieved = relieved
        self._is_writing = False
        loop.add_reader(channel, self._readable)

    def write_later(self) -> None:
        """Send what is pending as soon as there is room."""
        if self._channel.pending_bytes and not self._is_writing:
            self._is_writing = True
            self._loop.add_writer(self._channel, self._writable)

    def detach(self) -> None:
        """Leave the event loop."""
        self._loop.remove_reader(self._channel)
        self._stop_writing()

    def _readable(self) -> None:
        try:
            messages = self._channel.receive()
        except EOFError as exc:
            self._loop.remove_reader(self._channel)
            self._ended(str(exc) if exc.args else None)
            return
        for message in messages:
            self._hear(message)

    def _writable(self) -> None:
        try:
            if not self._channel.flush():
                return
        except OSError:  # the reader notices, too
            self._stop_writing()
        else:
            self._stop_writing()
            self._relieved()

    def _stop_writing(self) -> None:
        self._is_writing = False
        self._loop.remove_writer(self._channel)
