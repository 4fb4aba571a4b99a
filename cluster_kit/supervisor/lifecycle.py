"""The life of one topology's worker, as a table of states. Pure: no process, no clock, no I/O.

A ``Lifecycle`` lasts from the start of a topology until it has ended for good, over as many worker
processes as that takes. It is always in one phase, and a phase has at most one deadline:

    phase      the worker                              deadline               when that passes
    ---------  --------------------------------------  ---------------------  ---------------------
    NEW        has not been started                    none
    STARTING   was started and has sent nothing yet    GREET_S                it is killed
    LOADING    has proved to be a worker; it loads     START_S, counted from  it is killed
               plugins and opens its port              the start
    SERVING    accepts links                           SILENT_S, counted      it is killed
                                                       from its last message
    KILLED     was killed; its end is awaited          none
    WAITING    has ended, or could not be started      the restart delay      the next one starts
    LEAVING    was told to stop, or killed after that  ``shutdown_s``, once   it is killed
    FINISHED   has ended for good                      none

The usual way is NEW, STARTING, LOADING, SERVING, LEAVING, FINISHED:

    NEW ----START----> STARTING --HEAR--> LOADING --SERVE--> SERVING (HEAR: the deadline moves on)
                         ^  |               |                   |
                         |  +----- KILL ----+------- KILL ------+----> KILLED
                       START                                             |
                         |                                               |
                      WAITING <------------------- RETRY ----------------+

STOP leads to LEAVING from everywhere, and END to FINISHED. RETRY leads to WAITING from every phase
before LEAVING, as a process may end at any time, and so may an attempt to start one fail. A trigger
that a phase does not list changes nothing: messages that arrive after STOP don't extend the time
that the worker has to leave.

Whether a worker that ended is replaced, and after which delay, is up to ``restart``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

GREET_S = 15.0  # even on a machine that starts hundreds of processes at once
START_S = 30.0  # importing large plugins on a loaded machine takes long, and is not a fault
SILENT_S = 5.0  # five missed beats: the event loop is blocked for good


class Phase(Enum):
    """Where a worker is in its life; see the table above."""

    NEW = auto()
    STARTING = auto()
    LOADING = auto()
    SERVING = auto()
    KILLED = auto()
    WAITING = auto()
    LEAVING = auto()
    FINISHED = auto()


class Trigger(Enum):
    """What can move a worker from one phase to another."""

    START = auto()
    """A process was started."""
    HEAR = auto()
    """The process sent a message."""
    SERVE = auto()
    """The worker began to accept links."""
    STOP = auto()
    """The topology is to end."""
    KILL = auto()
    """The process was killed."""
    RETRY = auto()
    """There is no process any more, and another one is to follow."""
    END = auto()
    """There is no process any more, and none is to follow."""


_ALWAYS = {Trigger.STOP: Phase.LEAVING, Trigger.RETRY: Phase.WAITING, Trigger.END: Phase.FINISHED}
_RUNNING = {**_ALWAYS, Trigger.KILL: Phase.KILLED}

TABLE: Mapping[Phase, Mapping[Trigger, Phase]] = {
    Phase.NEW: {**_ALWAYS, Trigger.START: Phase.STARTING},
    Phase.STARTING: {**_RUNNING, Trigger.HEAR: Phase.LOADING},
    Phase.LOADING: {**_RUNNING, Trigger.SERVE: Phase.SERVING},
    Phase.SERVING: {**_RUNNING, Trigger.HEAR: Phase.SERVING},
    Phase.KILLED: _ALWAYS,
    Phase.WAITING: {**_ALWAYS, Trigger.START: Phase.STARTING},
    Phase.LEAVING: {Trigger.KILL: Phase.LEAVING, Trigger.END: Phase.FINISHED},
    Phase.FINISHED: {},
}


class Lifecycle:
    """The phase of one topology's worker, and its deadline.

    Args:
        shutdown_s: How long a worker may take to leave.
    """

    def __init__(self, shutdown_s: float) -> None:
        self.phase = Phase.NEW
        self.deadline_s: float | None = None
        """When the phase is over at the latest, in monotonic time; ``None`` if it may last."""
        self._shutdown_s = shutdown_s
        self._started_s = 0.0

    @property
    def may_start(self) -> bool:
        """Whether a process may be started now."""
        return Trigger.START in TABLE[self.phase]

    def advance(self, trigger: Trigger, now_s: float, *, delay_s: float = 0.0) -> None:
        """Move to the phase to which ``trigger`` leads, and set its deadline.

        Args:
            trigger: What happened.
            now_s: The time, monotonic.
            delay_s: With ``Trigger.RETRY``, how long to wait before the next process is started.
        """
        phase = TABLE[self.phase].get(trigger)
        if phase is None:
            return
        if trigger is Trigger.START:
            self._started_s = now_s
        self.phase = phase
        self.deadline_s = None if trigger is Trigger.KILL else self._deadline_s(now_s, delay_s)

    def _deadline_s(self, now_s: float, delay_s: float) -> float | None:
        match self.phase:
            case Phase.STARTING:
                return now_s + GREET_S
            case Phase.LOADING:
                return self._started_s + START_S
            case Phase.SERVING:
                return now_s + SILENT_S
            case Phase.WAITING:
                return now_s + delay_s
            case Phase.LEAVING:
                return now_s + self._shutdown_s
            case _:
                return None

    def is_overdue(self, now_s: float) -> bool:
        """Whether the deadline of the phase has passed."""
        return self.deadline_s is not None and now_s >= self.deadline_s

    def fault(self, pid: int | None) -> str:
        """Return what the worker is killed for when the deadline of its phase has passed."""
        match self.phase:
            case Phase.STARTING:
                return f"sent nothing for {GREET_S:g} s"
            case Phase.LOADING:
                return f"worker {pid} did not begin to serve within {START_S:g} s"
            case Phase.LEAVING:
                return f"worker did not leave within {self._shutdown_s:g} s"
            case _:
                cause = "something blocks its event loop"
                return f"worker {pid} was silent for {SILENT_S:g} s: {cause}"
