"""``ClusterManager``: shares what each Socket.IO server does, by messages of a topic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

from socketio.async_pubsub_manager import AsyncPubSubManager

from cluster_kit import AsyncSupervisor, Gap


class ClusterManager(AsyncPubSubManager):  # type: ignore[misc]  # python-socketio has no types
    """A client manager for ``socketio.AsyncServer(client_manager=...)``.

    Each server holds its own clients and their rooms, and receives what the others do. Messages
    that it misses are logged. Nothing is pickled.

    Args:
        cluster: The supervisor of this process; the application starts and stops it.
        channel: Name of the topic; servers with the same name belong together.
        write_only: Only emit to the clients of other servers, without being one.
        logger: Receives warnings; by default the server's.
        json: For a manager without a server; otherwise the server's is used.
        topology: The topology whose links carry the messages; by default the only one that can.

    Raises:
        ConfigError: No topology of the cluster carries messages, or several do.
    """

    name = "cluster"

    def __init__(
        self,
        cluster: AsyncSupervisor,
        channel: str = "socketio",
        *,
        write_only: bool = False,
        logger: Any = None,
        json: ModuleType | None = None,
        topology: str | None = None,
    ) -> None:
        super().__init__(channel=channel, write_only=write_only, logger=logger, json=json)
        self._topic = cluster.topic(channel, topology=topology)

    async def _publish(self, data: dict[str, Any]) -> None:
        """Send to the other servers; raises as ``AsyncTopic.publish`` does."""
        try:
            await self._topic.publish(data)
        except TypeError as exc:
            await self._topic.publish(self._through_json(data, exc))

    def _through_json(self, data: dict[str, Any], error: TypeError) -> Any:
        """Return ``data`` after a round trip through JSON, which turns enum members into values."""
        try:
            return self.json.loads(self.json.dumps(data))
        except (TypeError, ValueError):
            raise error from None  # it says which part is at fault

    async def _listen(self) -> AsyncIterator[Any]:
        """Yield what other servers send, until the cluster stops."""
        async with self._topic.subscribe() as items:
            async for item in items:
                if isinstance(item, Gap):
                    missed = "some" if item.lost is None else item.lost
                    self._get_logger().warning(
                        "%s: %s messages of %s were lost", self.name, missed, item.sender
                    )
                else:
                    yield item.data
        # the caller takes an end of the iteration for an error, but not a cancellation
        raise asyncio.CancelledError
