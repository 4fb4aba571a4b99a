"""``AsyncTopic``: the methods of ``Topic``, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from cluster_kit.node import Node
from cluster_kit.supervisor.async_subscription import AsyncReader
from cluster_kit.supervisor.topics.callbacks import Receiver
from cluster_kit.supervisor.topics.items import Gap, Message
from cluster_kit.supervisor.topics.subscription import (
    DEFAULT_BYTES,
    DEFAULT_MESSAGES,
    TopicSubscription,
)
from cluster_kit.supervisor.topics.topic import Topic, _Function, checked_callback


class AsyncTopicSubscription(AsyncReader[Message | Gap]):
    """An async iterator over messages and gaps; ``AsyncTopic.subscribe`` makes it.

    It ends as a ``TopicSubscription`` does. Only one task may read it at a time, and none if it has
    a callback. Use it in ``async for``, and in ``async with`` to close it early.
    """

    def __init__(self, subscription: TopicSubscription, callback: Receiver | None) -> None:
        super().__init__(callback)
        self._subscription = subscription
        subscription.set_wake(self._wake)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._subscription._title}>"

    def _poll(self) -> Message | Gap | None:
        return self._subscription.poll()

    def _arm(self) -> bool:
        return self._subscription.arm()

    def _is_exhausted(self) -> bool:
        return self._subscription.exhausted

    def _close(self) -> None:
        self._subscription.close()


class AsyncTopic:
    """A topic of one topology; see ``Topic``. No method blocks the event loop."""

    def __init__(self, topic: Topic) -> None:
        self._sync = topic

    @property
    def name(self) -> str:
        """Name of the topic."""
        return self._sync.name

    @property
    def topology(self) -> str:
        """Name of the topology whose links carry it."""
        return self._sync.topology

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} of topology {self.topology!r}>"

    async def publish(self, data: Any) -> int:
        """Send ``data`` to every linked node that listens; see ``Topic.publish``."""
        return self._sync.publish(data)

    async def send(self, to: Node | str, data: Any, *, timeout_s: float = 5.0) -> None:
        """Send ``data`` to one node; see ``Topic.send``."""
        [result] = await self._request([to], data, timeout_s, verb="send")
        if result is not None:
            raise result

    async def ask(self, to: Node | str, data: Any, *, timeout_s: float = 5.0) -> Any:
        """Ask one node; see ``Topic.ask``."""
        [result] = await self._request([to], data, timeout_s, verb="ask")
        if isinstance(result, Exception):
            raise result
        return result

    async def ask_all(self, data: Any, *, timeout_s: float = 5.0) -> dict[Node, Any]:
        """Ask every linked node that answers; see ``Topic.ask_all``."""
        nodes = self._sync.nodes(answering=True)
        results = await self._request(nodes, data, timeout_s, verb="ask_all")
        return dict(zip(nodes, results, strict=True))

    async def nodes(self, *, answering: bool = False) -> tuple[Node, ...]:
        """Return the linked nodes that listen; see ``Topic.nodes``."""
        return self._sync.nodes(answering=answering)

    async def _request(
        self, nodes: Sequence[Node | str], data: Any, timeout_s: float, *, verb: str
    ) -> list[Any]:
        loop, ready = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(ready.set)

        request = self._sync._begin(nodes, data, timeout_s, verb=verb, wake=wake)
        try:
            async with asyncio.timeout(request.left_s):
                while not request.collect():
                    await ready.wait()
                    ready.clear()
        except TimeoutError:
            pass
        finally:
            request.give_up()
        return request.results()

    def subscribe(
        self,
        callback: Receiver | None = None,
        *,
        max_messages: int = DEFAULT_MESSAGES,
        max_bytes: int = DEFAULT_BYTES,
    ) -> AsyncTopicSubscription:
        """Receive messages from now on; see ``Topic.subscribe``.

        The callback runs in the event loop.
        """
        checked_callback(callback)
        subscription = self._sync.subscribe(max_messages=max_messages, max_bytes=max_bytes)
        return AsyncTopicSubscription(subscription, callback)

    def answer(self, function: _Function) -> _Function:
        """Answer questions with ``function``; see ``Topic.answer``.

        A coroutine function runs in the event loop.
        """
        return self._sync.answer(function)

    def stop_answering(self) -> None:
        """Stop answering questions; see ``Topic.stop_answering``."""
        self._sync.stop_answering()
