"""One timeline for any number of ``VirtualLoop``s, as the processes of a cluster share real time.

Time stands still while any loop has something to run. When all are idle it jumps to the next
deadline. Callbacks that are due at one moment run in the order in which they were scheduled, over
all loops, so a run depends on nothing but the code that runs.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from cluster_kit.errors import DeadlockError, VirtualTimeError

if TYPE_CHECKING:
    from cluster_kit.testing.virtual_time.loop import VirtualLoop

MOST_TURNS = 100_000  # at one moment: code that polls with sleep(0) for a timer would never end
_FEWEST_TO_SWEEP = 1000  # cancelled timers; like asyncio, sweep when they are half of all
_GRACE_S = 60.0  # for tasks that are cancelled at the limit
_MOST_LISTED = 20  # waiting tasks in a message


class Unhandled(NamedTuple):
    """An unhandled exception, or an access to the real world.

    Attributes:
        loop: The loop in which it happened.
        message: What happened.
        exception: The exception, if there is one.
        at_s: When it happened.
    """

    loop: VirtualLoop
    message: str
    exception: BaseException | None
    at_s: float


class TimelineHandle:
    """A callback outside all loops, made by ``Timeline.call_at``."""

    __slots__ = ("_args", "_callback", "_cancelled")

    _loop = None

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._callback = callback
        self._args = args
        self._cancelled = False

    def cancel(self) -> None:
        """Don't call it. Idempotent."""
        self._cancelled = True

    def _run(self) -> None:
        self._callback(*self._args)


class Timeline:
    """The time of all loops that are made on it.

    A run repeats two steps. While callbacks are ready, all that are ready run, each in the context
    of its loop: that is one turn. Otherwise time jumps to the earliest timer of the heap, whose
    callbacks become ready. Timers of one moment have serial numbers, which keep them in order.

    Attributes:
        now_s: The time; it begins at 0.
        limit_s: A run that goes beyond it raises ``VirtualTimeError``. Without a limit, a task that
            waits in vain while a timer ticks would wait forever.
        unhandled: The unhandled exceptions of all loops, in order.
        loops: The loops that are neither closed nor killed, the oldest first.
    """

    def __init__(self, *, limit_s: float = math.inf) -> None:
        self.now_s = 0.0
        self.limit_s = limit_s
        self.unhandled: list[Unhandled] = []
        self.loops: list[VirtualLoop] = []
        self._ready: deque[Any] = deque()
        self._due: list[tuple[float, int, Any]] = []  # a heap of timers
        self._serials = itertools.count()
        self._cancelled = 0  # timers in the heap
        self._turns = 0  # since the time changed
        self._is_running = False
        self._is_stopping = False
        self._remains: list[Callable[[], None]] = []  # closes what killed loops left

    def call_at(self, when_s: float, callback: Callable[..., object], *args: Any) -> TimelineHandle:
        """Call ``callback`` at ``when_s``, outside all loops; an exception ends the run."""
        handle = TimelineHandle(callback, args)
        heapq.heappush(self._due, (when_s, next(self._serials), handle))
        return handle

    def run(self, until_s: float = math.inf) -> None:
        """Run all loops until ``until_s``, until ``stop``, or until nothing is left to do.

        Raises:
            VirtualTimeError: The limit is reached, or a task is always busy, so that time can't
                pass.
        """
        if self._is_running:
            raise RuntimeError(
                "virtual time: this timeline is running already; one of its loops drives all others"
            )
        hooks = sys.get_asyncgen_hooks()
        self._is_running = True
        try:
            while not self._is_stopping:
                self._take_due()
                if self._ready:
                    self._turn()
                elif not self._jump(until_s):
                    if until_s < math.inf:
                        self.now_s = max(self.now_s, until_s)
                    return
        finally:
            self._is_running = self._is_stopping = False
            asyncio._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)

    def stop(self) -> None:
        """Let ``run`` return once all callbacks have run that are ready now."""
        self._is_stopping = True

    def close(self) -> None:
        """Close all loops, and what killed ones left. Idempotent."""
        for loop in list(self.loops):
            loop.close()
        while self._remains:
            self._remains.pop()()
        self._ready.clear()
        self._due.clear()

    def waiting(self) -> Iterator[str]:
        """Yield a line for each waiting task of all loops."""
        for loop in self.loops:
            yield from loop.waiting()

    def _take_due(self) -> None:
        due = self._due
        while due and due[0][0] <= self.now_s:
            handle = heapq.heappop(due)[2]
            if handle._loop is not None:
                handle._scheduled = False
            if not handle._cancelled:
                self._ready.append(handle)

    def _turn(self) -> None:
        """Run all callbacks that are ready, but none that become ready meanwhile."""
        self._turns += 1
        if self._turns > MOST_TURNS:
            self._turns = 0  # the tasks that are cancelled next need some
            raise VirtualTimeError(
                f"virtual time: a task is always busy at {self.now_s:g} s, so time can't pass; "
                f"{self._waits()}"
            )
        ready = self._ready
        entered: object = self  # no loop
        for _ in range(len(ready)):
            handle = ready.popleft()
            loop = handle._loop
            if loop is not entered:
                asyncio._set_running_loop(loop)
                if loop is not None:
                    sys.set_asyncgen_hooks(loop._on_first_iteration, loop._on_finalization)
                entered = loop
            if loop is None:
                if not handle._cancelled:
                    handle._run()
                entered = self  # the callback may have entered others
            elif loop._held is not None:
                loop._held.append(handle)
            elif not handle._cancelled:
                handle._run()

    def _jump(self, until_s: float) -> bool:
        """Advance to the next deadline, and return whether there is one until ``until_s``."""
        due = self._due
        while due and due[0][2]._cancelled:
            heapq.heappop(due)
        if not due or due[0][0] > until_s or due[0][0] == math.inf:
            return False
        if due[0][0] > self.limit_s:
            limit_s, self.limit_s = self.limit_s, self.now_s + _GRACE_S
            raise VirtualTimeError(
                f"virtual time: not over by {limit_s:g} s, which is the limit; {self._waits()}"
            )
        self.now_s = due[0][0]
        self._turns = 0
        return True

    def _forget_cancelled(self) -> None:
        """Count a cancelled timer, and remove all of them when they are many."""
        self._cancelled += 1
        if self._cancelled >= _FEWEST_TO_SWEEP and 2 * self._cancelled > len(self._due):
            self._due[:] = [entry for entry in self._due if not entry[2]._cancelled]
            heapq.heapify(self._due)
            self._cancelled = 0

    def deadlock(self) -> DeadlockError:
        """Return the error for a run in which nothing is left to happen."""
        return DeadlockError(
            f"virtual time: nothing is left to happen after {self.now_s:g} s; {self._waits()}"
        )

    def _waits(self) -> str:
        lines = list(itertools.islice(self.waiting(), _MOST_LISTED + 1))
        more = ["and more"] if len(lines) > _MOST_LISTED else []
        return "waiting tasks: " + (", ".join(lines[:_MOST_LISTED] + more) or "none")
