"""Random scripts from a seed: faults of every kind, after which the cluster can agree again."""

from __future__ import annotations

from collections.abc import Callable, Collection
from hashlib import blake2b
from random import Random

from cluster_kit.errors import raise_all
from cluster_kit.testing.simulation.scripts.random_messages import BEGINS_AT_S, random_message_steps
from cluster_kit.testing.simulation.scripts.script import Script, faults_of_size
from cluster_kit.testing.simulation.scripts.steps import (
    ALL,
    ClockJump,
    Crash,
    Cut,
    Freeze,
    Join,
    Leave,
    Packets,
    Partition,
    PowerOff,
    Restart,
    RingCut,
    SlowReader,
    Starve,
    Step,
)

FIRST_AT_S = 4.0  # most clusters have formed by then
# Around the time it takes to notice that a peer is silent, and to forget it: half-noticed faults
# are where bugs are.
_GAPS_S = (0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
_LASTS_S = (0.5, 1.0, 2.0, 4.0, 6.0, 12.0, 20.0)


def stream(seed: int, concern: str) -> Random:
    """Return an independent source of randomness for ``concern``, the same in every process."""
    return Random(int.from_bytes(blake2b(f"{seed}:{concern}".encode(), digest_size=16).digest()))


def random_script(
    seed: int,
    *,
    nodes: int = 5,
    faults: int = 5,
    kinds: Collection[str] | None = None,
    messages: int = 0,
) -> Script:
    """Make up a script at whose end every fault is over, though some nodes may be gone.

    Args:
        seed: The same seed gives the same script.
        nodes: How many there are at the start.
        faults: How many; some are followed by a restart.
        kinds: The verbs to choose the faults from; by default all.
        messages: How many steps of ``random_messages`` to add; the faults are the same with any.

    Raises:
        ConfigError: There can't be so many nodes.
    """
    raise_all(faults_of_size(nodes))
    random = stream(seed, "script")
    maker = _Maker(random, nodes)
    makers: list[Callable[[], list[Step]]] = [
        maker.crash, maker.power_off, maker.leave, maker.join, maker.freeze, maker.starve,
        maker.partition, maker.cut, maker.ring_cut, maker.packets, maker.slow_reader,
        maker.clock_jump,
    ]  # fmt: skip
    makers = [make for make in makers if kinds is None or make.__name__ in kinds]
    steps: list[Step] = []
    for _ in range(faults if nodes else 0):
        steps += random.choice(makers)()
        maker.at_s = round(maker.at_s + random.choice(_GAPS_S), 3)
    if nodes and messages:
        until_s = max(maker.at_s, FIRST_AT_S) + BEGINS_AT_S
        random, numbers = stream(seed, "messages"), range(1, nodes + 1)
        steps += random_message_steps(random, numbers, until_s=until_s, count=messages)
    return Script(nodes=nodes, steps=tuple(steps))


class _Maker:
    """Makes up one fault at a time."""

    def __init__(self, random: Random, nodes: int) -> None:
        self.at_s = FIRST_AT_S
        self._random = random
        self._numbers = list(range(1, nodes + 1))

    def _some(self, most: int = 3) -> tuple[int, ...]:
        count = self._random.randint(1, max(1, min(most, len(self._numbers) - 1)))
        return tuple(sorted(self._random.sample(self._numbers, count)))

    def _lasts_s(self) -> float:
        return self._random.choice(_LASTS_S)

    def _gone(self, step: Step, nodes: tuple[int, ...]) -> list[Step]:
        """Return a step after which nodes are gone, and mostly also their restart."""
        if self._random.random() < 0.25:
            return [step]
        at_s = round(self.at_s + self._random.choice(_GAPS_S), 3)
        return [step, Restart(at_s=at_s, nodes=nodes)]

    def crash(self) -> list[Step]:
        nodes = self._some()
        return self._gone(Crash(at_s=self.at_s, nodes=nodes), nodes)

    def power_off(self) -> list[Step]:
        nodes = self._some()
        return self._gone(PowerOff(at_s=self.at_s, nodes=nodes), nodes)

    def leave(self) -> list[Step]:
        nodes = self._some()
        drain_s = self._random.choice((0.0, 0.0, 1.0, 5.0))
        return self._gone(Leave(at_s=self.at_s, nodes=nodes, drain_s=drain_s), nodes)

    def join(self) -> list[Step]:
        newcomer = self._numbers[-1] + 1
        self._numbers.append(newcomer)
        return [Join(at_s=self.at_s, nodes=(newcomer,))]

    def freeze(self) -> list[Step]:
        return [Freeze(at_s=self.at_s, nodes=self._some(), for_s=self._lasts_s())]

    def starve(self) -> list[Step]:
        return [Starve(at_s=self.at_s, nodes=self._some(), for_s=self._lasts_s())]

    def partition(self) -> list[Step]:
        group = self._some(len(self._numbers))
        return [Partition(at_s=self.at_s, groups=(group,), for_s=self._lasts_s())]

    def cut(self) -> list[Step]:
        one, *other = self._random.sample(self._numbers, min(2, len(self._numbers)))
        one_way, to = self._random.random() < 0.5, tuple(other)
        for_s = self._lasts_s()
        return [Cut(at_s=self.at_s, nodes=(one,), to=to, one_way=one_way, for_s=for_s)]

    def ring_cut(self) -> list[Step]:
        return [RingCut(at_s=self.at_s, reach=self._random.randint(1, 2), for_s=self._lasts_s())]

    def packets(self) -> list[Step]:
        random = self._random
        return [
            Packets(
                at_s=self.at_s,
                nodes=random.choice((ALL, self._some())),
                loss=random.choice((0.0, 0.05, 0.2, 0.5)),
                delay_s=random.choice((0.0, 0.0, 0.01, 0.2)),
                jitter_s=random.choice((0.0, 0.0, 0.005, 0.1)),
                duplicate=random.choice((0.0, 0.0, 0.2)),
                reorder=random.choice((0.0, 0.0, 0.2)),
                for_s=self._lasts_s(),
            )
        ]

    def slow_reader(self) -> list[Step]:
        rate, nodes = self._random.choice((10.0, 100.0, 10_000.0)), self._some()
        return [SlowReader(at_s=self.at_s, nodes=nodes, bytes_per_s=rate, for_s=self._lasts_s())]

    def clock_jump(self) -> list[Step]:
        by_s = self._random.choice((-86_400.0, -60.0, -1.0, 1.0, 60.0, 86_400.0))
        return [ClockJump(at_s=self.at_s, nodes=self._some(), by_s=by_s)]
