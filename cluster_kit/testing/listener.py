"""Runs one strategy the way a worker does, and keeps what it observed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Self, cast

from cluster_kit.abc import Discovery, Found, Observation, Seen, Strategy
from cluster_kit.node import Node
from cluster_kit.testing.stand_ins import DEADLINE_S


class Listener:
    """``async with Listener(strategy, ctx) as heard``: discovers inside the block, and is cancelled and closed at its end.

    What the strategy raises is kept in ``error``, and raised by ``until``.
    """

    def __init__(self, strategy: Strategy, ctx: Discovery, *, deadline_s: float = DEADLINE_S) -> None:
        self.observations: list[Observation] = []
        self.error: BaseException | None = None
        self.ended = False
        self._strategy = strategy
        self._ctx = ctx
        self._deadline_s = deadline_s
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._listen(), name=f"listen to {self._strategy!r}")
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def _listen(self) -> None:
        try:
            async with aclosing(run_of(self._strategy, self._ctx)) as observations:
                async for observation in observations:
                    self.observations.append(observation)
                    self._news.set()
                    await asyncio.sleep(0)  # a strategy that never waits must not keep everybody else from running
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - the strategy is what is being tested
            self.error = exc
        finally:
            self.ended = True
            self._news.set()

    def vouched_for(self, node: Node) -> bool:
        """Whether any observation so far says that ``node`` is there."""
        return any(vouches(observation, node) for observation in self.observations)

    async def until(self, met: Callable[[Observation], bool], what: str, *, since: int = 0) -> Observation:
        """Return the first observation, from number ``since`` on, for which ``met`` holds.

        Raises:
            AssertionError: There was none when the strategy ended or the deadline passed.
        """
        observation = await self.hear(met, since=since)
        if observation is not None:
            return observation
        if self.error is not None:
            raise self.error
        state = "ended" if self.ended else f"was running after {self._deadline_s:g} s"
        raise AssertionError(f"expected {what}; the strategy {state}, having observed {self.observations}")

    async def hear(
        self, met: Callable[[Observation], bool] = lambda _: True, *, since: int = 0, within_s: float | None = None
    ) -> Observation | None:
        """As ``until``, but return ``None`` if there is no such observation when the strategy ends or the time is over."""
        try:
            async with asyncio.timeout(self._deadline_s if within_s is None else within_s):
                while True:
                    for observation in self.observations[since:]:
                        since += 1
                        if met(observation):
                            return observation
                    if self.ended:
                        return None
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return None

    async def close(self) -> None:
        """Cancel and close the strategy; it may take its time. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])


def run_of(strategy: Strategy, ctx: Discovery) -> AsyncGenerator[Observation, None]:
    """Return the async generator that ``discover`` must be."""
    return cast("AsyncGenerator[Observation, None]", strategy.discover(ctx))


def vouches(observation: Observation, node: Node) -> bool:
    """Whether ``observation`` says that ``node`` is there."""
    nodes = observation.nodes if isinstance(observation, Found) else {observation.node} if isinstance(observation, Seen) else ()
    return any(other.key == node.key or other.address == node.address for other in nodes)
