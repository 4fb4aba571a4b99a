"""The node of a channel layer, and the thread with the event loop in which it runs.

An application's loops come and go: ``async_to_sync`` makes one for each call. This one stays until
the layer is closed.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from django.utils.module_loading import import_string

from cluster_kit import AsyncSupervisor, AsyncTopic, ClusterKitError, Gap, Node, NodeUp

LOOK_AGAIN_S = 0.2  # how late a new reader may get messages that were sent before

log = logging.getLogger("cluster_kit_channels")


class Station:
    """The node of a layer; the first ``open`` starts it.

    Args:
        make: Returns the supervisor.
        owns: Whether to start and stop it.
        topic: Name of the topic.
        topology: Name of the topology whose links carry it.

    Attributes:
        receive: Called with the sender and the data of each message.
        answer: Called with each question, in any thread.
        greet: Awaited with each node that is linked.
        look_again: Awaited every ``LOOK_AGAIN_S``.
    """

    receive: Callable[[Node, Any], None]
    answer: Callable[[Any], Any]
    greet: Callable[[Node], Awaitable[None]]
    look_again: Callable[[], Awaitable[None]]
    topic: AsyncTopic
    local: Node

    def __init__(
        self, make: Callable[[], AsyncSupervisor], *, owns: bool, topic: str, topology: str | None
    ) -> None:
        self._make = make
        self._owns = owns
        self._topic = topic
        self._topology = topology
        self._lock = threading.Lock()
        self._opened: Future[None] | None = None
        self._thread: threading.Thread | None = None

    async def open(self) -> None:
        """Start unless started; if that fails, raise the error, and try again the next time."""
        with self._lock:
            opened = self._opened
            if opened is None:
                opened = self._opened = Future()
                self._thread = threading.Thread(
                    target=self._run, args=(opened,), name="cluster-kit-channels", daemon=True
                )
                self._thread.start()
        if opened.done():
            opened.result()
        else:
            await asyncio.shield(asyncio.wrap_future(opened))

    async def close(self) -> None:
        """End the thread, and leave the cluster if the node is the layer's own.

        ``open`` starts both again.
        """
        with self._lock:
            opened, thread, self._opened, self._thread = self._opened, self._thread, None, None
        if opened is None or thread is None:
            return
        if await asyncio.to_thread(opened.exception) is None:
            self._loop.call_soon_threadsafe(self._told_to_stop.set)
        await asyncio.to_thread(thread.join)

    def topic_of(self, channel: str) -> AsyncTopic:
        """Return the topic on which the readers of ``channel`` answer."""
        return self._supervisor.topic(f"{self._topic}/{channel}", topology=self._topology)

    def _run(self, opened: Future[None]) -> None:
        try:
            asyncio.run(self._live(opened))
        except BaseException as exc:  # raised where the layer is used
            with self._lock:
                if self._opened is opened:
                    self._opened = None
            if opened.done():
                log.exception("the channel layer has ended, and starts again with its next use")
            else:
                opened.set_exception(exc)

    async def _live(self, opened: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._told_to_stop = asyncio.Event()
        self._supervisor = self._make()
        self.local = self._supervisor.local
        self.topic = self._supervisor.topic(self._topic, topology=self._topology)
        works = [self._listen(), self._greet_all(), self._look_again()]
        tasks = [self._loop.create_task(work) for work in works]
        self.topic.answer(self.answer)
        try:
            await asyncio.sleep(0)  # the tasks subscribe before the start, so they miss nothing
            if self._owns:
                await self._supervisor.start()
            opened.set_result(None)
            stop = self._loop.create_task(self._told_to_stop.wait())
            await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            with suppress(ClusterKitError):  # the application has stopped it
                self.topic.stop_answering()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            if self._owns:
                await self._supervisor.stop()
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def _listen(self) -> None:
        async with self.topic.subscribe() as items:
            async for item in items:
                if isinstance(item, Gap):
                    number = "some" if item.lost is None else item.lost
                    log.warning("%s messages of %s were lost", number, item.sender)
                else:
                    try:
                        self.receive(item.sender, item.data)
                    except (TypeError, ValueError):
                        text = "%s sent something that is not a channel layer message"
                        log.warning(text, item.sender, exc_info=True)

    async def _greet_all(self) -> None:
        async with self._supervisor.subscribe(topology=self.topic.topology) as events:
            async for event in events:
                if isinstance(event, NodeUp):
                    await self.greet(event.node)

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AGAIN_S)
            await self.look_again()


def made_of(cluster: Mapping[str, Any] | str) -> AsyncSupervisor:
    """Return a supervisor of a configuration, or of the file that holds it."""
    if isinstance(cluster, Mapping):
        return AsyncSupervisor(cluster)
    return AsyncSupervisor.from_file(cluster)


def found_at(path: str) -> AsyncSupervisor:
    """Return the supervisor that the application has made; ``TypeError`` if it has none."""
    found = import_string(path.replace(":", "."))
    supervisor = found if isinstance(found, AsyncSupervisor) or not callable(found) else found()
    if not isinstance(supervisor, AsyncSupervisor):
        expected = "expected an AsyncSupervisor, or a function that returns it"
        raise TypeError(f"channel layer: supervisor {path!r}: {expected}")
    return supervisor


def mark_of(node: Node) -> str:
    """Return what identifies a node in the names of its channels.

    These may be neither as long as the names of nodes, nor have all of their letters.
    """
    return hashlib.blake2b(node.key.encode(), digest_size=8).hexdigest()
