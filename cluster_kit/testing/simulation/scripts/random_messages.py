"""Random message steps: many and few, large and small, to quick and slow readers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import TypeVar

from cluster_kit.testing.simulation.scripts.message_steps import (
    TOPIC,
    Ask,
    KillWorker,
    Listen,
    Publish,
    Read,
    Send,
    SendingStep,
    Stall,
    Unlisten,
)
from cluster_kit.testing.simulation.scripts.step import Step

BEGINS_AT_S = 2.0  # many nodes are linked by then
_TOPICS = (TOPIC, TOPIC, "extra")  # all nodes listen to the one from the start, none to the other
_SMALL, _LARGE = (20, 20, 200, 5_000), (40_000, 150_000)  # bytes; large ones are sent in parts

_Sending = TypeVar("_Sending", bound=SendingStep)


def random_message_steps(
    random: Random, numbers: Sequence[int], *, until_s: float, count: int
) -> list[Step]:
    """Return ``count`` steps of nodes ``numbers``, from ``BEGINS_AT_S`` to ``until_s``."""
    return [
        _Maker(random, numbers, round(random.uniform(BEGINS_AT_S, until_s), 3)).step()
        for _ in range(count)
    ]


class _Maker:
    """Makes up one step."""

    def __init__(self, random: Random, numbers: Sequence[int], at_s: float) -> None:
        self._random = random
        self._at_s = at_s
        self._nodes = tuple(sorted(random.sample(numbers, random.randint(1, len(numbers)))))

    def step(self) -> Step:
        makers: list[Callable[[], Step]] = [
            self._publish, self._publish, self._publish, self._send, self._ask,
            self._listen, self._unlisten, self._stall, self._read, self._kill_worker,
        ]  # fmt: skip
        return self._random.choice(makers)()

    def _publish(self) -> Step:
        return self._sending(Publish)

    def _send(self) -> Step:
        return self._sending(Send)

    def _ask(self) -> Step:
        step = self._sending(Ask)
        timeout_s = self._random.choice((0.2, 3.0))
        return replace(step, topic=TOPIC, times=min(step.times, 20), timeout_s=timeout_s)

    def _sending(self, kind: type[_Sending]) -> _Sending:
        random = self._random
        size = random.choice(_SMALL + _LARGE)
        times = random.choice((1, 3, 10) if size in _LARGE else (1, 3, 20, 150))
        topic, every_s = random.choice(_TOPICS), random.choice((0.0, 0.001, 0.02, 0.1))
        return kind(
            at_s=self._at_s,
            nodes=self._nodes,
            topic=topic,
            times=times,
            every_s=every_s,
            bytes=size,
        )

    def _listen(self) -> Step:
        messages, size = self._random.choice((3, 100)), self._random.choice((1_000, 1_000_000))
        topic = self._random.choice(_TOPICS)
        return Listen(
            at_s=self._at_s, nodes=self._nodes, topic=topic, messages=messages, bytes=size
        )

    def _unlisten(self) -> Step:
        return Unlisten(at_s=self._at_s, nodes=self._nodes, topic=_TOPICS[-1])

    def _stall(self) -> Step:
        for_s = self._random.choice((0.5, 3.0, 12.0))
        return Stall(at_s=self._at_s, nodes=self._nodes, for_s=for_s)

    def _read(self) -> Step:
        late_s, for_s = self._random.choice((0.0, 0.05, 1.0)), self._random.choice((1.0, 5.0))
        return Read(at_s=self._at_s, nodes=self._nodes, late_s=late_s, for_s=for_s)

    def _kill_worker(self) -> Step:
        return KillWorker(at_s=self._at_s, nodes=self._nodes[:1])
