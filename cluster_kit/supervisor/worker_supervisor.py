"""Keeps one topology running: starts its worker, receives from it, and replaces it if it fails.

``lifecycle`` says what a worker's life consists of and how long each part of it may take,
``restart`` whether and when a worker that ended is replaced; this module does their I/O.

It runs on the supervising thread only, and never waits: the loop calls it when the channel is
ready, when the process has ended, and when ``next_s`` has come. A failure in here costs this
topology its worker, and no other topology anything.
"""

from __future__ import annotations

import logging
import random
import selectors
import time
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, assert_never

from cluster_kit.attended import AttendedClock
from cluster_kit.config import TopologyConfig
from cluster_kit.errors import ClusterKitError, RestartLimitError, described
from cluster_kit.events import Reason, TopologyDegraded, TopologyRecovered
from cluster_kit.node import Node
from cluster_kit.pipe import messages
from cluster_kit.pipe.channel import Parcel
from cluster_kit.supervisor.bus import EventBus
from cluster_kit.supervisor.calls import Answers, PendingCalls
from cluster_kit.supervisor.child import SpareWorker, WorkerProcess, start_worker
from cluster_kit.supervisor.lifecycle import Lifecycle, Phase, Trigger
from cluster_kit.supervisor.line import WorkerLine
from cluster_kit.supervisor.logs import LogRelay
from cluster_kit.supervisor.restart import Escalate, Replace, RestartPolicy, limit_error
from cluster_kit.supervisor.status import TopologyStatus
from cluster_kit.supervisor.status_tracker import StatusTracker
from cluster_kit.supervisor.topics.switchboard import Switchboard

P = ParamSpec("P")

_RETRY_S = 1.0  # after a failure of our own code

MakeStart = Callable[[TopologyConfig, tuple[Node, ...]], messages.Start]


def _contained(
    method: Callable[Concatenate[WorkerSupervisor, P], None],
) -> Callable[Concatenate[WorkerSupervisor, P], None]:
    """Make a method replace the worker instead of raising."""

    @wraps(method)
    def contained(self: WorkerSupervisor, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except BaseException as exc:  # noqa: BLE001 - the boundary between topologies
            self._recover_from(exc)

    return contained


class WorkerSupervisor:
    """Keeps one topology running, from ``start`` until it is ``finished``.

    Args:
        config: The topology.
        bus: Takes its events, and holds the view of its nodes.
        board: Takes the messages of its peers' applications.
        logs: Logs what the worker logs, and what happens to it.
        selector: What the supervising thread waits on.
        clock: The time in which silence is judged.
        make_start: Returns the first message to a worker, from the roster of the one before.
        submit: Makes the supervising thread run a task. Thread-safe.
        escalate: Called if the worker ended too often and the whole supervisor is to stop.
        spare: A process that was started ahead, for the first worker.

    Attributes:
        proven: Whether any of its processes has proved to be a worker.
        served: Whether any of its workers has served.
        retired: Whether it has ended after ``retire``, and forgotten its nodes.
        start_error: Why the last process could not be started, or could not serve.
    """

    def __init__(
        self,
        config: TopologyConfig,
        *,
        bus: EventBus,
        board: Switchboard,
        logs: LogRelay,
        selector: selectors.BaseSelector,
        clock: AttendedClock,
        make_start: MakeStart,
        submit: Callable[[Callable[[], None]], None],
        escalate: Callable[[RestartLimitError], None],
        spare: SpareWorker | None,
    ) -> None:
        self.name = config.name
        self.proven = False
        self.served = False
        self.retired = False
        self.start_error: ClusterKitError | None = None
        self._config = config
        self._bus = bus
        self._board = board
        self._logs = logs
        self._selector = selector
        self._clock = clock
        self._make_start = make_start
        self._submit = submit
        self._escalate = escalate
        self._spare = spare
        self._lifecycle = Lifecycle(config.child_spec.shutdown_s)
        self._policy = RestartPolicy(config.child_spec)
        self._tracker = StatusTracker(bus.views[config.name], config.sources)
        self._calls = PendingCalls(config.name)
        self._process: WorkerProcess | None = None
        self._line: WorkerLine | None = None
        self._is_retiring = False
        self._start_is_sent = False  # to this process
        self._death: str | None = None  # why it ended, where its exit code does not say

    @property
    def finished(self) -> bool:
        """Whether the topology has ended for good."""
        return self._lifecycle.phase is Phase.FINISHED

    # -- what other threads submit -----------------------------------------------------------------

    @_contained
    def start(self) -> None:
        """Start a worker, unless there is one or the topology is stopping."""
        if not self._lifecycle.may_start:
            return
        try:
            process = start_worker(self._spare)
        except ClusterKitError as exc:
            self._note_start_error(exc)
            self._worker_ended(str(exc), normal=False)
            return
        self._process = process
        self._lifecycle.advance(Trigger.START, self._clock.now_s())
        self._tracker.pid = process.pid
        self._start_is_sent = False
        process.when_ended(partial(self._submit, partial(self._process_ended, process)))
        request_watch = partial(self._submit, self._watch)
        self._line = WorkerLine(process.channel, self._selector, self._channel_ready, request_watch)
        self._board.attach(self._line, greet=partial(self._submit, self._greet))
        # ``Start`` holds keys that may still be being derived. Waiting for them only after all
        # processes were started lets the two overlap.
        self._submit(self.send)

    @_contained
    def send(self, message: Any = None) -> None:
        """Send ``message`` to the worker, if there is one; ``Start`` always goes first."""
        if self._line is None:
            return
        if not self._start_is_sent:
            self._start_is_sent = True
            known = tuple(self._bus.views[self.name].known.values())  # the predecessor's roster
            self._line.send(self._make_start(self._config, known))
        if message is not None:
            self._line.send(message)

    @_contained
    def _greet(self) -> None:
        self.send(messages.SetGreeting(self._board.next_greeting()))

    @_contained
    def ask(self, number: int, message: Any, answers: Answers) -> None:
        """Send ``message``; put the reply into ``answers``, or the error if there will be none."""
        self._calls.add(number, answers)
        if self._process is None:
            self._calls.fail_all("has no worker at the moment: try again")
        else:
            self.send(message)

    @_contained
    def stop(self) -> None:
        """Make the worker leave; it is killed if it takes longer than its ``shutdown_s``."""
        now_s = self._clock.now_s()
        self._lifecycle.advance(Trigger.STOP, now_s)
        if self._process is None:
            self._finish()
            return
        self._board.leave(now_s)
        self.send(messages.Stop())

    def retire(self) -> None:
        """Stop, and forget all nodes: the topology is no longer configured."""
        self._is_retiring = True
        self.stop()

    # -- what the supervising loop calls -----------------------------------------------------------

    def next_s(self) -> float | None:
        """Return when ``check`` next has something to do."""
        times_s = (self._lifecycle.deadline_s, self._policy.recovers_at_s())
        return min((at_s for at_s in times_s if at_s is not None), default=None)

    @_contained
    def check(self) -> None:
        """Start a successor, or kill a worker that has missed its deadline, if that is due."""
        if self.finished:
            return
        now_s = self._clock.now_s()
        self._board.tick(now_s)
        if self._policy.recover(now_s):
            self._bus.publish(TopologyRecovered(topology=self.name, t=time.time()))
        if not self._lifecycle.is_overdue(now_s):
            return
        if self._process is None:
            self._restart()
        else:
            death = self._lifecycle.fault(self._process.pid)
            self._log(logging.ERROR, f"{death}; killing it")
            self._kill(self._process, death)

    def _restart(self) -> None:
        self._bus.publish(self._tracker.count_restart())
        self.start()

    def _kill(self, process: WorkerProcess, death: str) -> None:
        self._death = death
        self._lifecycle.advance(Trigger.KILL, self._clock.now_s())
        process.kill()

    @_contained
    def _channel_ready(self, mask: int) -> None:
        process, line = self._process, self._line
        assert process is not None
        assert line is not None
        try:
            received = line.receive(mask)
        except (EOFError, OSError) as exc:
            line.unwatch()  # ``_process_ended`` does the rest
            if isinstance(exc, EOFError) and exc.args:
                pid = self._tracker.pid
                who = f"worker {pid} sent unreadable data:" if process.heard else "sent"
                self._kill(process, f"{who} {exc}")
            return
        self._handle_all(process, received)

    @_contained
    def _watch(self) -> None:
        """Wait until the worker's end of the channel has room for what is left to send."""
        if self._line is not None:
            self._line.watch()

    @_contained
    def _process_ended(self, process: WorkerProcess) -> None:
        if process is not self._process:
            return  # it was cleaned up already
        self._handle_all(process, process.channel.receive_rest())
        self._clean_up(process)

    def _clean_up(self, process: WorkerProcess) -> None:
        """Release what belongs to a process that has ended."""
        process.join()
        if self._line is not None:
            self._line.hang_up()
        self._process = self._line = None
        self._tracker.pid = None
        process.close()
        death, self._death = self._death, None
        error = death or f"worker {process.ending}"
        if not (process.heard or self._lifecycle.phase is Phase.LEAVING):
            not_a_worker_error = process.not_a_worker_error(death)
            self._note_start_error(not_a_worker_error)
            error = str(not_a_worker_error)
        self._worker_ended(error, normal=process.ended_normally)

    def _note_start_error(self, exc: ClusterKitError) -> None:
        self.start_error = ClusterKitError(f"topology {self.name!r}: {exc}")

    # -- what the worker sends ---------------------------------------------------------------------

    def _handle_all(self, process: WorkerProcess, received: Sequence[messages.FromWorker]) -> None:
        if received:
            self._lifecycle.advance(Trigger.HEAR, self._clock.now_s())
            if not process.heard:
                process.heard = self.proven = True
                self._bus.notify()
        for message in received:
            self._handle(message)
        self._board.flush()

    def _handle(self, message: messages.FromWorker) -> None:
        match message:
            case Parcel() | messages.Forwarded() | messages.LinkOpened() | messages.LinkClosed():
                self._board.note(message, self._clock.now_s())
            case messages.Beat():
                pass
            case messages.Happened(events=events):
                for event in events:
                    self._tracker.note(event)
                    self._bus.publish(event)
            case messages.View(known=known, up=up):
                self._bus.publish(*self._bus.views[self.name].catch_up(known, up, time.time()))
            case messages.Serving():
                self._begin_serving(message)
            case messages.Announced():
                self._bus.publish(self._tracker.announce())
            case messages.CannotServe(error=error):
                self.start_error = error
                self._death = str(error)
            case messages.SourceHealth():
                self._bus.publish(*self._tracker.source_changed(message))
            case messages.Reply():
                self._calls.answer(message)
            case messages.Logged():
                self._logs.replay(message, self.name)
            case _:
                assert_never(message)

    def _begin_serving(self, serving: messages.Serving) -> None:
        now_s = self._clock.now_s()
        self.served = True
        self._lifecycle.advance(Trigger.SERVE, now_s)
        self._policy.serving(now_s)
        self._tracker.begin_serving(serving.address)
        self._board.serves(serving)
        self._bus.notify()

    # -- the end of a worker -----------------------------------------------------------------------

    def _worker_ended(self, error: str, *, normal: bool) -> None:
        """Report links as down and calls as failed, and plan what follows."""
        leaving = self._lifecycle.phase is Phase.LEAVING
        self._calls.fail_all(f"lost its worker before it answered: {error}")
        self._board.detach(self._clock.now_s())
        reason = Reason.SHUTDOWN if leaving else Reason.WORKER
        self._bus.publish(*self._bus.views[self.name].all_down(reason, time.time()))
        self._tracker.announced = False
        if leaving:
            self._finish()
            return
        self._tracker.last_error = error
        self._decide(error, normal=normal)
        self._bus.notify()

    def _decide(self, error: str, *, normal: bool) -> None:
        """Do as the restart policy says after a worker's end."""
        now_s = self._clock.now_s()
        was_crash_looping = self._policy.crash_looping
        decision = self._policy.exited(normal=normal, now_s=now_s, jitter=random.random())
        if isinstance(decision, Replace):
            # A worker that never served is reported by ``Supervisor.start``, which raises.
            is_raised = self.start_error is not None and not self.served
            level = logging.DEBUG if is_raised else logging.WARNING
            self._log(level, f"{error}; starting another in {decision.delay_s:.2f} s")
            self._lifecycle.advance(Trigger.RETRY, now_s, delay_s=decision.delay_s)
            if decision.crash_looping and not was_crash_looping:
                self._bus.publish(TopologyDegraded(topology=self.name, error=error, t=time.time()))
            return
        self._log(logging.INFO if normal else logging.WARNING, f"{error}; not restarting it")
        self._finish()
        if isinstance(decision, Escalate):
            self._escalate(limit_error(self.name, self._config.child_spec, error))

    def _recover_from(self, exc: BaseException) -> None:
        """Replace the worker after a failure of our own code, whatever that left half done."""
        error = f"supervising it failed: {described(exc)}"
        if self.start_error is None:
            self._note_start_error(ClusterKitError(error))
        self._log(logging.ERROR, error, exc)
        if self._process is not None:
            self._kill(self._process, error)
            if self._process.exitcode is not None:  # nobody may report its end again
                self._clean_up(self._process)
        elif self._lifecycle.phase is Phase.LEAVING:
            self._finish()
        elif not self.finished:
            self._tracker.last_error = error
            self._lifecycle.advance(Trigger.RETRY, self._clock.now_s(), delay_s=_RETRY_S)
            self._bus.notify()

    def abandon(self) -> None:
        """Leave no process behind, in whatever state this is: the supervising thread ends."""
        self._lifecycle.advance(Trigger.STOP, self._clock.now_s())
        if self._process is not None:
            self._process.kill()
            self._clean_up(self._process)
        elif not self.finished:
            self._finish()

    def _finish(self) -> None:
        if self._is_retiring and not self.retired:
            view = self._bus.views[self.name]
            self._bus.publish(*view.all_lost(Reason.SHUTDOWN, time.time()))
            self.retired = True
        self._lifecycle.advance(Trigger.END, self._clock.now_s())
        self._bus.notify()

    def _log(self, level: int, text: str, exc: BaseException | None = None) -> None:
        self._logs.log(level, f"{self.name}: {text}", exc)

    def status(self, inspected: messages.Inspected) -> TopologyStatus:
        """Return how this topology is doing; for other threads, which hold the bus's lock."""
        crash_looping = self._policy.crash_looping
        return self._tracker.status(inspected, finished=self.finished, crash_looping=crash_looping)
