"""The polling of a DNS strategy: a name that hangs delays no other.

Each name is a question of its own. Once one of them is answered, a poll waits only a moment for the
others. A question that takes longer goes on beside the next polls, and its answer counts when it
arrives; until then the nodes of that name are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing

from cluster_kit.abc import Answer, Discovery, Observation, PollingStrategy

OTHERS_S = 1.0  # by then, a name server that is asked in place of a silent one has its turn

Answers = Mapping[str, Answer]
Questions = Mapping[str, Callable[[], Awaitable[Answers]]]


class DnsPolling(PollingStrategy):
    """Polls for as long as ``discover`` runs.

    Args:
        interval_s: Seconds from one answer to the next question.
        confirmations: How many answers in a row must lack a node before it is gone.
        questions: Return what to ask, by name; a question answers for one or more parts of the
            source. May raise ``DiscoveryError``.
    """

    def __init__(
        self, interval_s: float, confirmations: int, questions: Callable[[], Questions]
    ) -> None:
        self.interval_s = interval_s
        self.confirmations = confirmations
        self._questions = questions
        self._asking: dict[str, asyncio.Task[Answers]] = {}
        self._answers: dict[str, Answers] = {}

    async def observe(self, ctx: Discovery) -> AsyncGenerator[Observation, None]:
        """Yield what is found, until closed."""
        try:
            async with aclosing(self.discover(ctx)) as observations:  # type: ignore[type-var]
                async for observation in observations:
                    yield observation
        finally:
            for task in self._asking.values():
                task.cancel()
            await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def poll(self, ctx: Discovery) -> Answers:
        """Return what is known of each name so far."""
        for name, ask in self._questions().items():
            if name not in self._asking:
                self._asking[name] = asyncio.ensure_future(ask())
        await self._wait()
        answers: dict[str, Answer] = {}
        for name, task in list(self._asking.items()):
            if task.done():
                del self._asking[name]
                self._answers[name] = task.result()
                answers |= self._answers[name]
            else:
                answers |= self._unknown(name)
        return answers

    def _unknown(self, name: str) -> Answers:
        """Return the last error of a name, and nothing new."""
        last = self._answers.get(name, {name: Answer()})
        return {part: Answer(error=answer.error, complete=False) for part, answer in last.items()}

    async def _wait(self) -> None:
        """Wait for a useful answer, and then a moment for the others."""
        pending = set(self._asking.values())
        done: set[asyncio.Task[Answers]] = set()
        while pending and not any(map(_is_useful, done)):
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if pending:
            await asyncio.wait(pending, timeout=OTHERS_S)


def _is_useful(task: asyncio.Task[Answers]) -> bool:
    failed = task.cancelled() or task.exception() is not None
    return failed or any(answer.complete for answer in task.result().values())
