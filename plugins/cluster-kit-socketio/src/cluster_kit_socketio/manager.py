"""``ClusterManager``: what one Socket.IO server does for its clients, it tells the others as
messages of a topic.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

from socketio.async_pubsub_manager import AsyncPubSubManager

from cluster_kit import AsyncSupervisor, Gap


class ClusterManager(AsyncPubSubManager):  # type: ignore[misc]  # python-socketio has no types
    """A client manager for ``socketio.AsyncServer(client_manager=...)``.

    Each server holds its own clients and their rooms, and hears of what the others do. What it
    misses, it logs. Nothing is pickled.

    Args:
        cluster: Of this process; the application starts and stops it.
        channel: Name of the topic; servers of one name belong together.
        write_only: Emit to the clients of all servers, and be none.
        logger: Takes warnings; by default the server's.
        json: Of a manager without a server; else the server's is taken.
        topology: Whose links carry the messages; by default the only one that can.

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
        """Tell the other servers; raises what ``AsyncTopic.publish`` does."""
        try:
            await self._topic.publish(data)
        except TypeError as exc:
            await self._topic.publish(self._as_clients_get_it(data, exc))

    def _as_clients_get_it(self, data: dict[str, Any], error: TypeError) -> Any:
        """Return ``data`` as it comes out of JSON: an enum's member, say, as its value, which is
        what clients get anyway.
        """
        try:
            return self.json.loads(self.json.dumps(data))
        except (TypeError, ValueError):
            raise error from None  # which names the place

    async def _listen(self) -> AsyncIterator[Any]:
        """Return what other servers tell, until the cluster stops."""
        async with self._topic.subscribe() as items:
            async for item in items:
                if isinstance(item, Gap):
                    missed = "some" if item.lost is None else item.lost
                    self._get_logger().warning(
                        "%s: %s messages of %s were lost", self.name, missed, item.sender
                    )
                else:
                    yield item.data
        # to the caller, an end of this is an error, and a cancellation none
        raise asyncio.CancelledError
