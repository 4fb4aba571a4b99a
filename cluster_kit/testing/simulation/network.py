"""The network of a simulation: one machine for each node, and the faults that steps place on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cluster_kit.testing.memory import faults
from cluster_kit.testing.memory.host import MemoryHost, Traffic
from cluster_kit.testing.memory.network import MemoryNetwork, Placed
from cluster_kit.testing.simulation.connectivity import Paths
from cluster_kit.testing.simulation.identity import address_of
from cluster_kit.testing.simulation.scripts.steps import Packets, SlowReader, Step
from cluster_kit.testing.virtual_time.timeline import Timeline

# In a large cluster each node would wake for each multicast alone. Rounded to a grain of time they
# arrive in batches: a tenth of those that a thousand nodes send within a second arrive at once.
_LARGE = 100  # nodes
_GRAIN_PER_NODE_S = 1e-4
_MAX_GRAIN_S = 0.1


class SimulatedNetwork:
    """The network of one simulation.

    Args:
        seed: Of its latencies and losses.
        timeline: The virtual time.
        size: How many nodes there are.
        loss: Fraction of packets that is lost all the time.
    """

    def __init__(self, seed: int, timeline: Timeline, *, size: int, loss: float = 0.0) -> None:
        self._network = MemoryNetwork(
            seed=seed,
            timeline=timeline,
            grain_s=min(_MAX_GRAIN_S, _GRAIN_PER_NODE_S * size) if size >= _LARGE else 0.0,
        )
        self.loss = loss
        self._hosts: dict[int, MemoryHost] = {}
        self._numbers: dict[MemoryHost, int] = {}
        self._off: dict[int, Placed] = {}
        self._placed: dict[Step, list[Placed]] = {}
        if loss:
            self._network.add(faults.Drop(loss))

    def add_host(self, number: int) -> MemoryHost:
        """Add the machine of a node."""
        host = self._hosts[number] = self._network.host(address_of(number))
        self._numbers[host] = number
        return host

    def power(self, number: int, *, on: bool) -> None:
        """Turn a machine on or off. Idempotent."""
        if on and number in self._off:
            self._network.remove(self._off.pop(number))
        elif not on and number not in self._off:
            host = self._hosts[number]
            self._off[number] = self._network.add(faults.Cut(), host, both_ways=True)

    def jump_clock(self, number: int, by_s: float) -> None:
        """Move the wall clock of a machine."""
        self._hosts[number].clock.offset_s += by_s

    def begin(self, step: Step, paths: Paths | None) -> None:
        """Place the faults of a step on ``paths``, or on all of them, until ``end``."""
        numbers = self._numbers

        def where(source: MemoryHost, target: MemoryHost) -> bool:
            assert paths is not None
            return paths(numbers[source], numbers[target])

        self._placed[step] = [
            self._network.add(fault, where=None if paths is None else where)
            for fault in _faults_of(step)
        ]

    def end(self, step: Step) -> None:
        """Remove the faults of a step."""
        for placed in self._placed.pop(step):
            self._network.remove(placed)

    def traffic_of(self, number: int) -> Traffic:
        """Return what a machine has sent and received so far."""
        return replace(self._hosts[number].traffic)


def _faults_of(step: Step) -> Iterator[faults.Fault]:
    match step:
        case SlowReader():
            yield faults.SlowReader(step.bytes_per_s)
        case Packets():
            if step.loss:
                yield faults.Drop(step.loss)
            if step.delay_s or step.jitter_s:
                yield faults.Delay(step.delay_s, step.jitter_s)
            if step.duplicate:
                yield faults.Duplicate(step.duplicate)
            if step.reorder:
                yield faults.Reorder(step.reorder)
        case _:
            yield faults.Cut()
