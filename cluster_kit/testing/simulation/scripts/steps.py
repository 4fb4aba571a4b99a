"""What can happen to a simulated cluster, as frozen values: one class for each kind of step.

Nodes are numbers from 1. Wherever a step takes nodes, ``ALL`` stands for every node that there is
then. A step that meets a node in another state than it needs, such as a crash of a node that isn't
there, is skipped for that node, and the trace says so. What lasts does so for ``for_s`` seconds, or
until another step ends it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Literal

from cluster_kit.errors import raise_all

ALL: tuple[int, ...] = ()
MAX_AT_S = 86_400.0

_TIMES = ("for_s", "drain_s", "most_s", "delay_s", "jitter_s")
_RATES = ("loss", "duplicate", "reorder")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something that happens.

    Args:
        at_s: When, in seconds from the start of the simulation.
    """

    verb: ClassVar[str]
    subject: ClassVar[str] = "nodes"  # the field that a file gives as the value of the verb

    at_s: float

    def __post_init__(self) -> None:
        raise_all(_faults(self))

    @property
    def named(self) -> frozenset[int]:
        """The nodes that the step names; ``ALL`` names none."""
        nodes: tuple[int, ...] = getattr(self, "nodes", ())
        return frozenset(nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfNodes(Step):
    """A step that each of some nodes goes through."""

    nodes: tuple[int, ...] = ALL


@dataclass(frozen=True, slots=True, kw_only=True)
class Join(_OfNodes):
    """Nodes beyond those of the start appear, named one by one. Skipped where one has been there."""

    verb = "join"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave(_OfNodes):
    """Nodes leave with a goodbye; for ``drain_s`` seconds before they are about to. Skipped unless a
    node runs.
    """

    verb = "leave"

    drain_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash(_OfNodes):
    """Processes are killed; their machines go on, and reset the connections. Skipped unless a node
    runs or is frozen.
    """

    verb = "crash"


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerOff(_OfNodes):
    """Machines fall silent, and nothing answers there any more. Skipped unless a node runs or is
    frozen.
    """

    verb = "power_off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart(_OfNodes):
    """Nodes start again under their names. Skipped unless a node has been there and is gone."""

    verb = "restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze(_OfNodes):
    """The processes of nodes stop, as by SIGSTOP; their kernels go on. Skipped unless a node runs."""

    verb = "freeze"

    for_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thaw(_OfNodes):
    """Frozen nodes go on. Skipped unless a node is frozen."""

    verb = "thaw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Starve(_OfNodes):
    """Nodes get the processor now and then only, with pauses of up to ``most_s`` seconds at random.
    Skipped unless a node runs.
    """

    verb = "starve"

    most_s: float = 2.0
    for_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockJump(_OfNodes):
    """The wall clocks of nodes jump by ``by_s`` seconds, forwards or backwards."""

    verb = "clock_jump"

    by_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rekey(_OfNodes):
    """Nodes get other ``secrets``, by number: they use the first, and accept all. Those of the start have number 1. Skipped
    where the simulation is one without.
    """

    verb = "rekey"

    secrets: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition(Step):
    """Nothing gets from one group to another; nodes in no group are one more group."""

    verb = "partition"
    subject = "groups"

    groups: tuple[tuple[int, ...], ...]
    for_s: float | None = None

    @property
    def named(self) -> frozenset[int]:
        """The nodes in groups."""
        return frozenset(node for group in self.groups for node in group)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut(Step):
    """Nothing gets from ``nodes`` to ``to``, nor back unless it is ``one_way``; the ways within either stay."""

    verb = "cut"

    nodes: tuple[int, ...] = ALL
    to: tuple[int, ...] = ALL
    one_way: bool = False
    for_s: float | None = None

    @property
    def named(self) -> frozenset[int]:
        """The nodes at both ends."""
        return frozenset((*self.nodes, *self.to))


@dataclass(frozen=True, slots=True, kw_only=True)
class RingCut(Step):
    """All stand in a ring by number, and each reaches only the ``reach`` nodes on either side, so that
    everybody sees another cluster.
    """

    verb = "ring_cut"
    subject = "reach"

    reach: int = 1
    for_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Packets(Step):
    """Packets from ``nodes`` to ``to`` are lost, delayed, doubled or overtaken at random. TCP sees only the delays.

    Args:
        loss: Fraction that is lost.
        delay_s: Added to the latency of the network.
        jitter_s: At most this is added besides, at random.
        duplicate: Fraction that arrives twice.
        reorder: Fraction that is overtaken.
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

    @property
    def named(self) -> frozenset[int]:
        """The nodes at both ends."""
        return frozenset((*self.nodes, *self.to))


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowReader(_OfNodes):
    """Nodes take no more than ``bytes_per_s`` from each connection."""

    verb = "slow_reader"

    bytes_per_s: float
    for_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heal(Step):
    """Partitions and cuts end, or what befalls packets and readers, or both. Skipped where nothing is
    broken.
    """

    verb = "heal"
    subject = "what"

    what: Literal["all", "partitions", "packets"] = "all"


KINDS: dict[str, type[Step]] = {
    kind.verb: kind
    for kind in (
        Join,
        Leave,
        Crash,
        PowerOff,
        Restart,
        Freeze,
        Thaw,
        Starve,
        ClockJump,
        Rekey,
        Partition,
        Cut,
        RingCut,
        Packets,
        SlowReader,
        Heal,
    )
}


def _faults(step: Step) -> Iterator[str]:
    if not 0 <= step.at_s <= MAX_AT_S:
        yield f"at_s: {step.at_s:g}: expected 0 to {MAX_AT_S:g} seconds from the start"
    for name in _TIMES:
        value = getattr(step, name, None)
        if value is not None and not 0 <= value <= MAX_AT_S:
            yield f"{name}: {value:g}: expected 0 to {MAX_AT_S:g} seconds"
    for name in _RATES:
        if not 0 <= getattr(step, name, 0.0) <= 1:
            yield f"{name}: {getattr(step, name):g}: expected a fraction from 0 to 1"
    yield from _faults_of_nodes(step)
    if isinstance(step, ClockJump) and not abs(step.by_s) <= 10 * 365 * MAX_AT_S:
        yield f"by_s: {step.by_s:g}: expected at most ten years either way"
    if isinstance(step, Rekey) and not (step.secrets and min(step.secrets) >= 1):
        yield "secrets: expected the numbers of one or more secrets, from 1, the one that is used first"
    if isinstance(step, RingCut) and step.reach < 1:
        yield f"reach: {step.reach}: expected how many nodes on either side are reached, at least 1"
    if isinstance(step, SlowReader) and not 0 < step.bytes_per_s < math.inf:
        yield f"bytes_per_s: {step.bytes_per_s:g}: expected more than 0"


def _faults_of_nodes(step: Step) -> Iterator[str]:
    lists = [("groups", group) for group in step.groups] if isinstance(step, Partition) else []
    lists += [(name, getattr(step, name, ())) for name in ("nodes", "to")]
    for name, nodes in lists:
        if min(nodes, default=1) < 1:
            yield f"{name}: {min(nodes)}: expected the numbers of nodes, from 1"
        if len(set(nodes)) < len(nodes):
            yield f"{name}: {_twice(nodes)} is given twice"
    if isinstance(step, Join) and not step.nodes:
        yield "nodes: expected who joins, by number"
    if isinstance(step, Partition):
        if not all(step.groups) or not step.groups:
            yield "groups: expected lists of nodes, none of them empty"
        for one, other in combinations(step.groups, 2):
            if both := sorted({*one} & {*other}):
                yield f"groups: {both[0]} is in two groups"
    if isinstance(step, Cut) and (both := sorted({*step.nodes} & {*step.to})):
        yield f"to: {both[0]} is at both ends"


def _twice(nodes: Iterable[int]) -> int:
    seen: set[int] = set()
    return next(node for node in nodes if node in seen or seen.add(node))  # type: ignore[func-returns-value]
