"""How long an event loop stood still."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_TICK_S = 0.005


class Metronome:
    """Ticks in the loop that runs, and remembers the longest time between two ticks."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._ticked_s = time.perf_counter()  # not the loop's clock, which a test may have replaced

    def tick(self) -> None:
        """Note that the loop runs."""
        now_s = time.perf_counter()
        self.longest_s = max(self.longest_s, now_s - self._ticked_s)
        self._ticked_s = now_s

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            self.tick()
            await asyncio.sleep(_TICK_S)


@asynccontextmanager
async def longest_block(step: str, least: dict[str, float]) -> AsyncIterator[None]:
    """Measure for how long the loop stands still during the block, and keep in ``least`` the least that ``step`` ever took."""
    metronome = Metronome()
    running = asyncio.create_task(metronome.run())
    try:
        yield
        metronome.tick()
    finally:
        running.cancel()
    least[step] = min(least.get(step, metronome.longest_s), metronome.longest_s)
