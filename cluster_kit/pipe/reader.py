"""Reads frames from a pipe and turns them into messages and parcels.

A frame is the length of its body, then the body. The body of a parcel starts with ``PARCEL``, the
number of its link and how many parcels were forwarded. Any other body is a pickle, which starts
with the opcode ``PROTO`` (0x80) since version 2 of that format.
"""

from __future__ import annotations

import pickle
import socket
import struct
from typing import Any

from cluster_kit.errors import described
from cluster_kit.payloads import MAX_PAYLOAD_BYTES
from cluster_kit.pipe.channel import Parcel

LENGTH_BYTES = 4
PARCEL = b"\x01"
MAX_MESSAGE_BYTES = 2**28  # far beyond a ``View`` of ten thousand nodes with full metadata

_LENGTH = struct.Struct(">I")
_PARCEL_HEAD = struct.Struct(">QI")
_PARCEL_FRAME = struct.Struct(">IcQI")
_PARCEL_HEAD_BYTES = _PARCEL_FRAME.size - LENGTH_BYTES
_MAX_PARCEL_BYTES = _PARCEL_HEAD_BYTES + MAX_PAYLOAD_BYTES
_READ_BYTES = 2**17  # room for two parcels of maximal length


def parcel_head(link: int, payload: bytes, forwarded: int = 0) -> bytes:
    """Return the bytes that precede the payload of a parcel."""
    return _PARCEL_FRAME.pack(_PARCEL_HEAD_BYTES + len(payload), PARCEL, link, forwarded)


class PipeReader:
    """Reads from a non-blocking stream socket, which it doesn't own.

    Args:
        sock: The socket.
        greeting: The bytes that have to come before the first frame.
    """

    def __init__(self, sock: socket.socket, greeting: bytes) -> None:
        self.greeting = greeting
        """The part of the greeting that has not been read yet."""
        self.fault: str | None = None
        """Why nothing more can be read; ``None`` while all is well."""
        self._socket = sock
        self._buffer = bytearray(_READ_BYTES)
        self._start = self._end = 0  # of the unparsed bytes

    def read(self) -> bool:
        """Read once; return whether anything was there.

        Raises:
            EOFError: The other end has closed.
        """
        if self._start != self._end or len(self._buffer) > _READ_BYTES:
            self._make_room()
        else:
            self._start = self._end = 0
        try:
            count = self._socket.recv_into(memoryview(self._buffer)[self._end :])
        except BlockingIOError:
            return False
        except ConnectionError as exc:
            raise EOFError from exc
        if not count:
            raise EOFError
        self._end += count
        return True

    def _make_room(self) -> None:
        """Move unparsed bytes to the front; grow the buffer if they fill more than half of it."""
        rest = self._end - self._start
        before = self._buffer
        if rest > len(before) // 2:
            self._buffer = bytearray(2 * len(before))
        elif not rest and len(before) > _READ_BYTES:
            self._buffer = bytearray(_READ_BYTES)  # shrink, after a large message
        if self._start or self._buffer is not before:
            memoryview(self._buffer)[:rest] = memoryview(before)[self._start : self._end]
        self._start, self._end = 0, rest

    def take(self) -> list[Any]:
        """Return the complete messages, perhaps none.

        Raises:
            EOFError: The input is malformed; the text says how. Messages before that are
                returned first, by an earlier call.
        """
        if self.fault is not None:
            raise EOFError(self.fault)
        if not self._take_greeting():
            return []
        messages: list[Any] = []
        try:
            with memoryview(self._buffer) as view:
                self._take_into(messages, view)
        except BaseException as exc:
            self.fault = described(exc)
            self._start = self._end
            if not messages:
                raise EOFError(self.fault) from exc
            self._socket.shutdown(socket.SHUT_RD)  # wakes the caller, which then gets the fault
        return messages

    def _take_into(self, messages: list[Any], view: memoryview) -> None:
        while (body := self._start + LENGTH_BYTES) <= self._end:
            (length,) = _LENGTH.unpack_from(view, self._start)
            if length > _MAX_PARCEL_BYTES:
                _check_length(length, view[body : min(body + 1, self._end)])
            end = body + length
            if end > self._end:
                break
            if length and view[body] == PARCEL[0]:
                link, forwarded = _PARCEL_HEAD.unpack_from(view[:end], body + 1)
                payload = bytes(view[body + _PARCEL_HEAD_BYTES : end])
                messages.append(Parcel(link, payload, forwarded))
            else:
                messages.append(pickle.loads(view[body:end]))  # noqa: S301 - our own process's
            self._start = end

    def _take_greeting(self) -> bool:
        """Return whether the greeting is complete; raises ``EOFError`` if it is wrong."""
        if not self.greeting:
            return True
        end = min(self._end, self._start + len(self.greeting))
        received = bytes(self._buffer[self._start : end])
        if not self.greeting.startswith(received):
            self.fault = f"{received!r} where {self.greeting!r} was expected"
            raise EOFError(self.fault)
        if received == self.greeting:
            self._start += len(received)
            self.greeting = b""
        return not self.greeting


def _check_length(length: int, begins: memoryview) -> None:
    if length > MAX_MESSAGE_BYTES or begins == PARCEL:
        what = "parcel" if begins == PARCEL else "message"
        raise ValueError(f"a {what} of {length} bytes is too long")
