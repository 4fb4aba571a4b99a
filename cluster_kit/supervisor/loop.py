"""The supervising loop: one thread that reads the workers' pipes in turn and lets each topology's keeper do its work."""

from __future__ import annotations

import collections
import logging
import selectors
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from cluster_kit.attended import AttendedClock
from cluster_kit.config import TopologyConfig
from cluster_kit.errors import ClusterKitError, RestartLimitError, described
from cluster_kit.supervisor.bell import Bell
from cluster_kit.supervisor.bus import EventBus
from cluster_kit.supervisor.child import SpareWorker
from cluster_kit.supervisor.ending import Ending
from cluster_kit.supervisor.keeper import Describe, Keeper, Task
from cluster_kit.supervisor.logs import LogRelay
from cluster_kit.supervisor.thread import UndoableThread
from cluster_kit.supervisor.topics.switchboards import Switchboards

_TICK_S = 1.0


class SupervisingLoop:
    """Owns the keepers and their thread, from ``start`` until all keepers are finished and none is to come.

    A signal handler may give an order while its own thread is giving another. ``keepers`` is never changed, only replaced, so
    that any thread may look.
    """

    def __init__(
        self,
        topologies: Mapping[str, TopologyConfig],
        bus: EventBus,
        logs: LogRelay,
        *,
        boards: Switchboards,
        describe: Describe,
        spare: SpareWorker | None,
    ) -> None:
        self.failure: ClusterKitError | None = None
        self._bus = bus
        self._boards = boards
        self._logs = logs
        self._clock = AttendedClock(time.monotonic, _TICK_S)
        self._bell = Bell()
        try:
            self._selector = selectors.DefaultSelector()
            self._selector.register(self._bell, selectors.EVENT_READ, self._woken)
        except BaseException:
            self._bell.close()
            raise
        self._tasks: collections.deque[tuple[Keeper, Task]] = collections.deque()
        self._closed = self._started = False
        self._ended = Ending()
        self._held = self._stopping = False
        self._keep = partial(
            Keeper,
            bus=bus,
            logs=logs,
            selector=self._selector,
            clock=self._clock,
            describe=describe,
            submit=self._submit,
            escalate=self._escalated,
        )
        self.keepers: Mapping[str, Keeper] = {
            name: self._keep(each, board=boards.of(name), spare=spare) for name, each in topologies.items()
        }
        self._thread = UndoableThread(self._run, "cluster-kit-supervisor")

    def start(self) -> None:
        """Start the thread, which starts the workers."""
        for name in self.keepers:
            self.submit(name, Keeper.start)
        self._started = True
        self._thread.start()

    def undo_start(self) -> None:
        """End as the thread would, if it has not begun; it won't any more."""
        if self._thread.undo_start():
            self._close()

    def submit(self, topology: str, task: Task) -> bool:
        """Have ``task`` run on the supervising thread; False if that has ended, or there is no such topology any more.

        Thread-safe, also in signal handlers.
        """
        keeper = self.keepers.get(topology)
        if keeper is None:
            return False
        self._submit(keeper, task)
        return not self._closed

    def _submit(self, keeper: Keeper, task: Task) -> None:
        self._tasks.append((keeper, task))
        self._bell.ring()

    # -- changes, by one thread at a time --------------------------------------------------------------------------------------

    @contextmanager
    def held(self) -> Iterator[None]:
        """Go on inside the block even if all keepers are finished."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            self._bell.ring()

    def retire(self, name: str) -> Keeper:
        """Have a topology leave for good; return its keeper, which is finished when it has."""
        keeper = self.keepers[name]
        self.submit(name, Keeper.retire)
        return keeper

    def forget(self, name: str) -> None:
        """Know nothing more of a topology that has left."""
        self.keepers = {each: keeper for each, keeper in self.keepers.items() if each != name}
        self._boards.remove(name)

    def begin(self, config: TopologyConfig) -> Keeper:
        """Start a topology, in the place of one that has left if it is called the same."""
        keeper = self._keep(config, board=self._boards.of(config.name), spare=None)
        self.keepers = {**self.keepers, config.name: keeper}
        self.submit(config.name, Keeper.start)
        if self._stopping:  # who stopped us may not have seen it
            self.submit(config.name, Keeper.stop)
        return keeper

    # -- the thread ------------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Have all workers leave, the last one first."""
        self._stopping = True
        for name in reversed(list(self.keepers)):
            self.submit(name, Keeper.stop)

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the thread's end; return whether it has ended."""
        if not self._started or self._thread.is_current:
            return self._ended.come
        return self._ended.wait(timeout_s)

    def _run(self) -> None:
        try:
            while self._tasks or self._held or not all(keeper.finished for keeper in self.keepers.values()):
                self._turn()
        except BaseException as exc:  # noqa: BLE001 - such as a descriptor of ours that the application closed
            self.failure = ClusterKitError(f"supervisor: its thread failed, all topologies are stopped: {described(exc)}")
            self._logs.log(logging.CRITICAL, str(self.failure), exc)
        finally:
            self._close()

    def _turn(self) -> None:
        dues = [next_s for keeper in self.keepers.values() if (next_s := keeper.next_s()) is not None]
        wait_s = min([_TICK_S, *(due_s - self._clock.now_s() for due_s in dues)])
        for key, mask in self._selector.select(max(0.0, wait_s)):
            if key.fd in self._selector.get_map():
                key.data(mask)
        self._do_tasks()
        self._clock.tick()
        for keeper in self.keepers.values():
            keeper.check()

    def _do_tasks(self) -> None:
        while self._tasks:
            keeper, task = self._tasks.popleft()
            task(keeper)

    def _close(self) -> None:
        """Leave no worker, and nobody who waits for an answer."""
        for end in [*(keeper.abandon for keeper in self.keepers.values()), self._answer_all, self._selector.close]:
            try:
                end()
            except BaseException as exc:  # noqa: BLE001 - whatever happened to its descriptors, the others have to end
                self._logs.log(logging.ERROR, f"supervisor: ending: {described(exc)}", exc)
        self._bell.close()
        self._boards.close()
        self._bus.close()
        self._ended.set()

    def _answer_all(self) -> None:
        self._closed = True
        self._do_tasks()

    def _woken(self, _: int) -> None:
        self._bell.heard()

    def _escalated(self, failure: RestartLimitError) -> None:
        self._logs.log(logging.ERROR, f"{failure}; the supervisor stops")
        self.failure = failure
        self.stop()
