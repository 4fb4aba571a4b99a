"""``Step``, the base class of all steps of a script."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from cluster_kit.errors import raise_all
from cluster_kit.fault import Fault

ALL: tuple[int, ...] = ()
MAX_AT_S = 86_400.0

_TIMES = ("for_s", "drain_s", "most_s", "delay_s", "jitter_s", "every_s", "timeout_s", "late_s")
_RATES = ("loss", "duplicate", "reorder")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something that happens at one moment.

    Args:
        at_s: When, in seconds from the start of the simulation.
    """

    verb: ClassVar[str]
    subject: ClassVar[str] = "nodes"  # the field that a file gives as the value of the verb

    at_s: float

    def __post_init__(self) -> None:
        raise_all(_faults(self))

    def own_faults(self) -> Iterator[Fault]:
        """Yield what is wrong with a step of this class in particular."""
        return iter(())

    @property
    def named(self) -> frozenset[int]:
        """The nodes that the step names; ``ALL`` names none."""
        return frozenset((*getattr(self, "nodes", ()), *getattr(self, "to", ())))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStep(Step):
    """A step that each of ``nodes`` carries out by itself."""

    nodes: tuple[int, ...] = ALL


def _faults(step: Step) -> Iterator[Fault]:
    if not 0 <= step.at_s <= MAX_AT_S:
        wanted = f"0 to {MAX_AT_S:g} seconds from the start"
        yield Fault(("at_s",), f"{step.at_s:g}: expected {wanted}")
    for name in _TIMES:
        value = getattr(step, name, None)
        if value is not None and not 0 <= value <= MAX_AT_S:
            yield Fault((name,), f"{value:g}: expected 0 to {MAX_AT_S:g} seconds")
    for name in _RATES:
        if not 0 <= getattr(step, name, 0.0) <= 1:
            yield Fault((name,), f"{getattr(step, name):g}: expected a fraction from 0 to 1")
    for name in ("nodes", "to"):
        yield from faults_of_list(name, getattr(step, name, ()))
    yield from step.own_faults()


def faults_of_list(name: str, nodes: tuple[int, ...]) -> Iterator[Fault]:
    """Yield what is wrong with a list of nodes in the field ``name``."""
    if min(nodes, default=1) < 1:
        yield Fault((name,), f"{min(nodes)}: expected the numbers of nodes, from 1")
    if len(set(nodes)) < len(nodes):
        yield Fault((name,), f"{_twice(nodes)} is given twice")


def _twice(nodes: Iterable[int]) -> int:
    seen: set[int] = set()
    return next(node for node in nodes if node in seen or seen.add(node))  # type: ignore[func-returns-value]
