"""What can happen to a simulated cluster, as frozen values: one class for each kind of step.

Nodes are numbers from 1. Wherever a step takes nodes, ``ALL`` means every node that exists at that
moment. If a node is in a state in which the step is impossible, such as a crash of a node that is
gone, the step is skipped for that node, and the trace says so. A lasting fault ends after ``for_s``
seconds, or by another step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from cluster_kit.fault import Fault
from cluster_kit.testing.simulation.scripts.message_steps import (
    Ask,
    KillWorker,
    Listen,
    Publish,
    Read,
    Send,
    Stall,
    Unlisten,
)
from cluster_kit.testing.simulation.scripts.step import (
    ALL,
    MAX_AT_S,
    NodeStep,
    Step,
    faults_of_list,
)

__all__ = [
    "ALL",
    "KINDS",
    "MAX_AT_S",
    "Ask",
    "ClockJump",
    "Crash",
    "Cut",
    "Freeze",
    "Heal",
    "Join",
    "KillWorker",
    "Leave",
    "Listen",
    "Packets",
    "Partition",
    "PowerOff",
    "Publish",
    "Read",
    "Rekey",
    "Restart",
    "RingCut",
    "Send",
    "SlowReader",
    "Stall",
    "Starve",
    "Step",
    "Thaw",
    "Unlisten",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Join(NodeStep):
    """Nodes that were not there at the start appear. Skipped if one has been there."""

    verb = "join"

    def own_faults(self) -> Iterator[Fault]:
        """Yield that no node joins."""
        if not self.nodes:
            yield Fault(("nodes",), "expected the numbers of the nodes that join")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave(NodeStep):
    """Nodes leave with a goodbye, after draining for ``drain_s``. Skipped unless a node runs."""

    verb = "leave"

    drain_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash(NodeStep):
    """Processes are killed, and their machines reset the connections.

    Skipped unless a node runs or is frozen.
    """

    verb = "crash"


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerOff(NodeStep):
    """Machines fall silent. Skipped unless a node runs or is frozen."""

    verb = "power_off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart(NodeStep):
    """Nodes start again under their names. Skipped unless a node has been there and is gone."""

    verb = "restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze(NodeStep):
    """Processes stop, as by SIGSTOP, while their kernels go on. Skipped unless a node runs."""

    verb = "freeze"

    for_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thaw(NodeStep):
    """Frozen nodes go on. Skipped unless a node is frozen."""

    verb = "thaw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Starve(NodeStep):
    """Nodes get the processor only now and then, with random pauses of up to ``most_s`` seconds.

    Skipped unless a node runs.
    """

    verb = "starve"

    most_s: float = 2.0
    for_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockJump(NodeStep):
    """The wall clocks of nodes jump by ``by_s`` seconds, forwards or backwards."""

    verb = "clock_jump"

    by_s: float

    def own_faults(self) -> Iterator[Fault]:
        """Yield that a clock jumps too far."""
        if not abs(self.by_s) <= 10 * 365 * MAX_AT_S:
            yield Fault(("by_s",), f"{self.by_s:g}: expected at most ten years either way")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rekey(NodeStep):
    """Nodes get other ``secrets``, by number; the first is used, all are accepted.

    At the start all have secret number 1. Skipped in a simulation without secrets.
    """

    verb = "rekey"

    secrets: tuple[int, ...]

    def own_faults(self) -> Iterator[Fault]:
        """Yield that the numbers are invalid."""
        if not (self.secrets and min(self.secrets) >= 1):
            what = "expected the numbers of one or more secrets, from 1; the first is used"
            yield Fault(("secrets",), what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition(Step):
    """Nothing gets from one group to another; nodes in no group form one more."""

    verb = "partition"
    subject = "groups"

    groups: tuple[tuple[int, ...], ...]
    for_s: float | None = None

    @property
    def named(self) -> frozenset[int]:
        """The nodes in groups."""
        return frozenset(node for group in self.groups for node in group)

    def own_faults(self) -> Iterator[Fault]:
        """Yield what is wrong with the groups."""
        for group in self.groups:
            yield from faults_of_list("groups", group)
        if not all(self.groups) or not self.groups:
            yield Fault(("groups",), "expected lists of nodes, none of them empty")
        for one, other in combinations(self.groups, 2):
            if both := sorted({*one} & {*other}):
                yield Fault(("groups",), f"{both[0]} is in two groups")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut(Step):
    """Nothing gets from ``nodes`` to ``to``, nor back unless it is ``one_way``."""

    verb = "cut"

    nodes: tuple[int, ...] = ALL
    to: tuple[int, ...] = ALL
    one_way: bool = False
    for_s: float | None = None

    def own_faults(self) -> Iterator[Fault]:
        """Yield that a node is at both ends."""
        if both := sorted({*self.nodes} & {*self.to}):
            yield Fault(("to",), f"{both[0]} is at both ends")


@dataclass(frozen=True, slots=True, kw_only=True)
class RingCut(Step):
    """In a ring of all nodes by number, each reaches only ``reach`` neighbours on either side.

    So every node sees another cluster.
    """

    verb = "ring_cut"
    subject = "reach"

    reach: int = 1
    for_s: float | None = None

    def own_faults(self) -> Iterator[Fault]:
        """Yield that no node is reached."""
        if self.reach < 1:
            what = f"{self.reach}: expected how many neighbours on either side to reach, from 1"
            yield Fault(("reach",), what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packets(Step):
    """Packets from ``nodes`` to ``to`` are lost, delayed, duplicated or reordered at random.

    TCP sees only the delays.

    Args:
        loss: Fraction that is lost.
        delay_s: Added to the latency of the network.
        jitter_s: The most that is added on top, at random.
        duplicate: Fraction that arrives twice.
        reorder: Fraction that is overtaken by later packets.
    """

    verb = "packets"

    nodes: tuple[int, ...] = ALL
    to: tuple[int, ...] = ALL
    loss: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    for_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowReader(NodeStep):
    """Nodes read no more than ``bytes_per_s`` from each connection."""

    verb = "slow_reader"

    bytes_per_s: float
    for_s: float | None = None

    def own_faults(self) -> Iterator[Fault]:
        """Yield that nothing is read at all."""
        if not 0 < self.bytes_per_s < math.inf:
            yield Fault(("bytes_per_s",), f"{self.bytes_per_s:g}: expected more than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heal(Step):
    """Lasting faults end: partitions and cuts, those of packets and readers, or all.

    Skipped if there are none.
    """

    verb = "heal"
    subject = "what"

    what: Literal["all", "partitions", "packets"] = "all"


KINDS: dict[str, type[Step]] = {
    kind.verb: kind
    for kind in (
        Join, Leave, Crash, PowerOff, Restart, Freeze, Thaw, Starve, ClockJump, Rekey,
        Partition, Cut, RingCut, Packets, SlowReader, Heal,
        Publish, Send, Ask, Listen, Unlisten, Stall, Read, KillWorker,
    )
}  # fmt: skip
"""All kinds of steps by their verbs."""
