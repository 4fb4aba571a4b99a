"""Virtual time: one timeline that any number of ``VirtualLoop``s share, as the processes of a
cluster share real time.

Time stands still while anybody has something to do. When all are idle it jumps to the next
deadline. What is due at the same moment runs in the order in which it was scheduled, over all
loops, so a run depends on nothing but the code that runs.
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

MOST_TURNS = 100_000  # at one moment; sleep(0) in a loop that waits for a timer would go on forever
_FEWEST_TO_SWEEP = 1000  # cancelled timers; as many as half of all are swept out, as asyncio does
_GRACE_S = 60.0  # for those who are cancelled at the limit
_MOST_LISTED = 20


class Unhandled(NamedTuple):
    """An exception that nobody handled, or an access to the real world; ``message`` says where,
    ``at_s`` when.
    """

    loop: VirtualLoop
    message: str
    exception: BaseException | None
    at_s: float


class TimelineHandle:
    """Something that happens at a moment, outside all loops; ``Timeline.call_at`` makes it."""

    __slots__ = ("_args", "_callback", "_cancelled")

    _loop = None

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._callback = callback
        self._args = args
        self._cancelled = False

    def cancel(self) -> None:
        """Don't let it happen. Idempotent."""
        self._cancelled = True

    def _run(self) -> None:
        self._callback(*self._args)


class Timeline:
    """Time for all loops that are made on it.

    Attributes:
        now_s: The time; it begins at 0.
        limit_s: A run that gets beyond it raises ``VirtualTimeError``:
            who waits for what never comes while a timer ticks would wait forever.
        unhandled: What nobody handled in any loop, in order.
        loops: The loops that are neither closed nor killed, the oldest first.
    """

    def __init__(self, *, limit_s: float = math.inf) -> None:
        self.now_s = 0.0
        self.limit_s = limit_s
        self.unhandled: list[Unhandled] = []
        self.loops: list[VirtualLoop] = []
        self._ready: deque[Any] = deque()
        self._due: list[tuple[float, int, Any]] = []  # a heap
        self._serials = itertools.count()
        self._cancelled = 0  # timers in the heap
        self._turns = 0  # since the time changed
        self._is_running = False
        self._is_stopping = False
        self._remains: list[Callable[[], None]] = []

    def call_at(self, when_s: float, callback: Callable[..., object], *args: Any) -> TimelineHandle:
        """Call ``callback`` at ``when_s``, outside all loops; what it raises ends the run."""
        event = TimelineHandle(callback, args)
        heapq.heappush(self._due, (when_s, next(self._serials), event))
        return event

    def run(self, until_s: float = math.inf) -> None:
        """Run all loops until ``until_s``, or ``stop``, or until nothing is left to do.

        Raises:
            VirtualTimeError: The limit is reached, or time can't pass as somebody is always busy.
        """
        if self._is_running:
            raise RuntimeError(
                "virtual time: it runs already; run one loop of a timeline, and it drives the "
                "others"
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
        """Let ``run`` return, once all has run that is ready now."""
        self._is_stopping = True

    def close(self) -> None:
        """Close all loops, and what those left that were killed. Idempotent."""
        for loop in list(self.loops):
            loop.close()
        while self._remains:
            self._remains.pop()()
        self._ready.clear()
        self._due.clear()

    def waiting(self) -> Iterator[str]:
        """Yield a line for each task that waits, in any loop that is alive."""
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
        """Run all that is ready, but not what gets ready meanwhile."""
        self._turns += 1
        if self._turns > MOST_TURNS:
            self._turns = 0  # those who are cancelled now need some
            raise VirtualTimeError(
                f"virtual time: somebody is always busy at {self.now_s:g} s, so time can't pass; "
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
                entered = self  # it may have entered others
            elif loop._held is not None:
                loop._held.append(handle)
            elif not handle._cancelled:
                handle._run()

    def _jump(self, until_s: float) -> bool:
        """Go on to the next deadline; tell whether there is one until ``until_s``."""
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
        """Note that a timer was cancelled, and sweep when there are many: most timers of timeouts
        are cancelled.
        """
        self._cancelled += 1
        if self._cancelled >= _FEWEST_TO_SWEEP and 2 * self._cancelled > len(self._due):
            self._due[:] = [entry for entry in self._due if not entry[2]._cancelled]
            heapq.heapify(self._due)
            self._cancelled = 0

    def deadlock(self) -> DeadlockError:
        """Return the error for a run that has nothing left to wait for."""
        return DeadlockError(
            f"virtual time: nothing is left to happen after {self.now_s:g} s; {self._waits()}"
        )

    def _waits(self) -> str:
        lines = list(itertools.islice(self.waiting(), _MOST_LISTED + 1))
        more = ["and more"] if len(lines) > _MOST_LISTED else []
        return "tasks that wait: " + (", ".join(lines[:_MOST_LISTED] + more) or "none")
