"""``AsyncSupervisor``: the supervisor for asyncio programs, with the same names, awaited."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from cluster_kit.config import ClusterConfig
from cluster_kit.events import Event
from cluster_kit.node import Node
from cluster_kit.plugins import PluginRegistry
from cluster_kit.supervisor.bus import DEFAULT_QUEUE, Subscription
from cluster_kit.supervisor.changes import Changes
from cluster_kit.supervisor.status import TopologyStatus
from cluster_kit.supervisor.supervisor import Supervisor
from cluster_kit.supervisor.view import NodeState
from cluster_kit.supervisor.waiting import count
from cluster_kit.throttle import Throttle

if TYPE_CHECKING:
    from cluster_kit.supervisor.topics.aio import AsyncTopic
    from cluster_kit.supervisor.topics.duty import AsyncDuty

_Result = TypeVar("_Result")

log = logging.getLogger("cluster_kit.supervisor")


class AsyncSubscription:
    """An async iterator over events that begins with snapshots; for one reader at a time, which a callback is."""

    def __init__(self, subscription: Subscription, callback: Callable[[Event], None] | None) -> None:
        self._subscription = subscription
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._throttle = Throttle()
        self._reader = self._loop.create_task(self._read(callback)) if callback is not None else None
        subscription.listen(self._wake)

    def _wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ready.set)

    async def _read(self, callback: Callable[[Event], None]) -> None:
        async for event in self:
            try:
                callback(event)
            except (Exception, asyncio.CancelledError) as exc:
                if isinstance(exc, asyncio.CancelledError) and self._reader is not None and self._reader.cancelling():
                    raise
                kind = type(exc).__name__
                if self._throttle.passes(kind, self._loop.time()):
                    log.exception("callback %r raised on %r%s", callback, event, self._throttle.more(kind))

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
        """Stop receiving; what is queued can still be read."""
        self._subscription.close()
        self._ready.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncSupervisor:
    """Runs the topologies of a configuration; see ``Supervisor``. Nothing here blocks the event loop."""

    def __init__(
        self,
        config: Mapping[str, Any] | ClusterConfig,
        *,
        observe: bool = False,
        plugins: PluginRegistry | None = None,
        control: bool = False,
    ) -> None:
        self._sync = Supervisor(config, observe=observe, plugins=plugins, control=control)

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        *,
        observe: bool = False,
        plugins: PluginRegistry | None = None,
        control: bool = False,
    ) -> Self:
        """Make a supervisor of a YAML file; see ``Supervisor.from_file``."""
        new = cls.__new__(cls)
        new._sync = Supervisor.from_file(path, observe=observe, plugins=plugins, control=control)
        return new

    async def start(self) -> Self:
        """Start the workers and return once each serves; see ``Supervisor.start``."""
        self._sync._boards.loop = asyncio.get_running_loop()
        try:
            await _apart(self._sync.start)
        except asyncio.CancelledError:
            await asyncio.shield(_apart(self._sync.stop))
            raise
        return self

    async def stop(self) -> None:
        """Leave gracefully and wait until all workers have ended."""
        await _apart(self._sync.stop)

    async def join(self, timeout_s: float | None = None) -> bool:
        """Wait until the supervisor has stopped; see ``Supervisor.join``."""
        try:
            self._sync.join(0)  # raises if it was not started, and there is nothing to wait for
            async with asyncio.timeout(timeout_s):
                async for _ in self.subscribe():
                    pass
                return await _apart(self._sync.join)
        except TimeoutError:
            return self._sync.join(0)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def local(self) -> Node:
        """This node: its name and metadata."""
        return self._sync.local

    async def nodes(self, topology: str | None = None, state: NodeState = "up") -> tuple[Node, ...]:
        """Return the other nodes; see ``Supervisor.nodes``."""
        return self._sync.nodes(topology, state)

    async def wait_for(
        self, n: int, *, topology: str | None = None, state: NodeState = "up", timeout_s: float | None = None
    ) -> None:
        """Wait until the cluster has ``n`` nodes, this one included; see ``Supervisor.wait_for``."""
        self._sync.check_reachable(n, topology, state)
        self._sync.nodes(topology, state)  # raises if it was not started, and there is nothing to wait for
        try:
            async with asyncio.timeout(timeout_s), self.subscribe(topology=topology) as events:
                while count(self._sync._bus, self._sync._counted, topology, state) < n:
                    await anext(events)
        except (TimeoutError, StopAsyncIteration):
            self._sync.wait_for(n, topology=topology, state=state, timeout_s=0)

    def subscribe(
        self, callback: Callable[[Event], None] | None = None, *, topology: str | None = None, maxsize: int = DEFAULT_QUEUE
    ) -> AsyncSubscription:
        """Hear what happens, from a snapshot on; see ``Supervisor.subscribe``. A callback runs in the event loop."""
        return AsyncSubscription(self._sync.subscribe(topology=topology, maxsize=maxsize), callback)

    async def owner(self, key: str | bytes, *, where: Mapping[str, str] | None = None, topology: str | None = None) -> Node:
        """Return the node that owns ``key``; see ``Supervisor.owner``."""
        return self._sync.owner(key, where=where, topology=topology)

    async def owners(
        self, key: str | bytes, n: int, *, where: Mapping[str, str] | None = None, topology: str | None = None
    ) -> tuple[Node, ...]:
        """Return the ``n`` first owners of ``key``; see ``Supervisor.owners``."""
        return self._sync.owners(key, n, where=where, topology=topology)

    def once(self, name: str, *, min_nodes: int = 1, topology: str | None = None, timeout_s: float | None = None) -> AsyncDuty:
        """Return a block, for ``async with``, that at most one node is in; see ``Supervisor.once``."""
        from cluster_kit.supervisor.topics.duty import AsyncDuty

        return AsyncDuty(self._sync._candidate(name, min_nodes, topology), timeout_s)

    def topic(self, name: str, *, topology: str | None = None) -> AsyncTopic:
        """Return a named stream of messages between the applications of linked nodes; see ``Supervisor.topic``."""
        from cluster_kit.supervisor.topics.aio import AsyncTopic

        return AsyncTopic(self._sync.topic(name, topology=topology))

    async def status(self) -> Mapping[str, TopologyStatus]:
        """Return how each topology is doing."""
        return await _apart(self._sync.status)

    async def drain(self) -> None:
        """Tell all nodes that this one is about to leave."""
        self._sync.drain()

    async def update_metadata(self, metadata: Mapping[str, str]) -> None:
        """Replace this node's metadata, and tell everybody."""
        self._sync.update_metadata(metadata)

    async def reload(self, config: Mapping[str, Any] | str | os.PathLike[str] | ClusterConfig) -> Changes:
        """Go over to another configuration; see ``Supervisor.reload``."""
        return await _apart(partial(self._sync.reload, config))

    async def add_topology(self, name: str, topology: Mapping[str, Any]) -> None:
        """Start one more topology; see ``Supervisor.add_topology``."""
        await _apart(partial(self._sync.add_topology, name, topology))

    async def replace_topology(self, name: str, topology: Mapping[str, Any]) -> None:
        """Have a topology leave, and start it as configured now; see ``Supervisor.replace_topology``."""
        await _apart(partial(self._sync.replace_topology, name, topology))

    async def remove_topology(self, name: str) -> None:
        """Have a topology leave for good; see ``Supervisor.remove_topology``."""
        await _apart(partial(self._sync.remove_topology, name))

    async def call(self, topology: str, command: str, /, *, timeout_s: float = 5.0, **arguments: Any) -> Any:
        """Run a command of the topology's connector; see ``Supervisor.call``."""
        return await _apart(partial(self._sync.call, topology, command, timeout_s=timeout_s, **arguments))


async def _apart(work: Callable[[], _Result]) -> _Result:
    """Do what blocks in a thread of its own: those of the default executor may all be taken."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Result] = loop.create_future()

    def tell(outcome: Callable[[], None]) -> None:
        if not future.done():
            outcome()

    def run() -> None:
        try:
            outcome = partial(future.set_result, work())
        except BaseException as exc:  # noqa: BLE001 - it is raised where it is awaited
            outcome = partial(future.set_exception, exc)
        with suppress(RuntimeError):  # the loop was closed meanwhile: nobody awaits this
            loop.call_soon_threadsafe(tell, outcome)

    threading.Thread(target=run, name="cluster-kit-call", daemon=True).start()
    return await future
