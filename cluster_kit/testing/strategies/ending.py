"""Rules on how a strategy ends: soon, and without leaving anything behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from cluster_kit.abc import Observation, Strategy
from cluster_kit.testing.contract import contract
from cluster_kit.testing.leaks import leaves_nothing
from cluster_kit.testing.listener import attend, run_of
from cluster_kit.testing.strategies.overrides import StrategyOverrides

GOODBYE_S = 1.0  # what the contract grants


class EndingRules(StrategyOverrides):
    """Rules on how a strategy ends: soon, and without leaving anything behind."""

    @contract("Closing the generator is the order to say goodbye, for which it has one second.")
    def test_closing_ends_within_its_second(self, strategy: Strategy) -> None:
        """Who takes longer is cut off and never said it; who swallows ``CancelledError`` never ends
        at all.
        """

        async def scenario() -> None:
            async with self.listen(strategy, self.discovery()) as heard:
                await heard.hear(_never, within_s=self.listen_s)
                closing = asyncio.create_task(heard.close())
                timer = asyncio.create_task(attend(GOODBYE_S + self.deadline_s / 10))
                await asyncio.wait([closing, timer], return_when=asyncio.FIRST_COMPLETED)
                late = not heard.ended
                timer.cancel()
                await closing
            assert not late, (
                f"cancelled, it went on for more than {GOODBYE_S:g} s: does it swallow "
                "CancelledError?"
            )

        self.run(scenario())

    @contract("catch both, and raise them again")
    def test_cancellation_is_raised_again(self, strategy: Strategy) -> None:
        """One that takes ``CancelledError`` for its end seems to have no more to say, and to be
        healthy.
        """

        async def scenario() -> None:
            observations = run_of(strategy, self.discovery())
            waiting = asyncio.create_task(_next(observations))
            while await _is_over_at_once(waiting):
                if waiting.exception() is not None or waiting.result() is None:
                    pytest.skip("it ends by itself")
                waiting = asyncio.create_task(_next(observations))
            waiting.cancel()
            await asyncio.wait([waiting], timeout=GOODBYE_S + self.deadline_s / 10)
            if not waiting.done():
                pytest.skip(
                    "it goes on after it was cancelled, as test_closing_ends_within_its_second "
                    "tells"
                )
            ended = (
                not waiting.cancelled() and waiting.exception() is None and waiting.result() is None
            )
            assert not ended, "cancelled where it waits, it ended as if there were no more to say"

        self.run(scenario())

    @contract("nothing that a run opened outlives it")
    def test_closing_leaves_nothing_behind(self, strategy: Strategy) -> None:
        """Closed between two observations, it leaves no task, thread, process or socket."""

        async def scenario() -> None:
            async with leaves_nothing(self.deadline_s, files=False):
                observations = run_of(strategy, self.discovery())
                first = asyncio.ensure_future(anext(observations, None))
                await asyncio.wait([first], timeout=self.listen_s)
                first.cancel()
                await asyncio.wait([first], timeout=GOODBYE_S + self.deadline_s)
                assert first.done(), "it can't be closed, since it goes on after it was cancelled"
                await observations.aclose()

        self.run(scenario())

    @contract("nothing that a run opened outlives it")
    def test_cancelled_while_waiting_leaves_nothing_behind(self, strategy: Strategy) -> None:
        """Cancelled while it waits for its source, it leaves no task, thread, process or socket."""

        async def scenario() -> None:
            async with (
                leaves_nothing(self.deadline_s, files=False),
                self.listen(strategy, self.discovery()) as heard,
            ):
                await heard.hear(_never, within_s=self.listen_s)

        self.run(scenario())

    @contract("nothing that a run opened outlives it")
    def test_closing_an_unstarted_run_leaves_nothing_behind(self, strategy: Strategy) -> None:
        """A worker that is told to stop at once may close a run that never began."""

        async def scenario() -> None:
            async with leaves_nothing(self.deadline_s):
                await run_of(strategy, self.discovery()).aclose()

        self.run(scenario())


async def _next(observations: AsyncGenerator[Observation, None]) -> Observation | None:
    return await anext(observations, None)


async def _is_over_at_once(waiting: asyncio.Task[Observation | None]) -> bool:
    for _ in range(3):  # turns of the event loop
        await asyncio.sleep(0)
    return waiting.done()


def _never(observation: Observation) -> bool:
    return False
