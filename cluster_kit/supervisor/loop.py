"""The supervising loop: one thread that serves the workers' pipes, and calls their supervisors."""

from __future__ import annotations

import collections
import logging
import selectors
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from cluster_kit.attended import AttendedClock
from cluster_kit.config import TopologyConfig
from cluster_kit.errors import ClusterKitError, RestartLimitError, described
from cluster_kit.supervisor.bus import EventBus
from cluster_kit.supervisor.child import SpareWorker
from cluster_kit.supervisor.logs import LogRelay
from cluster_kit.supervisor.threads import CancellableThread
from cluster_kit.supervisor.topics.switchboards import Switchboards
from cluster_kit.supervisor.wakeup import WakeupPipe
from cluster_kit.supervisor.worker_supervisor import MakeStart, WorkerSupervisor

_TICK_S = 1.0


class SupervisingLoop:
    """Owns the topologies' worker supervisors and the thread that they run on.

    The thread ends when all topologies are finished and no change of the configuration is under
    way. Other threads only submit tasks to it; ``workers`` is replaced, never changed, so any
    thread may read it.
    """

    def __init__(
        self,
        topologies: Mapping[str, TopologyConfig],
        bus: EventBus,
        logs: LogRelay,
        *,
        boards: Switchboards,
        make_start: MakeStart,
        spare: SpareWorker | None,
    ) -> None:
        self.failure: ClusterKitError | None = None
        self._bus = bus
        self._boards = boards
        self._logs = logs
        self._clock = AttendedClock(time.monotonic, _TICK_S)
        self._wakeup = WakeupPipe()
        try:
            self._selector = selectors.DefaultSelector()
            self._selector.register(self._wakeup, selectors.EVENT_READ, self._woken)
        except BaseException:
            self._wakeup.close()
            raise
        self._tasks: collections.deque[Callable[[], None]] = collections.deque()
        self._started = self._held = self._stopping = self._closed = False
        self._make_start = make_start
        supervised = [self._supervise(each, spare) for each in topologies.values()]
        self.workers: Mapping[str, WorkerSupervisor] = {each.name: each for each in supervised}
        self._thread = CancellableThread(self._run, "cluster-kit-supervisor")

    def _supervise(self, config: TopologyConfig, spare: SpareWorker | None) -> WorkerSupervisor:
        return WorkerSupervisor(
            config,
            bus=self._bus,
            board=self._boards.of(config.name),
            logs=self._logs,
            selector=self._selector,
            clock=self._clock,
            make_start=self._make_start,
            submit=self._submit,
            escalate=self._escalate,
            spare=spare,
        )

    def start(self) -> None:
        """Start the thread, which starts the workers."""
        for worker in self.workers.values():
            self._submit(worker.start)
        self._started = True
        self._thread.start()

    def undo_start(self) -> None:
        """Prevent the thread from running, and clean up in its place, unless it runs already."""
        self._thread.undo_start(self._close)

    def submit(self, topology: str, task: Callable[[WorkerSupervisor], None]) -> bool:
        """Run ``task`` with the topology's worker supervisor, on the supervising thread.

        Thread-safe, also in signal handlers, even one that interrupts another call of this.

        Returns:
            False if that thread has ended, or there is no such topology any more.
        """
        worker = self.workers.get(topology)
        if worker is None:
            return False
        self._submit(partial(task, worker))
        return not self._closed

    def _submit(self, task: Callable[[], None]) -> None:
        self._tasks.append(task)
        self._wakeup.wake()

    # -- changes of the configuration, by one thread at a time -------------------------------------

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the thread running inside the block even if all topologies are finished."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            self._wakeup.wake()

    def retire(self, name: str) -> WorkerSupervisor:
        """Stop a topology for good; return its supervisor, which is ``retired`` once it has."""
        worker = self.workers[name]
        self._submit(worker.retire)
        return worker

    def forget(self, name: str) -> None:
        """Drop a topology that has left."""
        self.workers = {each: worker for each, worker in self.workers.items() if each != name}
        self._boards.remove(name)

    def begin(self, config: TopologyConfig) -> WorkerSupervisor:
        """Start a topology; it replaces one of the same name, which must have left."""
        worker = self._supervise(config, spare=None)
        self.workers = {**self.workers, config.name: worker}
        self._submit(worker.start)
        if self._stopping:  # ``stop`` may have missed it
            self._submit(worker.stop)
        return worker

    # -- the thread --------------------------------------------------------------------------------

    def stop(self) -> None:
        """Make all workers leave, the last one first."""
        self._stopping = True
        for worker in reversed(list(self.workers.values())):
            self._submit(worker.stop)

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the thread's end; return whether it has ended."""
        return self._thread.join(timeout_s if self._started else 0.0)

    def _run(self) -> None:
        try:
            while self._tasks or self._held or not self._all_finished():
                self._turn()
        except BaseException as exc:  # noqa: BLE001 - such as if the application closed our files
            what = "its thread failed, all topologies are stopped"
            self.failure = ClusterKitError(f"supervisor: {what}: {described(exc)}")
            self._logs.log(logging.CRITICAL, str(self.failure), exc)
        finally:
            self._close()

    def _all_finished(self) -> bool:
        return all(worker.finished for worker in self.workers.values())

    def _turn(self) -> None:
        for key, mask in self._selector.select(self._wait_s()):
            if key.fd in self._selector.get_map():  # else an earlier one in this turn removed it
                key.data(mask)
        self._run_tasks()
        self._clock.tick()
        for worker in self.workers.values():
            worker.check()

    def _wait_s(self) -> float:
        times_s = [worker.next_s() for worker in self.workers.values()]
        waits_s = [at_s - self._clock.now_s() for at_s in times_s if at_s is not None]
        return max(0.0, min([_TICK_S, *waits_s]))

    def _run_tasks(self) -> None:
        while self._tasks:
            self._tasks.popleft()()

    def _close(self) -> None:
        """Leave no worker behind, and no caller waiting for a reply."""
        abandon = [worker.abandon for worker in self.workers.values()]
        for step in [*abandon, self._run_last_tasks, self._selector.close]:
            try:
                step()
            except BaseException as exc:  # noqa: BLE001 - the other steps have to be taken
                self._logs.log(logging.ERROR, f"supervisor: ending: {described(exc)}", exc)
        self._wakeup.close()
        self._boards.close()
        self._bus.close()

    def _run_last_tasks(self) -> None:
        self._closed = True
        self._run_tasks()

    def _woken(self, _: int) -> None:
        self._wakeup.drain()

    def _escalate(self, failure: RestartLimitError) -> None:
        self._logs.log(logging.ERROR, f"{failure}; the supervisor stops")
        self.failure = failure
        self.stop()
