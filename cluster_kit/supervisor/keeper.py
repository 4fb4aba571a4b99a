"""Keeps one topology running: starts its worker, listens to it, judges its silence, replaces it when it dies.

Runs on the supervising thread only; what other threads may see lies in the bus and in ``status``. It never waits: the
supervising loop calls it when the channel can be read or written, when the process has ended, and when ``due_at_s`` has come.
Whatever fails in it costs its own worker; no other topology may suffer for it.
"""

from __future__ import annotations

import logging
import random
import selectors
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from cluster_kit.attended import AttendedClock
from cluster_kit.config import TopologyConfig
from cluster_kit.errors import ClusterKitError, RestartLimitError, described
from cluster_kit.events import Event, Reason, TopologyDegraded, TopologyReady, TopologyRecovered, TopologyRestarted
from cluster_kit.node import Node
from cluster_kit.pipe.channel import Parcel
from cluster_kit.supervisor.account import Account
from cluster_kit.supervisor.bus import EventBus
from cluster_kit.supervisor.child import SpareWorker, WorkerProcess, start_worker
from cluster_kit.supervisor.line import WorkerLine
from cluster_kit.supervisor.logs import LogRelay
from cluster_kit.supervisor.questions import Answers, Questions
from cluster_kit.supervisor.restart import Escalate, Restart, RestartPolicy
from cluster_kit.supervisor.status import TopologyStatus
from cluster_kit.supervisor.topics.switchboard import Switchboard
from cluster_kit.worker.messages import (
    Announced,
    Beat,
    CannotServe,
    Forwarded,
    Greeting,
    Happened,
    Inspected,
    LinkClosed,
    LinkOpened,
    Logged,
    Reply,
    Serving,
    SourceHealth,
    Start,
    Stop,
    View,
)

P = ParamSpec("P")

GREET_S = 15.0  # until a process proves to be a worker, even on a machine with hundreds of them
START_S = 30.0  # until a worker serves: slow imports on a loaded machine are no fault
SILENT_S = 5.0  # five missed beats: its event loop is blocked for good
_RETRY_S = 1.0  # after a failure of our own

Describe = Callable[[TopologyConfig, tuple[Node, ...]], Start]
Task = Callable[["Keeper"], None]


def _contained(method: Callable[Concatenate[Keeper, P], None]) -> Callable[Concatenate[Keeper, P], None]:
    @wraps(method)
    def contained(self: Keeper, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except BaseException as exc:  # noqa: BLE001 - the boundary between topologies
            self._give_up_worker(exc)

    return contained


class Keeper:
    """Keeps one topology running, from ``start`` until it is ``finished``."""

    def __init__(
        self,
        config: TopologyConfig,
        *,
        bus: EventBus,
        board: Switchboard,
        logs: LogRelay,
        selector: selectors.BaseSelector,
        clock: AttendedClock,
        describe: Describe,
        submit: Callable[[Keeper, Task], None],
        escalate: Callable[[RestartLimitError], None],
        spare: SpareWorker | None,
    ) -> None:
        self.name = config.name
        self.proven = False
        self.served = False
        self.start_error: ClusterKitError | None = None
        self.finished = False
        self.due_at_s: float | None = None
        self._config = config
        self._bus = bus
        self._board = board
        self._logs = logs
        self._selector = selector
        self._clock = clock
        self._describe = describe
        self._submit = submit
        self._escalate = escalate
        self._spare = spare
        self._policy = RestartPolicy(config.child_spec)
        self._process: WorkerProcess | None = None
        self._line: WorkerLine | None = None
        self._stopping = self._retired = False
        self._briefed = self._serving = False
        self._serve_by_s = 0.0
        self._account = Account(bus.views[config.name], config.sources)
        self._death: str | None = None
        self._questions = Questions(config.name)

    # -- orders from the supervisor --------------------------------------------------------------------------------------------

    @_contained
    def start(self) -> None:
        """Start the worker, handing over the roster that its predecessor left; none once it was told to stop."""
        if self._stopping:
            return
        try:
            process = start_worker(self._spare)
        except ClusterKitError as exc:
            self._cannot_start(exc)
            self._died(str(exc), normal=False)
            return
        self._process = process
        self._account.pid = process.pid
        self._briefed = self._serving = False
        self._serve_by_s = self._clock.now_s() + START_S
        self.due_at_s = self._clock.now_s() + GREET_S
        process.when_ended(lambda: self._submit(self, lambda keeper: keeper._process_ended(process)))
        self._line = WorkerLine(
            process.channel, self._selector, self._channel_ready, pend=lambda: self._submit(self, Keeper.watch)
        )
        self._board.attach(self._line, greet=self._greet)
        self._submit(self, Keeper.order)  # once all have been started, as to say what to run takes keys, which are being made

    @_contained
    def order(self, message: Any = None) -> None:
        """Send ``message`` to the worker, if there is one, and before the first of them what it is to run."""
        if self._line is not None:
            if not self._briefed:
                self._briefed = True
                self._line.send(self._describe(self._config, tuple(self._bus.views[self.name].known.values())))
            if message is not None:
                self._line.send(message)

    def _greet(self) -> None:
        self._submit(self, lambda keeper: keeper.order(Greeting(keeper._board.next_greeting())))

    @_contained
    def ask(self, number: int, message: Any, answers: Answers) -> None:
        """Send ``message`` and put the reply into ``answers``, or the reason why there will be none."""
        self._questions.note(number, answers)
        if self._process is None:
            self._questions.lost("has no worker at the moment: try again")
        else:
            self.order(message)

    @_contained
    def stop(self) -> None:
        """Have the worker leave; it is killed when it takes longer than its ``shutdown_s``."""
        self._stopping = True
        if self._process is None:
            self._finish()
            return
        self._board.leave(self._clock.now_s())
        self.order(Stop())
        self.due_at_s = self._clock.now_s() + self._config.child_spec.shutdown_s

    def retire(self) -> None:
        """Have the worker leave, and forget whom it knew: the topology is not configured any more."""
        self._retired = True
        self.stop()

    # -- what the supervising loop calls ---------------------------------------------------------------------------------------

    def next_s(self) -> float | None:
        """Return when ``check`` next has something to do."""
        return min((at_s for at_s in (self.due_at_s, self._policy.recovers_at_s()) if at_s is not None), default=None)

    @_contained
    def check(self) -> None:
        """Do what is due: start a successor, or put an end to a worker that is silent."""
        if self.finished:
            return
        self._board.tick(self._clock.now_s())
        if self._policy.recover(self._clock.now_s()):
            self._publish(TopologyRecovered(topology=self.name, t=time.time()))
        if self.due_at_s is None or self._clock.now_s() < self.due_at_s:
            return
        self.due_at_s = None
        if self._process is None:
            self._account.restarts += 1
            restarted = TopologyRestarted(
                topology=self.name, error=self._account.last_error or "", restarts=self._account.restarts, t=time.time()
            )
            self._publish(restarted)
            self.start()
            return
        if self._stopping:
            self._death = f"worker did not leave within {self._config.child_spec.shutdown_s:g} s"
        elif not self._process.heard:
            self._death = f"said nothing for {GREET_S:g} s"
        elif not self._serving and self._clock.now_s() < self._serve_by_s:
            self.due_at_s = self._serve_by_s
            return
        elif self._serving:
            self._death = f"worker {self._account.pid} was silent for {SILENT_S:g} s: something blocks its event loop"
        else:
            self._death = f"worker {self._account.pid} did not serve within {START_S:g} s"
        self._log(logging.ERROR, f"{self._death}; killing it")
        self._process.kill()

    @_contained
    def _channel_ready(self, mask: int) -> None:
        process, line = self._process, self._line
        assert process is not None
        assert line is not None
        try:
            messages = line.receive(mask)
        except (EOFError, OSError) as exc:
            line.unwatch()  # its end tells the rest
            if isinstance(exc, EOFError) and exc.args:
                worker = f"worker {self._account.pid} sent what cannot be read:" if process.heard else "said"
                self._death = f"{worker} {exc}"
                process.kill()
            return
        for message in messages:
            self._hear(process, message)
        self._board.settle()

    @_contained
    def watch(self) -> None:
        """Wait until the worker takes what it was sent."""
        if self._line is not None:
            self._line.watch()

    @_contained
    def _process_ended(self, process: WorkerProcess) -> None:
        if process is not self._process:
            return  # it is buried already
        for message in process.channel.receive_rest():
            self._hear(process, message)
        self._board.settle()
        self._bury(process)

    def _bury(self, process: WorkerProcess) -> None:
        process.join()
        code = process.exitcode
        if self._line is not None:
            self._line.hang_up()
        self._process = self._line = None
        self._account.pid = None
        process.close()
        death, self._death = self._death, None
        error = death or f"worker {process.ending}"
        if not (process.heard or self._stopping):
            disproof = process.disproof(death)
            self._cannot_start(disproof)
            error = str(disproof)
        self._died(error, normal=code == 0 and process.heard)

    def _cannot_start(self, exc: ClusterKitError) -> None:
        self.start_error = ClusterKitError(f"topology {self.name!r}: {exc}")

    # -- what the worker says ------------------------------------------------------------------------------------------------

    def _hear(self, process: WorkerProcess, message: object) -> None:
        if not process.heard:
            process.heard = self.proven = True
            self._notify()
        if self._serving and not self._stopping:
            self.due_at_s = self._clock.now_s() + SILENT_S
        match message:
            case Parcel() | Forwarded() | LinkOpened() | LinkClosed():
                self._board.note(message, self._clock.now_s())
            case Beat():
                pass
            case Happened(events=events):
                for event in events:
                    self._account.told(event)
                    self._publish(event)
            case View(known=known, up=up):
                self._publish(*self._bus.views[self.name].catch_up(known, up, time.time()))
            case Serving():
                self._now_serving(message)
            case Announced():
                self._now_announced()
            case CannotServe(error=error):
                self.start_error = error
                self._death = str(error)
            case SourceHealth():
                self._publish(*self._account.source_changed(message))
            case Reply():
                self._questions.answered(message)
            case Logged():
                self._logs.replay(message, self.name)

    def _now_serving(self, serving: Serving) -> None:
        self._serving = self.served = True
        self._account.serving(serving.address)
        self._board.serves(serving)
        self.due_at_s = self._clock.now_s() + SILENT_S
        self._policy.serving(self._clock.now_s())
        self._notify()

    def _now_announced(self) -> None:
        self._account.announced = True
        self._publish(TopologyReady(topology=self.name, address=self._account.address, t=time.time()))

    # -- life and death ------------------------------------------------------------------------------------------------------

    def _died(self, error: str, *, normal: bool) -> None:
        """Account for a worker's end: its links are down, its questions unanswered, its successor planned."""
        self._questions.lost(f"lost its worker before it answered: {error}")
        self._board.detach(self._clock.now_s())
        reason = Reason.SHUTDOWN if self._stopping else Reason.WORKER
        self._publish(*self._bus.views[self.name].all_down(reason, time.time()))
        self._serving = self._account.announced = False
        if self._stopping:
            self._finish()
            return
        self._account.last_error = error
        self._plan_successor(error, normal=normal)
        self._notify()

    def _plan_successor(self, error: str, *, normal: bool) -> None:
        now_s = self._clock.now_s()
        was_crash_looping = self._policy.crash_looping
        decision = self._policy.exited(normal=normal, now_s=now_s, jitter=random.random())
        if isinstance(decision, Restart):
            level = logging.WARNING if self.served or self.start_error is None else logging.DEBUG  # ``start`` raises that one
            self._log(level, f"{error}; starting another in {decision.delay_s:.2f} s")
            self.due_at_s = now_s + decision.delay_s
            if decision.crash_looping and not was_crash_looping:
                self._publish(TopologyDegraded(topology=self.name, error=error, t=time.time()))
            return
        self._log(logging.WARNING, f"{error}; not restarting it")
        self._finish()
        if isinstance(decision, Escalate):
            spec = self._config.child_spec
            text = f"topology {self.name!r}: more than {spec.max_restarts} restarts in {spec.max_seconds:g} s: {error}"
            self._escalate(RestartLimitError(text, topology=self.name, restarts=spec.max_restarts, period_s=spec.max_seconds))

    def _give_up_worker(self, exc: BaseException) -> None:
        """Have a fresh worker take over after a failure of our own, whatever it left half done."""
        error = f"supervising it failed: {described(exc)}"
        self.start_error = self.start_error or ClusterKitError(f"topology {self.name!r}: {error}")
        self._log(logging.ERROR, error, exc)
        if self._process is not None:
            self._death = error
            self._process.kill()
            if self._process.exitcode is not None:  # its end may not be told again
                self._bury(self._process)
        elif self._stopping:
            self._finish()
        elif not self.finished:
            self._account.last_error = error
            self.due_at_s = self._clock.now_s() + _RETRY_S
            self._notify()

    def abandon(self) -> None:
        """Leave nothing behind, whatever state this is in: the supervising thread ends."""
        self._stopping = True
        if self._process is not None:
            self._process.kill()
            self._bury(self._process)
        elif not self.finished:
            self._finish()

    def _finish(self) -> None:
        if self._retired:
            self._publish(*self._bus.views[self.name].all_lost(Reason.SHUTDOWN, time.time()))
        self.finished = True
        self.due_at_s = None
        self._notify()

    def _log(self, level: int, text: str, exc: BaseException | None = None) -> None:
        self._logs.log(level, f"{self.name}: {text}", exc)

    def _publish(self, *events: Event) -> None:
        for event in events:
            self._bus.publish(event)

    def _notify(self) -> None:
        with self._bus.lock:
            self._bus.changed.notify_all()

    # -- for other threads, under the bus's lock -----------------------------------------------------------------------------

    def status(self, inspected: Inspected) -> TopologyStatus:
        """Return how this topology is doing, with what its worker has just told."""
        return self._account.status(inspected, finished=self.finished, crash_looping=self._policy.crash_looping)
