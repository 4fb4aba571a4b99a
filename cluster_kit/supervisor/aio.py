"""``AsyncSupervisor``: the supervisor for asyncio programs, with the same names, awaited."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from cluster_kit.config import ClusterConfig, ConfigDict, TopologyDict, load_config
from cluster_kit.events import Event
from cluster_kit.node import Node
from cluster_kit.plugins import PluginRegistry
from cluster_kit.supervisor.async_subscription import AsyncSubscription
from cluster_kit.supervisor.bus import DEFAULT_QUEUE
from cluster_kit.supervisor.changes import Changes
from cluster_kit.supervisor.status import TopologyStatus
from cluster_kit.supervisor.supervisor import Supervisor
from cluster_kit.supervisor.view import NodeState
from cluster_kit.supervisor.waiting import count

if TYPE_CHECKING:
    from cluster_kit.supervisor.topics.aio import AsyncTopic
    from cluster_kit.supervisor.topics.duty import AsyncDuty

_Result = TypeVar("_Result")


class AsyncSupervisor:
    """A ``Supervisor`` for asyncio programs: the same methods, most of them awaited.

    None of them blocks the event loop. Arguments, results and errors are those of ``Supervisor``,
    where the methods are described. Use it in ``async with``, or await ``start`` and ``stop``::

        async with AsyncSupervisor({"topologies": {"lan": {"strategy": "gossip"}}}) as cluster:
            await cluster.wait_for(3, timeout_s=30)
            async for event in cluster.subscribe():
                print(event)

    Use it from the event loop in which it was started.
    """

    def __init__(
        self,
        config: ConfigDict | Mapping[str, Any] | ClusterConfig,
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
        """Make a supervisor from a YAML file; see ``Supervisor.from_file``."""
        plugins = plugins or PluginRegistry.load()
        return cls(load_config(path, plugins), observe=observe, plugins=plugins, control=control)

    def __repr__(self) -> str:
        return f"<{self._sync._title(type(self).__name__)}>"

    def _repr_html_(self) -> str:
        """Return a table of the topologies, which notebooks show."""
        return self._sync._repr_html_()

    async def start(self) -> Self:
        """Start the workers, and wait until each accepts links; see ``Supervisor.start``.

        If it is cancelled, nothing is left running.
        """
        self._sync._boards.loop = asyncio.get_running_loop()
        try:
            await _in_thread(self._sync.start)
        except asyncio.CancelledError:
            await asyncio.shield(_in_thread(self._sync.stop))
            raise
        return self

    async def stop(self) -> None:
        """Say goodbye, and wait until all workers have ended; see ``Supervisor.stop``."""
        await _in_thread(self._sync.stop)

    async def join(self, timeout_s: float | None = None) -> bool:
        """Wait until the supervisor has stopped; see ``Supervisor.join``."""
        try:
            self._sync.join(0)  # raises if it was not started, and there is nothing to wait for
            async with asyncio.timeout(timeout_s):
                async for _ in self.subscribe():
                    pass
                return await _in_thread(self._sync.join)
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
        """Return the other nodes, sorted by name; see ``Supervisor.nodes``."""
        return self._sync.nodes(topology, state)

    async def wait_for(
        self,
        n: int,
        *,
        topology: str | None = None,
        state: NodeState = "up",
        timeout_s: float | None = None,
    ) -> None:
        """Wait until the cluster has ``n`` nodes; see ``Supervisor.wait_for``."""
        sync = self._sync
        sync._check_reachable(n, topology, state)
        sync.nodes(topology, state)  # raises if it was not started: there is nothing to wait for
        try:
            async with asyncio.timeout(timeout_s), self.subscribe(topology=topology) as events:
                while count(sync._bus, sync._counted, topology, state) < n:
                    await anext(events)
        except (TimeoutError, StopAsyncIteration):
            sync.wait_for(n, topology=topology, state=state, timeout_s=0)

    def subscribe(
        self,
        callback: Callable[[Event], None] | None = None,
        *,
        topology: str | None = None,
        maxsize: int = DEFAULT_QUEUE,
    ) -> AsyncSubscription:
        """Receive events, beginning with a snapshot; see ``Supervisor.subscribe``.

        A callback is called in the event loop; it should return soon.
        """
        subscription = self._sync.subscribe(topology=topology, maxsize=maxsize)
        return AsyncSubscription(subscription, callback)

    async def owner(
        self,
        key: str | bytes,
        *,
        where: Mapping[str, str] | None = None,
        topology: str | None = None,
    ) -> Node:
        """Return the owner of ``key``; see ``Supervisor.owner``."""
        return self._sync.owner(key, where=where, topology=topology)

    async def owners(
        self,
        key: str | bytes,
        n: int,
        *,
        where: Mapping[str, str] | None = None,
        topology: str | None = None,
    ) -> tuple[Node, ...]:
        """Return the first ``n`` owners of ``key``; see ``Supervisor.owners``."""
        return self._sync.owners(key, n, where=where, topology=topology)

    def once(
        self,
        name: str,
        *,
        min_nodes: int = 1,
        topology: str | None = None,
        timeout_s: float | None = None,
    ) -> AsyncDuty:
        """Return an ``async with`` block in which at most one node is; see ``Supervisor.once``.

        Leave the block when ``AsyncDuty.wait`` returns False.
        """
        from cluster_kit.supervisor.topics.duty import AsyncDuty

        return AsyncDuty(self._sync._candidate(name, min_nodes, topology), timeout_s)

    def topic(self, name: str, *, topology: str | None = None) -> AsyncTopic:
        """Return a named stream of messages; see ``Supervisor.topic``."""
        from cluster_kit.supervisor.topics.aio import AsyncTopic

        return AsyncTopic(self._sync.topic(name, topology=topology))

    async def status(self) -> Mapping[str, TopologyStatus]:
        """Return the status of each topology, by name; see ``Supervisor.status``."""
        return await _in_thread(self._sync.status)

    async def drain(self) -> None:
        """Announce that this node is about to leave; see ``Supervisor.drain``."""
        self._sync.drain()

    async def update_metadata(self, metadata: Mapping[str, str]) -> None:
        """Replace this node's metadata; see ``Supervisor.update_metadata``."""
        self._sync.update_metadata(metadata)

    async def reload(
        self, config: ConfigDict | Mapping[str, Any] | str | os.PathLike[str] | ClusterConfig
    ) -> Changes:
        """Change to another configuration; see ``Supervisor.reload``."""
        return await _in_thread(partial(self._sync.reload, config))

    async def add_topology(self, name: str, topology: TopologyDict | Mapping[str, Any]) -> None:
        """Start one more topology; see ``Supervisor.add_topology``."""
        await _in_thread(partial(self._sync.add_topology, name, topology))

    async def replace_topology(self, name: str, topology: TopologyDict | Mapping[str, Any]) -> None:
        """Start a topology with another configuration; see ``Supervisor.replace_topology``."""
        await _in_thread(partial(self._sync.replace_topology, name, topology))

    async def remove_topology(self, name: str) -> None:
        """Stop a topology for good; see ``Supervisor.remove_topology``."""
        await _in_thread(partial(self._sync.remove_topology, name))

    async def call(
        self, topology: str, command: str, /, *, timeout_s: float = 5.0, **arguments: Any
    ) -> Any:
        """Run a command of the topology's connector; see ``Supervisor.call``."""
        work = partial(self._sync.call, topology, command, timeout_s=timeout_s, **arguments)
        return await _in_thread(work)


async def _in_thread(work: Callable[[], _Result]) -> _Result:
    """Run ``work``, which blocks, in a separate thread.

    ``asyncio.to_thread`` would wait for a thread of the default executor, which may all be busy.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Result] = loop.create_future()

    def finish(set_outcome: Callable[[], None]) -> None:
        if not future.done():  # it may have been cancelled
            set_outcome()

    def run() -> None:
        try:
            set_outcome = partial(future.set_result, work())
        except BaseException as exc:  # noqa: BLE001 - raised where it is awaited
            set_outcome = partial(future.set_exception, exc)
        with suppress(RuntimeError):  # the loop is closed: nothing awaits this any more
            loop.call_soon_threadsafe(finish, set_outcome)

    threading.Thread(target=run, name="cluster-kit-call", daemon=True).start()
    return await future
