"""``Script``: how many nodes a simulated cluster starts with, and what happens to them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from cluster_kit.errors import raise_all
from cluster_kit.fault import Fault
from cluster_kit.testing.simulation.scripts.message_steps import MessageStep, SendingStep
from cluster_kit.testing.simulation.scripts.steps import Join, Step

MAX_NODES = 10_000  # as many as a roster holds by default


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A valid script; its steps are in the order of time.

    Args:
        nodes: How many nodes there are at the start, numbered from 1.
        steps: What happens.

    Raises:
        ConfigError: The script is invalid; ``errors`` holds every fault.
    """

    nodes: int
    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(sorted(self.steps, key=lambda step: step.at_s)))
        raise_all(faults_of_size(self.nodes))
        raise_all(faults_of(self.nodes, self.steps))

    @property
    def numbers(self) -> tuple[int, ...]:
        """All nodes that ever appear."""
        return tuple(sorted({*range(1, self.nodes + 1), *joining(self.steps)}))

    @property
    def end_s(self) -> float:
        """When the last step has happened, and everything that lasts for a time is over."""
        return max((step.at_s + lasts_s(step) for step in self.steps), default=0.0)

    @property
    def has_messages(self) -> bool:
        """Whether any step sends or receives messages."""
        return any(isinstance(step, MessageStep) for step in self.steps)

    def as_yaml(self) -> str:
        """Return the script as the text of a file."""
        lines = [f"nodes: {self.nodes}", "steps:" if self.steps else "steps: []"]
        lines += [f"- {{{_as_flow(step)}}}" for step in self.steps]
        return "\n".join(lines) + "\n"


def lasts_s(step: Step) -> float:
    """Return for how long a step has effects, unless another one ends them."""
    if isinstance(step, SendingStep):
        return step.lasts_s
    return max(getattr(step, "for_s", None) or 0.0, getattr(step, "drain_s", 0.0))


def joining(steps: Sequence[Step]) -> frozenset[int]:
    """Return the nodes that join."""
    return frozenset(node for step in steps if isinstance(step, Join) for node in step.nodes)


def faults_of_size(nodes: int) -> Iterator[Fault]:
    """Yield what is wrong with the size of a cluster."""
    if not 0 <= nodes <= MAX_NODES:
        yield Fault(("nodes",), f"{nodes}: expected 0 to {MAX_NODES}")


def faults_of(nodes: int, steps: Sequence[Step]) -> Iterator[Fault]:
    """Yield what is wrong with steps in the context of a script; each by itself is valid."""
    joined = joining(steps)
    for index, step in enumerate(steps):
        where = ("steps", index, step.subject)
        strangers = sorted(node for node in step.named if node > nodes and node not in joined)
        if strangers:
            what = f"{_names(strangers)} never appears"
            yield Fault(where, f"{what}: there are {nodes} nodes, and no step lets it join")
        if isinstance(step, Join) and any(node <= nodes for node in step.nodes):
            what = f"node {min(step.nodes)} is there from the start"
            yield Fault(where, what, f"give a number above {nodes}")
        if max(step.named, default=0) > MAX_NODES:
            yield Fault(where, f"node {max(step.named)}: expected at most {MAX_NODES}")


def _names(nodes: Sequence[int]) -> str:
    return f"node {nodes[0]}" + (f" (and {len(nodes) - 1} more)" if nodes[1:] else "")


def _as_flow(step: Step) -> str:
    values = [(field, getattr(step, field.name)) for field in fields(step)]
    given = {field.name: value for field, value in values if value != field.default}
    at_s, subject = given.pop("at_s"), given.pop(step.subject, getattr(step, step.subject))
    pairs = {"at_s": at_s, step.verb: subject, **given}
    return ", ".join(f"{key}: {_as_value(key, value)}" for key, value in pairs.items())


def _as_value(key: str, value: Any) -> str:
    if key == "partition":
        return f"[{', '.join(map(_as_nodes, value))}]"
    if isinstance(value, tuple):
        return _as_nodes(value)
    return value if isinstance(value, str) else json.dumps(value)


def _as_nodes(nodes: Sequence[int]) -> str:
    """Return a list of nodes in which three or more consecutive numbers are a range."""
    rows: list[list[int]] = []
    for node in nodes:
        if rows and node == rows[-1][-1] + 1:
            rows[-1].append(node)
        else:
            rows.append([node])
    items: list[str] = []
    for row in rows:
        items += [f"{row[0]}-{row[-1]}"] if row[2:] else map(str, row)
    return f"[{', '.join(items)}]" if items else "all"


def describe(step: Step) -> str:
    """Return a step as a file has it, without its time."""
    return _as_flow(step).partition(", ")[2]
