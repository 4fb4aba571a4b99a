"""Runs a strategy as a worker does, and keeps what it observes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Self, TypeVar, cast, overload

from cluster_kit.abc import Discovery, Observation, Strategy
from cluster_kit.attended import AttendedClock
from cluster_kit.node import Node
from cluster_kit.testing.fakes import DEADLINE_S
from cluster_kit.testing.observations import descriptions_of

_TICK_S = 0.02

_Said = TypeVar("_Said", bound=Observation)


class Listener:
    """Runs ``strategy`` inside an ``async with`` block, and closes it at the end.

    An exception of the strategy is kept in ``error``, and raised by ``until``. Waiting counts only
    the time during which the event loop ran, so a busy machine fails no strategy.
    """

    def __init__(
        self, strategy: Strategy, ctx: Discovery, *, deadline_s: float = DEADLINE_S
    ) -> None:
        self.observations: list[Observation] = []
        self.error: BaseException | None = None
        self.ended = False
        self._strategy = strategy
        self._ctx = ctx
        self._deadline_s = deadline_s
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def __str__(self) -> str:
        return self._ctx.local.key

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
                    # a strategy that never waits must not keep others from running
                    await asyncio.sleep(0)
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - the strategy is under test
            self.error = exc
        finally:
            self.ended = True
            self._news.set()

    def vouched_for(self, node: Node) -> bool:
        """Return whether any observation so far says that ``node`` is there."""
        return any(vouches(observation, node) for observation in self.observations)

    @overload
    async def until(
        self,
        met: type[_Said],
        what: str = "",
        *,
        where: Callable[[_Said], bool] = ...,
        since: int = 0,
    ) -> _Said: ...

    @overload
    async def until(
        self, met: Callable[[Observation], bool], what: str, *, since: int = 0
    ) -> Observation: ...

    async def until(
        self,
        met: Any,
        what: str = "",
        *,
        where: Callable[[Any], bool] = lambda _: True,
        since: int = 0,
    ) -> Any:
        """Return the first observation that meets a condition.

        Args:
            met: The condition, or a class of observations:
                ``seen = await heard.until(Seen, "bob", where=is_bob)``.
            what: What to call it in the message of a failure.
            where: A condition on observations of that class.
            since: How many observations to skip.

        Raises:
            AssertionError: The strategy ended or the deadline passed before that.
        """

        def condition(observed: Observation) -> bool:
            return (
                isinstance(observed, met) and where(observed)
                if isinstance(met, type)
                else met(observed)
            )

        observation = await self.hear(condition, since=since)
        if observation is not None:
            return observation
        if self.error is not None:
            raise self.error
        state = "ended" if self.ended else f"went on for {self._deadline_s:g} s"
        raise AssertionError(
            f"expected {what or met.__name__}; the strategy {state} and observed "
            f"{self.observations[since:]}"
        )

    async def hear(
        self,
        met: Callable[[Observation], bool] = lambda _: True,
        *,
        since: int = 0,
        within_s: float | None = None,
    ) -> Observation | None:
        """Return the first observation that meets a condition, like ``until``, or ``None``.

        Wait for ``within_s``, by default until the deadline, or until the strategy ends.
        """
        hearing = asyncio.create_task(self._hear(met, since))
        timer = asyncio.create_task(attend(self._deadline_s if within_s is None else within_s))
        try:
            await asyncio.wait([hearing, timer], return_when=asyncio.FIRST_COMPLETED)
            return hearing.result() if hearing.done() else None
        finally:
            hearing.cancel()
            timer.cancel()
            await asyncio.gather(hearing, timer, return_exceptions=True)

    async def happens(self, event: asyncio.Event) -> bool:
        """Wait for ``event``; return whether it came before the strategy's end and the deadline."""
        waiting = asyncio.create_task(event.wait())
        ending = asyncio.create_task(self.hear(lambda _: event.is_set()))
        await asyncio.wait([waiting, ending], return_when=asyncio.FIRST_COMPLETED)
        for task in (waiting, ending):
            task.cancel()
        await asyncio.gather(waiting, ending, return_exceptions=True)
        return event.is_set()

    async def _hear(self, met: Callable[[Observation], bool], since: int) -> Observation | None:
        while True:
            for observation in self.observations[since:]:
                since += 1
                if met(observation):
                    return observation
            if self.ended:
                return None
            self._news.clear()
            await self._news.wait()

    async def close(self) -> None:
        """Cancel and close the strategy, and wait for its end until the deadline. Idempotent."""
        if self._task is not None and not self._task.done() and not self._closed:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=self._deadline_s)
            self._closed = True


async def attend(seconds: float) -> None:
    """Sleep until this event loop has run for ``seconds``, not counting stalls of the machine."""
    clock = AttendedClock(asyncio.get_running_loop().time, 2 * _TICK_S)
    end_s = clock.now_s() + seconds
    while (left_s := end_s - clock.now_s()) > 0:
        await asyncio.sleep(min(_TICK_S, left_s))
        clock.tick()


def run_of(strategy: Strategy, ctx: Discovery) -> AsyncGenerator[Observation, None]:
    """Return the async generator of ``discover``."""
    return cast("AsyncGenerator[Observation, None]", strategy.discover(ctx))


def vouches(observation: Observation, node: Node) -> bool:
    """Return whether ``observation`` says that ``node`` is there."""
    return bool(descriptions_of([observation], node))
