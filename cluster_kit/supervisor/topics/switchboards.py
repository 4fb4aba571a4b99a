"""All switchboards of a supervisor, and the threads that run the application's functions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cluster_kit.config import TopologyConfig
from cluster_kit.supervisor.threads import is_held
from cluster_kit.supervisor.topics.switchboard import Switchboard

if TYPE_CHECKING:
    import asyncio

    from cluster_kit.supervisor.topics.answering import Answerer, AnswerThreads, BackgroundLoop
    from cluster_kit.supervisor.topics.callbacks import CallbackReader, Receiver
    from cluster_kit.supervisor.topics.items import Message
    from cluster_kit.supervisor.topics.subscription import TopicSubscription

_STOPPED = "the supervisor has stopped and carries no more messages: make a new one"


class Switchboards:
    """One switchboard per topology.

    Threads start on demand, from ``start`` until ``close``.

    Args:
        warn: Called with warnings.

    Attributes:
        loop: The application's event loop, in which coroutine functions answer; ``None`` if it has
            none.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._warn = warn
        self._boards: dict[str, Switchboard] = {}
        self._lock = threading.RLock()
        self._readers: list[CallbackReader] = []
        self._threads: AnswerThreads | None = None
        self._background: BackgroundLoop | None = None
        self._wants_loop = False
        self._is_running = False

    def of(self, topology: str) -> Switchboard:
        """Return the switchboard of ``topology``, which need not run yet."""
        board = self._boards.get(topology)
        return board or self._boards.setdefault(topology, Switchboard(topology, self._warn))

    def greeting(self, config: TopologyConfig) -> bytes:
        """Return the greeting for a new worker, whose connector may differ from the last one's."""
        board = self.of(config.name)
        if board.has_topics:
            board.limit(config.connector.build().max_message_bytes)
        return board.greeting

    def remove(self, topology: str) -> None:
        """End the switchboard of a topology that is not configured any more."""
        board = self._boards.pop(topology, None)
        if board is not None:
            board.end(f"topology {topology!r} was removed")

    @property
    def entered(self) -> bool:
        """Whether this very thread holds a lock, as when a signal handler interrupts it."""
        return is_held(self._lock) or any(board.entered for board in self._boards.values())

    # -- life --------------------------------------------------------------------------------------

    def fork(self, pid: int) -> None:
        """Move to process ``pid``, if this was made before a fork; nothing of it runs yet."""
        self._lock = threading.RLock()
        for board in self._boards.values():
            board.fork(pid)

    def start(self) -> None:
        """Start the threads that are needed; raises ``RuntimeError`` if the system has none."""
        with self._lock:
            self._is_running = True
            for reader in self._readers:
                reader.start()
            self._need_loop()

    def close(self) -> None:
        """End all switchboards; the threads end once they are done. Idempotent."""
        for board in list(self._boards.values()):
            board.end(_STOPPED)
        with self._lock:
            self._is_running = False
            for each in (self._threads, self._background):
                if each is not None:
                    each.close()

    def join(self) -> None:
        """Wait until the threads have ended, up to a limit for functions that block."""
        for reader in self._readers:
            reader.join()
        for each in (self._threads, self._background):
            if each is not None:
                each.join()

    # -- the application's functions ---------------------------------------------------------------

    def read(self, subscription: TopicSubscription, receiver: Receiver) -> None:
        """Call ``receiver`` with each item of ``subscription``, in a separate thread."""
        from cluster_kit.supervisor.topics.callbacks import CallbackReader

        reader = CallbackReader(subscription, receiver)
        with self._lock:
            self._readers = [*(each for each in self._readers if not each.ended), reader]
            if self._is_running:
                reader.start()

    def answerer(self, function: Callable[[Message], Any]) -> Answerer:
        """Return a question handler that runs ``function``."""
        from cluster_kit.supervisor.topics.answering import Answerer, AnswerThreads, is_async

        with self._lock:
            if self._threads is None:
                self._threads = AnswerThreads()
            if is_async(function):
                self._wants_loop = True
                self._need_loop()
            return Answerer(function, self._threads, self._answering_loop)

    def _need_loop(self) -> None:
        """Start a background event loop if coroutine functions need one."""
        if self._wants_loop and self._is_running and self.loop is None and self._background is None:
            from cluster_kit.supervisor.topics.answering import BackgroundLoop

            self._background = BackgroundLoop()
            try:
                self._background.start()
            except RuntimeError:
                self._background.close()
                self._background = None
                raise

    def _answering_loop(self) -> asyncio.AbstractEventLoop:
        if self.loop is not None:
            return self.loop
        if self._background is None:
            raise RuntimeError("this node has not started")
        return self._background.loop
