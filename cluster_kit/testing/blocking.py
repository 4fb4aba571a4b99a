"""Detects whether code blocks its event loop, and at which line.

On Linux, the time for which the thread was ready and had no processor doesn't count. The clock is
always the machine's, even if the loop runs in virtual time.
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

BLOCKED_S = 0.2  # more delays heartbeats; less may be caused by the machine
TRIES = 5  # what blocks does so each time; a garbage collection or a busy machine doesn't
_TICK_S = 0.01
_SUSPICIOUS_S = 0.05  # how late the loop is when ``sample`` records its line
_THIS_THREAD = Path("/proc/thread-self")
_ALL_THREADS = Path("/proc/self/task")


class LagMonitor:
    """Measures the longest time for which one callback kept an event loop busy.

    Attributes:
        longest_s: That time, in seconds.
        where: The line that was running meanwhile.
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
        """Record that the loop runs again, one tick after the last time."""
        now_s, waited_s = time.monotonic(), starved_s()
        blocked_s = now_s - self._ticked_s - (waited_s - self._waited_s) - _TICK_S
        if blocked_s > self.longest_s:
            self.longest_s, self.where = blocked_s, self._seen_at
        self._ticked_s, self._waited_s = now_s, waited_s

    def sample(self) -> None:
        """Sample the line at which the loop is while it is late; runs in a separate thread."""
        while not self._over.wait(_SUSPICIOUS_S / 2):
            frame = sys._current_frames().get(self._thread)
            if frame is not None and time.monotonic() - self._ticked_s > _SUSPICIOUS_S:
                inner = extract_stack(frame, limit=1)[0]
                self._seen_at = f"{inner.filename}:{inner.lineno} in {inner.name}: {inner.line}"

    def stop(self) -> None:
        """End ``sample``."""
        self._over.set()


async def check_never_blocked(live: Callable[[], Awaitable[None]]) -> None:
    """Run ``live``; if the loop was blocked meanwhile, try again.

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
    best = min(tries, key=lambda lag: lag.longest_s)
    raise AssertionError(f"the event loop was blocked for {best.longest_s:.2f} s at {best.where}")


@asynccontextmanager
async def measured_lag() -> AsyncIterator[LagMonitor]:
    """Measure the lag of the running loop until the end of the block."""
    lag = LagMonitor()
    watcher = threading.Thread(target=lag.sample, name="event loop lag", daemon=True)
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
    """Return for how many seconds this thread has been ready to run, but had no processor."""
    return _starved_s(_THIS_THREAD)


def all_starved_s() -> float:
    """Return ``starved_s`` of all threads together, since one may wait for another."""
    return sum(_starved_s(thread) for thread in _ALL_THREADS.glob("*"))


def _starved_s(thread: Path) -> float:
    try:
        return int((thread / "schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):  # Linux only, and not in every container
        return 0.0
