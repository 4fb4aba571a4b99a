"""``AsyncSubscription``, and the base that it shares with subscriptions to topics."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Generic, Self, TypeVar

from cluster_kit.events import Event
from cluster_kit.supervisor.bus import Subscription
from cluster_kit.throttle import Throttle

_Item = TypeVar("_Item")

log = logging.getLogger("cluster_kit.supervisor")


class AsyncReader(ABC, Generic[_Item]):
    """Reads in an event loop what another thread queues.

    Args:
        callback: Called with each item, in the event loop; without one, iterate.
    """

    def __init__(self, callback: Callable[[_Item], None] | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._throttle = Throttle()
        self._reader: asyncio.Task[None] | None = None
        if callback is not None:
            self._reader = self._loop.create_task(self._read(callback))

    @abstractmethod
    def _poll(self) -> _Item | None:
        """Return the next item if there is one."""

    @abstractmethod
    def _arm(self) -> bool:
        """Ask for ``_wake`` to be called; return False if an item is there, or none will be."""

    @abstractmethod
    def _is_exhausted(self) -> bool:
        """Whether nothing is queued and nothing will be."""

    @abstractmethod
    def _close(self) -> None:
        """Queue nothing more."""

    def _wake(self) -> None:
        """Wake the reader. Thread-safe."""
        with suppress(RuntimeError):  # the loop is closed: there is no reader any more
            self._loop.call_soon_threadsafe(self._ready.set)

    async def _read(self, callback: Callable[[_Item], None]) -> None:
        async for item in self:
            try:
                callback(item)
            except (Exception, asyncio.CancelledError) as exc:
                if isinstance(exc, asyncio.CancelledError) and self._is_cancelled():
                    raise
                kind = type(exc).__name__
                if self._throttle.passes(kind, self._loop.time()):
                    more = self._throttle.more(kind)
                    log.exception("callback %r raised on %.200r%s", callback, item, more)

    def _is_cancelled(self) -> bool:
        """Whether the reading task itself was cancelled, rather than something in the callback."""
        return self._reader is not None and self._reader.cancelling() > 0

    def __aiter__(self) -> AsyncIterator[_Item]:
        return self

    async def __anext__(self) -> _Item:
        while True:
            self._ready.clear()
            item = self._poll()
            if item is not None:
                return item
            if self._arm():
                await self._ready.wait()
            elif self._is_exhausted():
                raise StopAsyncIteration

    async def close(self) -> None:
        """Receive nothing more; queued items can still be read. Idempotent."""
        self._close()
        self._ready.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncSubscription(AsyncReader[Event]):
    """An async iterator over events, which begins with one ``Snapshot`` per topology.

    ``AsyncSupervisor.subscribe`` makes it. It ends when it is closed, or its supervisor stops. Only
    one task may read it at a time, and none if it has a callback. Use it in ``async for``, and in
    ``async with`` to close it early.
    """

    def __init__(
        self, subscription: Subscription, callback: Callable[[Event], None] | None
    ) -> None:
        super().__init__(callback)
        self._subscription = subscription
        subscription.listen(self._wake)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._subscription._title}>"

    def _poll(self) -> Event | None:
        return self._subscription.poll()

    def _arm(self) -> bool:
        return not self._subscription.exhausted  # each event wakes

    def _is_exhausted(self) -> bool:
        return self._subscription.exhausted

    def _close(self) -> None:
        self._subscription.close()
