"""``AsyncSubscription``: the subscription to events for asyncio programs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Self

from cluster_kit.events import Event
from cluster_kit.supervisor.bus import Subscription
from cluster_kit.throttle import Throttle

log = logging.getLogger("cluster_kit.supervisor")


class AsyncSubscription:
    """An async iterator over events, which begins with one ``Snapshot`` per topology.

    It ends when it or its supervisor is closed. Only one task may read it at a time, and none if it
    was made with a callback. Use it in ``async for``, and in ``async with`` to close it early.
    """

    def __init__(
        self,
        subscription: Subscription,
        callback: Callable[[Event], None] | None,
    ) -> None:
        self._subscription = subscription
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._throttle = Throttle()
        self._reader: asyncio.Task[None] | None = None
        if callback is not None:
            self._reader = self._loop.create_task(self._read(callback))
        subscription.listen(self._wake)

    def _wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ready.set)

    async def _read(self, callback: Callable[[Event], None]) -> None:
        async for event in self:
            try:
                callback(event)
            except (Exception, asyncio.CancelledError) as exc:
                if isinstance(exc, asyncio.CancelledError) and self._is_cancelled():
                    raise
                kind = type(exc).__name__
                if self._throttle.passes(kind, self._loop.time()):
                    more = self._throttle.more(kind)
                    log.exception("callback %r raised on %r%s", callback, event, more)

    def _is_cancelled(self) -> bool:
        """Whether the reading task itself was cancelled, rather than something in the callback."""
        return self._reader is not None and self._reader.cancelling() > 0

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while True:
            self._ready.clear()
            event = self._subscription.poll()
            if event is not None:
                return event
            if self._subscription.exhausted:
                raise StopAsyncIteration
            await self._ready.wait()

    async def close(self) -> None:
        """Receive no more events; what is queued can still be read. Idempotent."""
        self._subscription.close()
        self._ready.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
