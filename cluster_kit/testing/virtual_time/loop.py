"""``VirtualLoop``: an asyncio event loop in virtual time, which represents a process.

Loops on one timeline share its queue of ready callbacks and its heap of timers, so any of them can
drive all. A paused loop keeps its ready callbacks in ``_held`` instead; a closed or killed one
drops them, so that nothing of it runs again.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import threading
import warnings
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import Any, NoReturn, TypeVarTuple, Unpack
from weakref import WeakSet, WeakValueDictionary

from cluster_kit.errors import LeakError
from cluster_kit.testing.virtual_time.real_world import NoRealWorld
from cluster_kit.testing.virtual_time.timeline import Timeline, Unhandled
from cluster_kit.testing.virtual_time.waiting_tasks import places_of

log = logging.getLogger("asyncio")

Ts = TypeVarTuple("Ts")


class VirtualLoop(NoRealWorld):
    """An event loop in virtual time, which represents a process.

    Whatever would leave virtual time raises ``LeakError``: sockets, pipes, threads, child
    processes, signals.

    Args:
        timeline: The time that it shares with other loops; by default its own.
        name: The name of the process in messages.
    """

    slow_callback_duration = 0.1  # asyncio's; nothing is measured

    def __init__(self, timeline: Timeline | None = None, *, name: str = "loop") -> None:
        self.timeline = timeline or Timeline()
        self.name = name
        self._ready = self.timeline._ready
        self._held: deque[Any] | None = None  # if it is paused or gone
        self._arrivals: list[asyncio.Handle] = []  # from the network, while it is paused
        self._is_gone = False
        self._is_debugging = False
        self._is_in_charge = False  # of driving the timeline
        self._thread = threading.get_ident()
        self._at_end: dict[Callable[[], object], None] = {}
        # asyncio's own set has the tasks of all loops
        self._tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        self._generators: WeakValueDictionary[int, AsyncGenerator[Any, Any]] = WeakValueDictionary()
        self._count = 0
        self._task_factory: Any = None
        self._exception_handler: Any = None
        self._on_first_iteration = self._keep_generator
        self._on_finalization = self._close_generator
        self.timeline.loops.append(self)

    def __repr__(self) -> str:
        state = "closed" if self._is_gone else "paused" if self.is_paused else "open"
        return f"<VirtualLoop {self.name} {state}>"

    # The process

    @property
    def is_paused(self) -> bool:
        """Whether the process is frozen."""
        return self._held is not None and not self._is_gone

    def pause(self) -> None:
        """Freeze the process, as SIGSTOP does: callbacks that become due wait. Idempotent."""
        if self._held is None:
            self._held = deque()

    def resume(self) -> None:
        """Continue the process, as SIGCONT does. Idempotent.

        Callbacks that were ready run first, then what the network delivered, then timers.
        """
        if not self.is_paused:
            return
        held, self._held = self._held or (), None
        self._ready.extend(handle for handle in held if not isinstance(handle, asyncio.TimerHandle))
        self._ready.extend(self._arrivals)
        self._ready.extend(handle for handle in held if isinstance(handle, asyncio.TimerHandle))
        self._arrivals.clear()

    def kill(self) -> None:
        """End the process as SIGKILL does: nothing of it runs again, not even ``finally``.

        What it leaves is closed together with the timeline, when that can't be noticed. Idempotent.
        """
        if self._is_gone:
            return
        tasks, generators = self._live_tasks(), list(self._generators.values())
        self.timeline._remains.append(partial(_record_goodbye, self, tasks, generators))
        self._end()

    def on_end(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` when the process ends in any way; networks close its streams then."""
        self._at_end[callback] = None

    def off_end(self, callback: Callable[[], object]) -> None:
        """Undo ``on_end``."""
        self._at_end.pop(callback, None)

    def arrive(self, context: Context, callback: Callable[..., object], *args: Any) -> None:
        """Call ``callback`` for the network: now, or when the paused process goes on."""
        if self._held is not None:
            if not self._is_gone:
                self._arrivals.append(asyncio.Handle(callback, args, self, context))
            return
        asyncio._set_running_loop(self)
        try:
            context.run(callback, *args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:  # noqa: BLE001 - as in any callback of a loop
            self.call_exception_handler({"message": f"Exception in {callback!r}", "exception": exc})

    def waiting(self) -> Iterator[str]:
        """Yield a line for each waiting task: its name, and where it waits."""
        owner = f"{self.name}, which is paused," if self.is_paused else self.name
        for name, place in places_of(self._live_tasks()):
            yield f"{name} of {owner} in {place}"

    def _live_tasks(self) -> set[asyncio.Task[Any]]:
        return {task for task in self._tasks if not task.done()}

    # Running

    def run_forever(self) -> None:
        """Drive the timeline until ``stop``.

        Raises:
            DeadlockError: Nothing is left to happen.
        """
        self._check_idle()
        self._is_in_charge = True
        try:
            self.timeline.run()
            if self._is_in_charge:
                raise self.timeline.deadlock()
        finally:
            self._is_in_charge = False

    def run_until_complete(self, future: Any) -> Any:
        """Drive the timeline until ``future`` is done, and return its result."""
        self._check_idle()
        is_new = not asyncio.isfuture(future)
        future = asyncio.ensure_future(future, loop=self)
        future.add_done_callback(self._stop_for)
        try:
            self.run_forever()
        except BaseException:
            if is_new and future.done() and not future.cancelled():
                future.exception()  # mark it as retrieved: the other exception is raised
            raise
        finally:
            future.remove_done_callback(self._stop_for)
        if not future.done():
            raise RuntimeError("Event loop stopped before Future completed.")
        return future.result()

    def _check_idle(self) -> None:
        self._check_open()
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("Cannot run the event loop while another loop is running")

    def _stop_for(self, _: asyncio.Future[Any]) -> None:
        self.stop()

    def stop(self) -> None:
        """Let ``run_forever`` return."""
        self._is_in_charge = False
        self.timeline.stop()

    def is_running(self) -> bool:
        """Return whether it drives the timeline, or one of its callbacks runs."""
        return self._is_in_charge or asyncio._get_running_loop() is self

    def is_closed(self) -> bool:
        """Return whether it was closed or killed."""
        return self._is_gone

    def close(self) -> None:
        """End the process in order. Idempotent."""
        if self._is_in_charge:
            raise RuntimeError("Cannot close a running event loop")
        if not self._is_gone:
            self._end()

    def _end(self) -> None:
        self._is_gone = True
        self._held = deque(maxlen=0)
        self._arrivals.clear()
        self.timeline.loops.remove(self)
        at_end, self._at_end = self._at_end, {}
        for callback in at_end:
            callback()

    async def shutdown_asyncgens(self) -> None:
        """Close the asynchronous generators that are still open, the oldest first."""
        for generator in list(self._generators.values()):
            try:
                await generator.aclose()
            except Exception as exc:  # noqa: BLE001 - the others must be closed, too
                self.call_exception_handler(
                    {
                        "message": f"an error occurred during closing of {generator!r}",
                        "exception": exc,
                        "asyncgen": generator,
                    }
                )

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncio's signature
        """Do nothing: there is no executor."""

    # Callbacks, tasks and futures

    def time(self) -> float:
        """Return the time of the timeline."""
        return self.timeline.now_s

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Call ``callback`` after all callbacks that are ready."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Call ``callback`` as ``call_soon`` does; allowed in the loop's own thread only."""
        if threading.get_ident() != self._thread:
            self.leak(f"call_soon_threadsafe from the thread {threading.current_thread().name!r}")
        self._check_open()
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call ``callback`` in ``delay`` seconds of virtual time.

        Even the shortest delay advances the time, by a unit in the last place.
        """
        now_s = self.timeline.now_s
        when_s = max(now_s + delay, math.nextafter(now_s, math.inf)) if delay > 0 else now_s
        return self.call_at(when_s, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call ``callback`` when the timeline has reached ``when``."""
        timer: Any = asyncio.TimerHandle(when, callback, args, self, context)
        timeline = self.timeline
        heapq.heappush(timeline._due, (when, next(timeline._serials), timer))
        timer._scheduled = True  # asyncio's mark: cancel() then calls _timer_handle_cancelled
        return timer  # type: ignore[no-any-return]

    def _timer_handle_cancelled(self, timer: Any) -> None:
        if timer._scheduled:
            self.timeline._forget_cancelled()

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        """Return a task of this loop.

        Tasks without a name are numbered by loop, so that their names repeat from run to run.
        """
        if name is None:
            self._count += 1
            name = f"Task-{self._count}"
        if self._task_factory is None:
            task = asyncio.Task(coro, loop=self, name=name, context=context)
        else:
            options = {} if context is None else {"context": context}
            task = self._task_factory(self, coro, **options)
            task.set_name(name)
        self._tasks.add(task)
        return task

    def set_task_factory(self, factory: Any) -> None:
        """Create tasks by ``factory``."""
        self._task_factory = factory

    def get_task_factory(self) -> Any:
        """Return the factory of tasks."""
        return self._task_factory

    def _keep_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._count += 1
        self._generators[self._count] = generator

    def _close_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        if not self._is_gone:
            self.call_soon(self.create_task, generator.aclose())

    # Exceptions

    def set_exception_handler(self, handler: Any) -> None:
        """Pass unhandled exceptions to ``handler`` rather than to the timeline."""
        self._exception_handler = handler

    def get_exception_handler(self) -> Any:
        """Return the handler of unhandled exceptions."""
        return self._exception_handler

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Pass on an unhandled exception."""
        if self._exception_handler is None:
            self.default_exception_handler(context)
            return
        try:
            self._exception_handler(self, context)
        except Exception as exc:  # noqa: BLE001 - the handler is foreign code
            self.default_exception_handler(
                {**context, "message": "Unhandled error in exception handler", "exception": exc}
            )

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Log the exception, and add it to ``Timeline.unhandled``."""
        message = context.get("message") or "Unhandled exception in event loop"
        exception = context.get("exception")
        log.error("%s in %r", message, self, exc_info=exception)
        self.timeline.unhandled.append(Unhandled(self, message, exception, self.timeline.now_s))

    def get_debug(self) -> bool:
        """Return whether asyncio is in debug mode."""
        return self._is_debugging

    def set_debug(self, enabled: bool) -> None:
        """Turn asyncio's debug mode on or off."""
        self._is_debugging = enabled

    # The real world

    def _check_open(self) -> None:
        if self._is_gone:
            raise RuntimeError("Event loop is closed")

    def leak(self, what: str) -> NoReturn:
        """Raise ``LeakError``, and add it to ``Timeline.unhandled``."""
        error = LeakError(
            f"virtual time: {what} would reach the real world; use the network that is passed in"
        )
        self.timeline.unhandled.append(
            Unhandled(self, f"a leak in {self!r}", error, self.timeline.now_s)
        )
        raise error


def _record_goodbye(
    loop: VirtualLoop, tasks: set[asyncio.Task[Any]], generators: list[AsyncGenerator[Any, Any]]
) -> None:
    """Close what a killed process left, before the garbage collector complains about it."""
    loop.set_exception_handler(lambda *_: None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asyncio._set_running_loop(loop)
        try:
            for task in tasks:
                with suppress(BaseException):  # its finally may await, or raise
                    coroutine = task.get_coro()
                    if coroutine is not None:
                        coroutine.close()
        finally:
            asyncio._set_running_loop(None)
