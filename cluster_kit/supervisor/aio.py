"""``AsyncSupervisor``: the supervisor for asyncio programs, with the same names, awaited."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from cluster_kit.config import ClusterConfig, ConfigDict, load_config
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
    """Runs the topologies of a configuration, and knows which nodes are there; for asyncio.

    It has the methods of ``Supervisor``, and none of them blocks the event loop. Use it in ``async
    with``, or await ``start`` and ``stop``. A supervisor runs once. Arguments and errors are those
    of ``Supervisor``.
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
        """Make a supervisor from a YAML file; the other arguments are those of the class.

        Raises:
            ConfigError: The file cannot be read or has faults; each names its line.
        """
        plugins = plugins or PluginRegistry.load()
        return cls(load_config(path, plugins), observe=observe, plugins=plugins, control=control)

    def __repr__(self) -> str:
        return f"<{self._sync._title(type(self).__name__)}>"

    def _repr_html_(self) -> str:
        """Return a table of the topologies, which notebooks show."""
        return self._sync._repr_html_()

    async def start(self) -> Self:
        """Start the workers, and return once each serves, or after ten seconds.

        If it is cancelled, nothing is left running.

        Raises:
            ConfigError: A topology can't serve as configured, such as on a port in use. Nothing is
                left running.
            ClusterKitError: The system refuses what it takes, or a process that was started is not
                a worker. Nothing is left running.
        """
        self._sync._boards.loop = asyncio.get_running_loop()
        try:
            await _in_thread(self._sync.start)
        except asyncio.CancelledError:
            await asyncio.shield(_in_thread(self._sync.stop))
            raise
        return self

    async def stop(self) -> None:
        """Leave with a goodbye, and wait until all workers have ended. Idempotent."""
        await _in_thread(self._sync.stop)

    async def join(self, timeout_s: float | None = None) -> bool:
        """Wait until the supervisor has stopped; return whether it has.

        Args:
            timeout_s: How long to wait, in seconds; for ever by default.

        Raises:
            RestartLimitError: A topology with ``escalate: true`` was restarted too often.
            ClusterKitError: It was not started, or the supervisor itself failed.
        """
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
        """Return the other nodes, sorted by name.

        Args:
            topology: Only those of this one.
            state: ``"up"`` for those that are linked, ``"known"`` for those that discovery vouches
                for.

        Raises:
            ClusterKitError: The supervisor is not running, or there is no such topology.
        """
        return self._sync.nodes(topology, state)

    async def wait_for(
        self,
        n: int,
        *,
        topology: str | None = None,
        state: NodeState = "up",
        timeout_s: float | None = None,
    ) -> None:
        """Wait until the cluster has ``n`` nodes, including this one unless it only observes.

        Args:
            n: How many.
            topology: Count the nodes of this one only.
            state: Which nodes count; see ``nodes``.
            timeout_s: How long to wait, in seconds; for ever by default.

        Raises:
            WaitTimeoutError: The time is over, or the supervisor has stopped.
            ConfigError: It would never return: the topology does not link or hold that many.
            ClusterKitError: The supervisor is not running, or there is no such topology.
        """
        sync = self._sync
        sync.check_reachable(n, topology, state)
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
        """Receive events, beginning with a snapshot: iterate over the result, or give a callback.

        Args:
            callback: Called with each event in the event loop; it should return soon.
            topology: Only events of this one.
            maxsize: How many events to queue; a subscriber further behind gets a fresh snapshot
                instead.
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
        """Return the one node, of this one and those linked, that owns ``key``; see ``owners``.

        Raises:
            ClusterKitError: No node has the metadata ``where``.
        """
        return self._sync.owner(key, where=where, topology=topology)

    async def owners(
        self,
        key: str | bytes,
        n: int,
        *,
        where: Mapping[str, str] | None = None,
        topology: str | None = None,
    ) -> tuple[Node, ...]:
        """Return the first ``n`` owners of ``key``, of this node and those linked, in order.

        Nodes that see each other agree. When one goes, only its own keys move.

        Args:
            key: Names whatever has to be in one place.
            n: How many; fewer are returned if there are not so many.
            where: Only nodes that have this in their metadata.
            topology: Whose links count; by default those of all.

        Raises:
            TypeError: The key is neither text nor bytes, or ``n`` is not a number from 1 up.
        """
        return self._sync.owners(key, n, where=where, topology=topology)

    def once(
        self,
        name: str,
        *,
        min_nodes: int = 1,
        topology: str | None = None,
        timeout_s: float | None = None,
    ) -> AsyncDuty:
        """Return an ``async with`` block that at most one of the linked nodes is in at a time.

        Entering it waits for that. The block must be left when ``AsyncDuty.wait`` returns False;
        ``Supervisor.once`` says when that is, and what ``min_nodes`` is for.

        Args:
            name: What the duty is called, the same on all nodes.
            min_nodes: How many nodes must be linked for any of them to have it.
            topology: Whose links count; by default the only one that carries messages.
            timeout_s: How long to wait for it, in seconds; for ever by default.

        Raises:
            ConfigError: No topology carries messages, or several do.
            ValueError: ``name`` or ``min_nodes`` can't be used.
        """
        from cluster_kit.supervisor.topics.duty import AsyncDuty

        return AsyncDuty(self._sync._candidate(name, min_nodes, topology), timeout_s)

    def topic(self, name: str, *, topology: str | None = None) -> AsyncTopic:
        """Return a named stream of messages between the applications of linked nodes.

        A topology that is replaced keeps its topics; one that is removed ends them.

        Args:
            name: At most 255 bytes as UTF-8.
            topology: Whose links carry it; by default the only one that can.

        Raises:
            ConfigError: No topology carries messages, or several do.
            ValueError: ``name`` can't be used.
        """
        from cluster_kit.supervisor.topics.aio import AsyncTopic

        return AsyncTopic(self._sync.topic(name, topology=topology))

    async def status(self) -> Mapping[str, TopologyStatus]:
        """Return how each topology is doing, by name; waits up to a second for the workers.

        What only a worker knows, such as round-trip times, is missing if it does not answer in that
        time.
        """
        return await _in_thread(self._sync.status)

    async def drain(self) -> None:
        """Announce that this node is about to leave.

        Other nodes dial it no more, and keep their links to it until it stops.
        """
        self._sync.drain()

    async def update_metadata(self, metadata: Mapping[str, str]) -> None:
        """Replace this node's metadata, which all other nodes will see.

        Raises:
            ValueError: It is not text, or more than 1,024 bytes.
        """
        self._sync.update_metadata(metadata)

    async def reload(
        self,
        config: ConfigDict | Mapping[str, Any] | str | os.PathLike[str] | ClusterConfig,
    ) -> Changes:
        """Change to another configuration; whatever is the same in both goes on undisturbed.

        Topologies that are configured differently leave, then start as configured now.

        Args:
            config: A dict, the path of a YAML file, or what ``load_config`` returned.

        Returns:
            What has changed.

        Raises:
            ConfigError: The configuration has faults, or belongs to another node or cluster; then
                nothing has changed. Or a topology can't serve as configured now; then the change
                stays, and the topology is tried again and again.
            ClusterKitError: The supervisor is not running.
        """
        return await _in_thread(partial(self._sync.reload, config))

    async def add_topology(self, name: str, topology: Mapping[str, Any]) -> None:
        """Start one more topology, and return once it serves.

        ``topology`` is given as under ``topologies`` in a configuration.

        Raises:
            ConfigError: It has faults, or can't serve as configured; nothing of it is left.
            ClusterKitError: There is one of that name, or the supervisor is not running.
        """
        await _in_thread(partial(self._sync.add_topology, name, topology))

    async def replace_topology(self, name: str, topology: Mapping[str, Any]) -> None:
        """Have a topology leave, and start it as configured now.

        ``topology`` is given as under ``topologies`` in a configuration.

        Raises:
            ConfigError: It has faults; then nothing has changed. Or it can't serve as configured;
                then it is tried again and again.
            ClusterKitError: There is none of that name, or the supervisor is not running.
        """
        await _in_thread(partial(self._sync.replace_topology, name, topology))

    async def remove_topology(self, name: str) -> None:
        """Have a topology leave for good.

        Its nodes are reported as down and lost, and subscriptions to it alone end.

        Raises:
            ClusterKitError: There is none of that name, it is the last one, or the supervisor is
                not running.
        """
        await _in_thread(partial(self._sync.remove_topology, name))

    async def call(
        self,
        topology: str,
        command: str,
        /,
        *,
        timeout_s: float = 5.0,
        **arguments: Any,
    ) -> Any:
        """Run a command of the topology's connector in its worker, and return the result.

        Arguments and result are plain data.

        Args:
            topology: Its name in the configuration.
            command: The name of a method of the connector that is marked ``@command``.
            timeout_s: How long the command may take, in seconds.
            arguments: Passed to the command by name.

        Raises:
            CommandError: There is no such command, it failed, or it took too long.
            TypeError: An argument is not plain data.
        """
        work = partial(self._sync.call, topology, command, timeout_s=timeout_s, **arguments)
        return await _in_thread(work)


async def _in_thread(work: Callable[[], _Result]) -> _Result:
    """Run ``work``, which blocks, in a thread of its own.

    ``asyncio.to_thread`` would wait for one of the default executor, which may all be taken.
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
        with suppress(RuntimeError):  # the loop is closed: nobody awaits this any more
            loop.call_soon_threadsafe(finish, set_outcome)

    threading.Thread(target=run, name="cluster-kit-call", daemon=True).start()
    return await future
