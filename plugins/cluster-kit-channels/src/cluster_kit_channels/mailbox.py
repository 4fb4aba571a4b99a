"""The unread messages of one process's channels: in order, bounded, and for a limited time."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import count
from typing import Any, NamedTuple


class _Unread(NamedTuple):
    number: int
    expires_s: float
    message: dict[str, Any]


class Mailbox:
    """Keeps messages until they are read. Thread-safe; time is passed in.

    A channel ``name!local`` belongs to ``name!``, and shares its capacity, where a message to many
    channels counts once. While that name has readers, each channel has a separate queue for what
    has arrived, again with that capacity, and loses the oldest messages beyond it. So one slow
    reader doesn't affect the others.

    Args:
        capacity: Returns the capacity of a name.
        expiry_s: Seconds after which an unread message is dropped.
    """

    def __init__(self, capacity: Callable[[str], int], expiry_s: float) -> None:
        self._capacity = capacity
        self._expiry_s = expiry_s
        self._lock = threading.Lock()
        self._numbers = count()
        self._arrived: dict[str, deque[tuple[tuple[str, ...], _Unread]]] = {}
        self._unread: dict[str, deque[_Unread]] = {}
        self._readers: dict[str, list[Callable[[], None]]] = {}
        self._reading: Counter[str] = Counter()
        self._swept_s = 0.0

    def put(
        self, name: str, channels: Iterable[str], message: dict[str, Any], now_s: float
    ) -> bool:
        """Keep ``message`` for ``channels``, all of one ``name``; return whether there was room."""
        with self._lock:
            self._sweep(now_s)
            arrived = self._arrived.setdefault(name, deque())
            while arrived and arrived[0][1].expires_s <= now_s:
                arrived.popleft()
            if len(arrived) + len(self._unread.get(name, ())) >= self._capacity(name):
                return False
            arrived.append(
                (tuple(channels), _Unread(next(self._numbers), now_s + self._expiry_s, message))
            )
            if self._reading[name]:
                self._sort(name)
            wakes = dict.fromkeys(
                wake for channel in (*channels, name) for wake in self._readers.get(channel, ())
            )
        for wake in wakes:
            wake()
        return True

    def take(self, channel: str, now_s: float) -> dict[str, Any] | None:
        """Return the next message, ``None`` if there is none; ``name!`` means all its channels."""
        with self._lock:
            self._sort(name_of(channel))
            while unread := self._next(channel):
                found, oldest = unread
                queue = self._unread[found]
                queue.popleft()
                if not queue:
                    del self._unread[found]
                if oldest.expires_s > now_s:
                    return deepcopy(oldest.message)
        return None

    def _next(self, channel: str) -> tuple[str, _Unread] | None:
        channels = [channel]
        if channel.endswith("!"):
            channels = [each for each in self._unread if each.startswith(channel)]
        heads = [(each, self._unread[each][0]) for each in channels if each in self._unread]
        return min(heads, key=lambda head: head[1].number, default=None)

    def _sort(self, name: str) -> None:
        """Move what has arrived under ``name`` to the queue of each channel."""
        for channels, unread in self._arrived.pop(name, ()):
            for channel in channels:
                self._unread.setdefault(channel, deque(maxlen=self._capacity(name))).append(unread)

    def _sweep(self, now_s: float) -> None:
        """Drop expired messages of all channels, if the last time is long ago."""
        if now_s - self._swept_s < self._expiry_s / 2:
            return
        self._swept_s = now_s
        for name in list(self._arrived):
            if not self._arrived[name] or self._arrived[name][-1][1].expires_s <= now_s:
                del self._arrived[name]
        for channel in list(self._unread):
            if self._unread[channel][-1].expires_s <= now_s:
                del self._unread[channel]

    def enter(self, channel: str, wake: Callable[[], None]) -> None:
        """Call ``wake``, in any thread, when there may be a message for ``channel``."""
        with self._lock:
            self._readers.setdefault(channel, []).append(wake)
            self._reading[name_of(channel)] += 1

    def leave(self, channel: str, wake: Callable[[], None]) -> bool:
        """Undo ``enter``, and wake all other readers; return whether there are none."""
        with self._lock:
            readers = self._readers[channel]
            readers.remove(wake)
            name = name_of(channel)
            self._reading[name] -= 1
            if not self._reading[name]:
                del self._reading[name]
            others = list(readers)
            if not readers:
                del self._readers[channel]
        for other in others:
            other()
        return not others

    def waits(self, name: str) -> bool:
        """Whether a reader waits for a message under ``name``."""
        return self._reading[name] > 0

    @property
    def names(self) -> list[str]:
        """The channels with unread messages that belong to no process."""
        with self._lock:
            return sorted({name for name in (*self._arrived, *self._unread) if "!" not in name})

    def clear(self) -> None:
        """Forget all messages."""
        with self._lock:
            self._arrived.clear()
            self._unread.clear()


def name_of(channel: str) -> str:
    """Return the part of a channel's name up to the exclamation mark; all of it without one."""
    name, mark, _ = channel.partition("!")
    return name + mark
