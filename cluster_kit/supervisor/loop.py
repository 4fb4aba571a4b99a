"""The supervising loop: one thread that reads the workers' pipes in turn and lets each topology's keeper do its work."""

from __future__ import annotations

import collections
import logging
import os
import selectors
import threading
import time
from collections.abc import Callable, Mapping

from cluster_kit.attended import AttendedClock
from cluster_kit.config import TopologyConfig
from cluster_kit.errors import RestartLimitError
from cluster_kit.supervisor.bus import EventBus
from cluster_kit.supervisor.child import SpareWorker
from cluster_kit.supervisor.keeper import Describe, Keeper

log = logging.getLogger("cluster_kit.supervisor")

_TICK_S = 1.0


class SupervisingLoop:
    """Owns the keepers and their thread, from ``start`` until all keepers are finished."""

    def __init__(
        self, topologies: Mapping[str, TopologyConfig], bus: EventBus, describe: Describe, spare: SpareWorker | None
    ) -> None:
        self.failure: RestartLimitError | None = None
        self.finished = threading.Event()
        self._bus = bus
        self._selector = selectors.DefaultSelector()
        self._clock = AttendedClock(time.monotonic, _TICK_S)
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._wake_fd, selectors.EVENT_READ, self._woken)
        self._tasks: collections.deque[Callable[[], None]] = collections.deque()
        self._lock = threading.Lock()
        self._closed = False
        self.keepers = {
            name: Keeper(
                config,
                bus=bus,
                selector=self._selector,
                clock=self._clock,
                describe=describe,
                escalate=self._escalated,
                spare=spare,
            )
            for name, config in topologies.items()
        }
        self._thread = threading.Thread(target=self._run, name="cluster-kit-supervisor", daemon=True)

    def start(self) -> None:
        """Start the thread, which starts the workers."""
        for keeper in self.keepers.values():
            self.submit(keeper.start)
        self._thread.start()

    def submit(self, task: Callable[[], None]) -> bool:
        """Have ``task`` run on the supervising thread; False if that has ended. Thread-safe."""
        with self._lock:
            if self._closed:
                return False
            self._tasks.append(task)
            os.eventfd_write(self._wake_fd, 1)
            return True

    def stop(self) -> None:
        """Have all workers leave, the last one first."""
        for keeper in reversed(self.keepers.values()):
            self.submit(keeper.stop)

    def join(self) -> None:
        """Wait for the thread's end."""
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        try:
            while self._tasks or not all(keeper.finished for keeper in self.keepers.values()):
                self._turn()
        finally:
            with self._lock:
                self._closed = True
                self._selector.close()
                os.close(self._wake_fd)
            self._bus.close()
            self.finished.set()

    def _turn(self) -> None:
        dues = [next_s for keeper in self.keepers.values() if (next_s := keeper.next_s()) is not None]
        wait_s = min([_TICK_S, *(due_s - self._clock.now_s() for due_s in dues)])
        for key, mask in self._selector.select(max(0.0, wait_s)):
            if key.fd in self._selector.get_map():
                key.data(mask)
        while self._tasks:
            self._tasks.popleft()()
        self._clock.tick()
        for keeper in self.keepers.values():
            keeper.check()

    def _woken(self, _: int) -> None:
        os.eventfd_read(self._wake_fd)

    def _escalated(self, failure: RestartLimitError) -> None:
        log.error("%s; the supervisor stops", failure)
        self.failure = failure
        self.stop()
