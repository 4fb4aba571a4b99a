"""Queues what a running strategy reports, and wakes up the generator that yields it.

A strategy that works with callbacks and tasks queues observations here, and its ``discover`` yields
them::

    reporter = Reporter(ctx.announced)
    while True:
        for observation in reporter.take():
            yield observation
        await reporter.wait(delay_s)

The last observation of a strategy decides its health: after ``Failed`` it counts as failing, after
any other one as healthy. So a fault is reported once, and again after other observations, which
would hide it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from math import inf

from cluster_kit.errors import ClusterKitError
from cluster_kit.observations import Failed, Found, Observation


class Reporter:
    """Queues the observations of one run, in one event loop.

    Args:
        announced: ``Discovery.announced``; only ``announced`` and ``works`` call it.

    Attributes:
        fault: The text of the fault that was reported last, until it is over.
        is_announced: Whether this node has been announced.
    """

    def __init__(self, announced: Callable[[], None]) -> None:
        self.fault: str | None = None
        self.is_announced = False
        self._announced = announced
        self._queue: deque[Observation] = deque()
        self._found: Found | None = None
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    def say(self, *observations: Observation) -> None:
        """Queue observations."""
        self._queue += observations

    def answer(self, found: Found | None, error: ClusterKitError | None) -> None:
        """Report a source's complete answer, and what is wrong with it, as far as either is new."""
        is_over = error is None and self.fault is not None
        is_new = found is not None and (found != self._found or is_over)
        if found is not None and is_new:
            self._found = found
            self.say(found)
        self.judge(error, again=is_new)

    def judge(self, error: ClusterKitError | None, *, again: bool) -> None:
        """Report what is wrong with the source, or note that nothing is wrong any more.

        Args:
            error: What is wrong.
            again: Whether to repeat an error that later observations would hide.
        """
        if error is None:
            self.fault = None
        else:
            self.failed(error, again=again)

    def failed(self, error: ClusterKitError, *, again: bool = False) -> None:
        """Report an error, unless it was reported last; ``again`` in any case."""
        if again or str(error) != self.fault:
            self.fault = str(error)
            self.say(Failed(error))

    def announced(self) -> None:
        """Report that this node is announced; that counts as healthy, so the next answer is new."""
        self.is_announced = True
        self.fault = self._found = None
        self._announced()

    def works(self) -> None:
        """Report that this node is announced, if that is new or ends a fault."""
        if self.fault is not None or not self.is_announced:
            self.announced()

    def take(self) -> Iterator[Observation]:
        """Yield the queued observations, and those that are added meanwhile."""
        while self._queue:
            yield self._queue.popleft()

    def wake(self) -> None:
        """End a wait, or the next one."""
        self._wake.set()

    async def wait(self, delay_s: float = inf) -> None:
        """Wait until ``wake`` is called, at most ``delay_s`` seconds."""
        timer = None
        if delay_s < inf:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(max(0.0, delay_s), self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if timer is not None:
                timer.cancel()
        self._wake.clear()
