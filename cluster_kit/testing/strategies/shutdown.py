"""Rules on how a run ends when it is closed: soon, and without leaving anything behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from cluster_kit.abc import Observation, Strategy
from cluster_kit.testing.leaks import leaves_nothing
from cluster_kit.testing.listener import attend, run_of
from cluster_kit.testing.rules import contract
from cluster_kit.testing.strategies.harness import StrategyHarness

GOODBYE_S = 1.0  # the contract's limit


class ShutdownRules(StrategyHarness):
    """A run that is closed or cancelled ends within a second and leaves nothing behind."""

    @contract("When the generator is closed, it has one second to say goodbye.")
    async def test_closing_ends_within_its_second(self, strategy: Strategy) -> None:
        """A run that takes longer is cut off in the middle of its goodbye.

        One that swallows ``CancelledError`` never ends at all.
        """
        async with self.listen(strategy, self.discovery()) as listener:
            await self.watch(listener)
            closing = asyncio.create_task(listener.close())
            timer = asyncio.create_task(attend(GOODBYE_S + self.deadline_s / 10))
            await asyncio.wait([closing, timer], return_when=asyncio.FIRST_COMPLETED)
            late = not listener.ended
            timer.cancel()
            await closing
        assert not late, (
            f"the run was cancelled, and {GOODBYE_S:g} s later it still runs: does it swallow "
            "CancelledError?"
        )

    @contract("catch both, and raise them again")
    async def test_cancellation_is_raised_again(self, strategy: Strategy) -> None:
        """A run that swallows ``CancelledError`` seems to have ended normally.

        The worker would take its strategy for healthy, with nothing more to report.
        """
        observations = run_of(strategy, self.discovery())
        waiting = asyncio.create_task(_next(observations))
        while await _is_over_at_once(waiting):
            if waiting.exception() is not None or waiting.result() is None:
                pytest.skip("the run ends by itself")
            waiting = asyncio.create_task(_next(observations))
        waiting.cancel()
        await asyncio.wait([waiting], timeout=GOODBYE_S + self.deadline_s / 10)
        if not waiting.done():
            pytest.skip(
                "a cancelled run doesn't end; test_closing_ends_within_its_second covers that"
            )
        ended = not waiting.cancelled() and waiting.exception() is None and waiting.result() is None
        assert not ended, (
            "the run was cancelled at an await, and ended as if it had no more to report"
        )

    @contract("nothing that a run opened outlives it")
    async def test_closing_leaves_nothing_behind(self, strategy: Strategy) -> None:
        """A run closed between two observations leaves no task, thread, process or socket."""
        async with leaves_nothing(self.deadline_s, files=False):
            observations = run_of(strategy, self.discovery())
            first = asyncio.ensure_future(anext(observations, None))
            await asyncio.wait([first], timeout=self.listen_s)
            first.cancel()
            await asyncio.wait([first], timeout=GOODBYE_S + self.deadline_s)
            assert first.done(), "the run can't be closed: it was cancelled, and still runs"
            await observations.aclose()

    @contract("nothing that a run opened outlives it")
    async def test_cancelled_while_waiting_leaves_nothing_behind(self, strategy: Strategy) -> None:
        """A run cancelled while it waits for its source leaves no task, thread or socket."""
        async with (
            leaves_nothing(self.deadline_s, files=False),
            self.listen(strategy, self.discovery()) as listener,
        ):
            await self.watch(listener)

    @contract("nothing that a run opened outlives it")
    async def test_closing_an_unstarted_run_leaves_nothing_behind(self, strategy: Strategy) -> None:
        """A worker that stops at once may close a run that never began."""
        async with leaves_nothing(self.deadline_s):
            await run_of(strategy, self.discovery()).aclose()


async def _next(observations: AsyncGenerator[Observation, None]) -> Observation | None:
    return await anext(observations, None)


async def _is_over_at_once(waiting: asyncio.Task[Observation | None]) -> bool:
    for _ in range(3):  # turns of the event loop
        await asyncio.sleep(0)
    return waiting.done()
