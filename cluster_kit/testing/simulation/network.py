"""What befalls the network of a simulation: steps become faults on its ways."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cluster_kit.testing.memory.faults import Cut as CutWay
from cluster_kit.testing.memory.faults import Delay, Drop, Duplicate, Fault, Reorder
from cluster_kit.testing.memory.faults import SlowReader as SlowlyRead
from cluster_kit.testing.memory.host import MemoryHost, Traffic
from cluster_kit.testing.memory.network import MemoryNetwork, Placed
from cluster_kit.testing.simulation.connectivity import Ways
from cluster_kit.testing.simulation.identity import address_of
from cluster_kit.testing.simulation.scripts.steps import Packets, SlowReader, Step
from cluster_kit.testing.virtual_time.timeline import Timeline

_LARGE = 100
# for each node: of a thousand that start within a second, a hundred are heard at once
_GRAIN_S = 1e-4
_MOST_GRAIN_S = 0.1


class Weather:
    """The network of one simulation.

    Args:
        seed: Of all that is random in it.
        timeline: Time.
        size: How many nodes there are. In a large cluster what is sent to all is heard a little
            later, much of it at once.
        loss: Fraction of packets that is lost all the time.

    Attributes:
        loss: The same.
    """

    def __init__(self, seed: int, timeline: Timeline, *, size: int, loss: float = 0.0) -> None:
        self._network = MemoryNetwork(
            seed=seed,
            timeline=timeline,
            grain_s=min(_MOST_GRAIN_S, _GRAIN_S * size) if size >= _LARGE else 0.0,
        )
        self.loss = loss
        self._hosts: dict[int, MemoryHost] = {}
        self._numbers: dict[MemoryHost, int] = {}
        self._off: dict[int, Placed] = {}
        self._placed: dict[Step, list[Placed]] = {}
        if loss:
            self._network.add(Drop(loss))

    def host(self, number: int) -> MemoryHost:
        """Add the machine of a node."""
        host = self._hosts[number] = self._network.host(address_of(number))
        self._numbers[host] = number
        return host

    def power(self, number: int, *, on: bool) -> None:
        """Turn a machine on or off. Idempotent."""
        if on and number in self._off:
            self._network.remove(self._off.pop(number))
        elif not on and number not in self._off:
            self._off[number] = self._network.add(CutWay(), self._hosts[number], both_ways=True)

    def jump(self, number: int, by_s: float) -> None:
        """Move a wall clock."""
        self._hosts[number].clock.offset_s += by_s

    def begin(self, step: Step, ways: Ways | None) -> None:
        """Let a step befall ``ways``, or all of them, until ``end``."""
        numbers = self._numbers

        def where(source: MemoryHost, target: MemoryHost) -> bool:
            assert ways is not None
            return ways(numbers[source], numbers[target])

        placed = [
            self._network.add(fault, where=None if ways is None else where)
            for fault in _faults_of(step)
        ]
        self._placed[step] = placed

    def end(self, step: Step) -> None:
        """Undo ``begin``."""
        for placed in self._placed.pop(step):
            self._network.remove(placed)

    def traffic_of(self, number: int) -> Traffic:
        """Return what a machine has sent and received so far."""
        return replace(self._hosts[number].traffic)


def _faults_of(step: Step) -> Iterator[Fault]:
    match step:
        case SlowReader():
            yield SlowlyRead(step.bytes_per_s)
        case Packets():
            if step.loss:
                yield Drop(step.loss)
            if step.delay_s or step.jitter_s:
                yield Delay(step.delay_s, step.jitter_s)
            if step.duplicate:
                yield Duplicate(step.duplicate)
            if step.reorder:
                yield Reorder(step.reorder)
        case _:
            yield CutWay()
