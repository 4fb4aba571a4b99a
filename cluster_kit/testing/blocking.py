"""Judges whether an event loop is blocked by what runs in it, and by which line.

Time during which the machine gave the loop's thread no processor is not counted, on Linux, which
tells it. The clock is that of the machine, also for a loop in virtual time.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from traceback import extract_stack

BLOCKED_S = 0.2  # what blocks for longer holds up heartbeats; less may be the machine
# what blocks does so each time; a garbage collection, an import or a busy machine does not
TRIES = 5
_TICK_S = 0.01
_SUSPICIOUS_S = 0.05  # to look where the loop is then
_THIS_THREAD = Path("/proc/thread-self")
_ALL_THREADS = Path("/proc/self/task")


class LagMonitor:
    """The longest time for which the loop ran nothing else.

    Attributes:
        longest_s: In seconds.
        where: The line that the loop was in meanwhile.
    """

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.where = "an unknown place"
        self._thread = threading.get_ident()
        self._ticked_s = time.monotonic()
        self._waited_s = starved_s()
        self._seen_at = self.where
        self._over = threading.Event()

    def tick(self) -> None:
        """Note that the loop runs, one tick after the last time."""
        now_s, waited_s = time.monotonic(), starved_s()
        blocked_s = now_s - self._ticked_s - (waited_s - self._waited_s) - _TICK_S
        if blocked_s > self.longest_s:
            self.longest_s, self.where = blocked_s, self._seen_at
        self._ticked_s, self._waited_s = now_s, waited_s

    def look(self) -> None:
        """Look again and again where the loop is while it is late; runs in a thread of its own."""
        while not self._over.wait(_SUSPICIOUS_S / 2):
            frame = sys._current_frames().get(self._thread)
            if frame is not None and time.monotonic() - self._ticked_s > _SUSPICIOUS_S:
                inner = extract_stack(frame, limit=1)[0]
                self._seen_at = f"{inner.filename}:{inner.lineno} in {inner.name}: {inner.line}"

    def stop(self) -> None:
        """End ``look``."""
        self._over.set()


async def check_never_blocked(live: Callable[[], Awaitable[None]]) -> None:
    """Run ``live``, and again where the loop was blocked meanwhile.

    Raises:
        AssertionError: The loop was blocked each time.
    """
    tries: list[LagMonitor] = []
    for _ in range(TRIES):
        async with measured_lag() as lag:
            await live()
        if lag.longest_s < BLOCKED_S:
            return
        tries.append(lag)
    least = min(tries, key=lambda lag: lag.longest_s)
    raise AssertionError(f"the event loop was blocked for {least.longest_s:.2f} s at {least.where}")


@asynccontextmanager
async def measured_lag() -> AsyncIterator[LagMonitor]:
    """Measure the lag of the running loop until the end of the block."""
    lag = LagMonitor()
    watcher = threading.Thread(
        target=lag.look, name="measure the lag of an event loop", daemon=True
    )
    ticking = asyncio.create_task(_tick(lag))
    watcher.start()
    try:
        yield lag
    finally:
        lag.tick()
        ticking.cancel()
        lag.stop()
        watcher.join()


async def _tick(lag: LagMonitor) -> None:
    while True:
        await asyncio.sleep(_TICK_S)
        lag.tick()


def starved_s() -> float:
    """Return for how many seconds this thread has been ready to run and had no processor."""
    return _starved_s(_THIS_THREAD)


def all_starved_s() -> float:
    """Return ``starved_s`` of all threads of this process together: one that waits for another is
    as late as that one.
    """
    return sum(_starved_s(thread) for thread in _ALL_THREADS.glob("*"))


def _starved_s(thread: Path) -> float:
    try:
        return int((thread / "schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):  # only Linux tells, and not in every container
        return 0.0
