"""What applications say and do, made up at random: much and little, large and small, to those who
read and those who don't.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from cluster_kit.testing.simulation.scripts.message_steps import (
    TOPIC,
    Ask,
    KillWorker,
    Listen,
    Publish,
    Read,
    Send,
    Stall,
    Unlisten,
)
from cluster_kit.testing.simulation.scripts.step import Step

BEGINS_AT_S = 2.0  # many are linked by then
_TOPICS = (TOPIC, TOPIC, "extra")  # one that all listen to at first, one that nobody does
# bytes; large ones take several payloads, or parts
_SMALL, _LARGE = (20, 20, 200, 5_000), (40_000, 150_000)


def chatter(random: Random, numbers: Sequence[int], *, until_s: float, steps: int) -> list[Step]:
    """Return so many steps of nodes ``numbers``, from ``BEGINS_AT_S`` to ``until_s``."""
    return [
        _Talker(random, numbers, round(random.uniform(BEGINS_AT_S, until_s), 3)).step()
        for _ in range(steps)
    ]


class _Talker:
    """Makes up one step, at ``at_s``."""

    def __init__(self, random: Random, numbers: Sequence[int], at_s: float) -> None:
        self._random = random
        self._at_s = at_s
        self._nodes = tuple(sorted(random.sample(numbers, random.randint(1, len(numbers)))))

    def step(self) -> Step:
        """Return it."""
        makers: list[Callable[[], Step]] = [
            self._publish, self._publish, self._publish, self._send, self._ask,
            self._listen, self._unlisten, self._stall, self._read, self._kill_worker,
        ]  # fmt: skip
        return self._random.choice(makers)()

    def _publish(self) -> Step:
        topic, times, every_s, size = self._speech()
        return Publish(
            at_s=self._at_s,
            nodes=self._nodes,
            topic=topic,
            times=times,
            every_s=every_s,
            bytes=size,
        )

    def _send(self) -> Step:
        topic, times, every_s, size = self._speech()
        return Send(
            at_s=self._at_s,
            nodes=self._nodes,
            topic=topic,
            times=times,
            every_s=every_s,
            bytes=size,
        )

    def _ask(self) -> Step:
        _, times, every_s, size = self._speech()
        timeout_s = self._random.choice((0.2, 3.0))
        return Ask(
            at_s=self._at_s,
            nodes=self._nodes,
            times=min(times, 20),
            every_s=every_s,
            bytes=size,
            timeout_s=timeout_s,
        )

    def _speech(self) -> tuple[str, int, float, int]:
        random = self._random
        size = random.choice(_SMALL + _LARGE)
        times = random.choice((1, 3, 10) if size in _LARGE else (1, 3, 20, 150))
        return random.choice(_TOPICS), times, random.choice((0.0, 0.001, 0.02, 0.1)), size

    def _listen(self) -> Step:
        messages, size = self._random.choice((3, 100)), self._random.choice((1_000, 1_000_000))
        return Listen(
            at_s=self._at_s,
            nodes=self._nodes,
            topic=self._random.choice(_TOPICS),
            messages=messages,
            bytes=size,
        )

    def _unlisten(self) -> Step:
        return Unlisten(at_s=self._at_s, nodes=self._nodes, topic=_TOPICS[-1])

    def _stall(self) -> Step:
        return Stall(
            at_s=self._at_s, nodes=self._nodes, for_s=self._random.choice((0.5, 3.0, 12.0))
        )

    def _read(self) -> Step:
        late_s, for_s = self._random.choice((0.0, 0.05, 1.0)), self._random.choice((1.0, 5.0))
        return Read(at_s=self._at_s, nodes=self._nodes, late_s=late_s, for_s=for_s)

    def _kill_worker(self) -> Step:
        return KillWorker(at_s=self._at_s, nodes=self._nodes[:1])
