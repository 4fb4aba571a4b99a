"""The channel between worker and supervisor in memory, for any number of workers in one process."""

from __future__ import annotations

import asyncio
import pickle
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Self

from cluster_kit.errors import described
from cluster_kit.pipe.channel import Channel, Parcel

# what one end takes in before it is heard, as the system does for a pair of sockets
ROOM_BYTES = 1 << 17
NOMINAL_BYTES = 256  # a message that nobody pickled counts as so many


class MemoryChannel(Channel):
    """One end; ``pair`` makes two, which may be in different event loops.

    The very same objects arrive, unless messages are pickled, which finds those that can't be.
    """

    def __init__(self, *, pickled: bool = False) -> None:
        self._pickled = pickled
        self._other: MemoryChannel
        self._waiting: deque[_Sent] = deque()  # sent from here, without room there
        self._waiting_bytes = 0
        self._inbox: deque[_Sent] = deque()
        self._inbox_bytes = 0
        self._attached: _Attached | None = None
        self._taking: asyncio.Handle | None = None
        self._has_ended = False
        self._is_closed = False

    @classmethod
    def pair(cls, *, pickled: bool = False) -> tuple[Self, Self]:
        """Return two ends."""
        one, other = cls(pickled=pickled), cls(pickled=pickled)
        one._other, other._other = other, one
        return one, other

    def attach(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        hear: Callable[[Any], None],
        ended: Callable[[str | None], None],
        relieved: Callable[[], None],
    ) -> None:
        """See ``Channel.attach``."""
        self._attached = _Attached(loop, hear, ended, relieved)
        self._take_soon()

    def send(self, message: Any) -> None:
        """See ``Channel.send``."""
        if self._pickled:
            data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
            self._send(_Sent(data, len(data)))
        else:
            self._send(_Sent(message, NOMINAL_BYTES))

    def send_parcel(self, link: int, payload: bytes, forwarded: int = 0) -> None:
        """See ``Channel.send_parcel``."""
        self._send(_Sent(Parcel(link, payload, forwarded), len(payload)))

    def _send(self, sent: _Sent) -> None:
        if self._is_closed or self._other._is_closed:
            raise BrokenPipeError("the other end is closed")
        self._waiting.append(sent)
        self._waiting_bytes += sent.size
        self._push()

    @property
    def pending_bytes(self) -> int:
        """See ``Channel.pending_bytes``."""
        return self._waiting_bytes

    def drain(self, timeout_s: float | None = None) -> None:
        """Have the other end take all in, whatever room it has: nobody can wait for it here."""
        self._push(at_once=True)

    def close(self) -> None:
        """See ``Channel.close``. Idempotent."""
        self._is_closed = True
        self._attached = None
        self._waiting.clear()
        self._waiting_bytes = 0
        if self._taking is not None:
            self._taking.cancel()
        self._other._take_soon()

    def _push(self, *, at_once: bool = False) -> None:
        """Move what waits to the other end, as far as there is room."""
        other = self._other
        while self._waiting and (at_once or other._inbox_bytes < ROOM_BYTES):
            sent = self._waiting.popleft()
            self._waiting_bytes -= sent.size
            other._inbox.append(sent)
            other._inbox_bytes += sent.size
        other._take_soon()

    def _take_soon(self) -> None:
        if self._attached is None or self._taking is not None or self._has_ended:
            return
        if self._attached.loop.is_closed():  # whose process has ended
            return
        if self._inbox or self._other._is_closed:
            self._taking = self._attached.loop.call_soon(self._take)

    def _take(self) -> None:
        """Hear all that is there, then let the other end go on."""
        self._taking = None
        taken, self._inbox = self._inbox, deque()
        self._inbox_bytes = 0
        self._other._make_use_of_room()
        for sent in taken:
            if self._attached is None:  # closed by who heard the one before
                return
            try:
                message = (
                    pickle.loads(sent.what)
                    if isinstance(sent.what, bytes) and self._pickled
                    else sent.what
                )
            except BaseException as exc:  # noqa: BLE001 - whatever it is, it can't be read
                self._end(described(exc))
                return
            self._attached.hear(message)
        if self._other._is_closed and not self._inbox:
            self._end(None)

    def _make_use_of_room(self) -> None:
        if self._waiting:
            self._push()
            if not self._waiting and self._attached is not None:
                self._attached.loop.call_soon(self._relieved)

    def _relieved(self) -> None:
        if self._attached is not None:
            self._attached.relieved()

    def _end(self, fault: str | None) -> None:
        if self._attached is not None and not self._has_ended:
            self._has_ended = True
            self._attached.ended(fault)


class _Sent(NamedTuple):
    what: Any
    size: int


class _Attached(NamedTuple):
    loop: asyncio.AbstractEventLoop
    hear: Callable[[Any], None]
    ended: Callable[[str | None], None]
    relieved: Callable[[], None]
