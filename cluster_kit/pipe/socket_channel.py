"""One end of the private pipe between a supervisor and a worker: whole messages over a non-blocking stream socket.

Neither end ever blocks on the other: a frozen worker can't hold up the supervisor in the middle of a message, nor a frozen
application its worker. Both ends run the same code as the same user, so messages are pickled; nothing that comes from the
network is ever unpickled here, only values that were made from it. The supervisor's end unpickles
nothing before the other end has given the greeting of a worker.
"""

from __future__ import annotations

import pickle
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from cluster_kit.errors import described
from cluster_kit.pipe.channel import Channel

if TYPE_CHECKING:
    import asyncio

_HEADER_BYTES = 4
_READ_BYTES = 65536


class SocketChannel(Channel):
    """Sends and receives messages; owns its socket.

    A worker has its event loop see to it, see ``attach``. Who has none waits on ``fileno`` and calls ``receive`` and ``flush``.

    Args:
        sock: One end of a connected pair.
        greeting: What the other end says before its first message.
    """

    def __init__(self, sock: socket.socket, greeting: bytes = b"") -> None:
        sock.setblocking(False)
        self._greeting = greeting
        self._socket = sock
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._unreadable: str | None = None
        self._attached: _Attached | None = None

    @classmethod
    def from_fd(cls, fd: int) -> Self:
        """Make one of a file descriptor that was inherited."""
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
        """What has been sent but not yet taken by the operating system."""
        return len(self._outgoing)

    @property
    def greeted(self) -> bool:
        """Whether the other end has given its greeting."""
        return not self._greeting

    def send_raw(self, data: bytes) -> None:
        """Queue ``data`` as it is, and send what can be sent at once; for what comes before the first message.

        Raises:
            OSError: The other end is gone.
        """
        self._outgoing += data
        if not self.flush() and self._attached is not None:
            self._attached.write_later()

    def send(self, message: Any) -> None:
        """Queue ``message`` and send what can be sent at once.

        Raises:
            OSError: The other end is gone.
        """
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self.send_raw(len(data).to_bytes(_HEADER_BYTES, "big") + data)

    def flush(self) -> bool:
        """Send what is pending; return whether all of it is out.

        Raises:
            OSError: The other end is gone.
        """
        while self._outgoing:
            try:
                sent = self._socket.send(self._outgoing)
            except BlockingIOError:
                return False
            del self._outgoing[:sent]
        return True

    def drain(self, timeout_s: float | None = None) -> None:
        """See ``Channel.drain``."""
        with suppress(OSError):
            while not self.flush() and self._poll(select.POLLOUT, timeout_s):
                pass

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until there is something to receive, or the end of it, and return whether; for who has no event loop."""
        return self._poll(select.POLLIN, timeout_s)

    def _poll(self, events: int, timeout_s: float | None) -> bool:
        # select() takes no descriptor from 1024 up, and a worker's has the number that it had in the application
        poller = select.poll()
        poller.register(self._socket, events)
        return bool(poller.poll(None if timeout_s is None else timeout_s * 1000))

    def receive(self) -> list[Any]:
        """Return the messages that one read completes, perhaps none; the rest waits for its turn.

        Raises:
            EOFError: The other end closed; or, with a text, it sent what can't be read, and nothing after that counts.
        """
        return self._take() if self._unreadable or self._read() else []

    def receive_rest(self) -> list[Any]:
        """Return all that the other end sent before it died, as far as it can be read."""
        with suppress(EOFError):
            while self._read():
                pass
        with suppress(EOFError):
            return self._take()
        return []

    def _read(self) -> bool:
        """Read once; return whether there was something."""
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return False
        except ConnectionError as exc:
            raise EOFError from exc
        if not data:
            raise EOFError
        self._incoming += data
        return True

    def _take(self) -> list[Any]:
        if self._unreadable is not None:
            raise EOFError(self._unreadable)
        if not self._take_greeting():
            return []
        messages = []
        start = 0
        while len(self._incoming) - start >= _HEADER_BYTES:
            body = start + _HEADER_BYTES
            end = body + int.from_bytes(self._incoming[start:body], "big")
            if len(self._incoming) < end:
                break
            try:
                messages.append(pickle.loads(self._incoming[body:end]))  # noqa: S301 - from our own process only
            except BaseException as exc:
                self._unreadable = described(exc)
                self._incoming.clear()
                if messages:
                    self._socket.shutdown(socket.SHUT_RD)  # so that whoever waits for more wakes up and is told
                    return messages
                raise EOFError(self._unreadable) from exc
            start = end
        del self._incoming[:start]
        return messages

    def _take_greeting(self) -> bool:
        """Return whether it is there; raises ``EOFError`` where something else is."""
        if not self._greeting:
            return True
        said = bytes(self._incoming[: len(self._greeting)])
        if not self._greeting.startswith(said):
            self._unreadable = f"{said!r} where {self._greeting!r} was expected"
            raise EOFError(self._unreadable)
        if said == self._greeting:
            del self._incoming[: len(said)]
            self._greeting = b""
        return not self._greeting

    def close(self) -> None:
        """See ``Channel.close``."""
        if self._attached is not None:
            self._attached.detach()
        self._socket.close()


class _Attached:
    """A channel in the care of an event loop, and who is told what comes of it."""

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
        """Send what is pending as soon as that works."""
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
        except OSError:  # who reads the channel notices
            self._stop_writing()
        else:
            self._stop_writing()
            self._relieved()

    def _stop_writing(self) -> None:
        self._is_writing = False
        self._loop.remove_writer(self._channel)
