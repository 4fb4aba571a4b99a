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
from contextlib import suppress
from typing import Any

from cluster_kit.errors import described

_HEADER_BYTES = 4
_READ_BYTES = 65536


class Channel:
    """Sends and receives messages; owns its socket.

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
        self.flush()

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

    def flush_all(self, timeout_s: float | None = None) -> None:
        """Wait until all that is pending is out, or the other end takes nothing for ``timeout_s``; for who has no event loop.

        Raises:
            OSError: The other end is gone.
        """
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
        """Close the socket; what is pending is lost."""
        self._socket.close()
