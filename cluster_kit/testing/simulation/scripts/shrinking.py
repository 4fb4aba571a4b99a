"""Reduces a script that fails to what makes it fail. Deterministic.

The first smaller script that still fails replaces the script, until none does. Candidates come in
the order of what they save: fewer steps, fewer nodes, simpler steps, shorter waits.

Source: delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input",
2002), for the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any, TypeVar

from cluster_kit.errors import ConfigError
from cluster_kit.testing.simulation.scripts.script import Script
from cluster_kit.testing.simulation.scripts.steps import Crash, Leave, Partition, PowerOff, Step

_MIN_NODES = 1
_Step = TypeVar("_Step", bound=Step)


def shrink(script: Script, fails: Callable[[Script], bool], *, most_tries: int = 500) -> Script:
    """Return the smallest script found that fails.

    Args:
        script: A script that fails.
        fails: Whether a script fails in the same way; called at most once for a script.
        most_tries: How often it may be called.
    """
    tried = {script.as_yaml()}

    def better() -> Script | None:
        nonlocal most_tries
        for candidate in _smaller(script):
            text = candidate.as_yaml()
            if text in tried:
                continue
            tried.add(text)
            most_tries -= 1
            if most_tries < 0:
                return None
            if fails(candidate):
                return candidate
        return None

    while (found := better()) is not None:
        script = found
    return script


def _smaller(script: Script) -> Iterator[Script]:
    """Yield smaller scripts, those that save most first."""
    for make in (_with_fewer_steps, _with_fewer_nodes, _with_simpler_steps, _with_less_time):
        for nodes, steps in make(script):
            try:
                yield Script(nodes=nodes, steps=tuple(steps))
            except ConfigError:  # a step names a node that is gone
                continue


def _with_fewer_steps(script: Script) -> Iterator[tuple[int, list[Step]]]:
    steps = list(script.steps)
    size = len(steps)
    while size:
        for start in range(0, len(steps), size):
            yield script.nodes, steps[:start] + steps[start + size :]
        size //= 2


def _with_fewer_nodes(script: Script) -> Iterator[tuple[int, list[Step]]]:
    few = _MIN_NODES
    while few < script.nodes:  # drop the highest numbers, many at once if no step names them
        yield few, list(script.steps)
        few = few + max(1, (script.nodes - few) // 2)
    for node in reversed(script.numbers):
        nodes = script.nodes - (node <= script.nodes)
        steps = [each for step in script.steps if (each := _without(step, node)) is not None]
        if nodes >= _MIN_NODES or not script.nodes:
            yield nodes, steps


def _without(step: Step, node: int) -> Step | None:
    """Return ``step`` without ``node``, after which higher numbers move up; ``None`` if empty."""

    def rest(nodes: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(each - (each > node) for each in nodes if each != node)

    if isinstance(step, Partition):
        groups = tuple(filter(None, map(rest, step.groups)))
        return replace(step, groups=groups) if groups else None
    changes: dict[str, Any] = {}
    for name in ("nodes", "to"):
        before: tuple[int, ...] = getattr(step, name, ())
        changes |= {name: rest(before)} if before else {}
        if before and not changes[name]:
            return None  # an empty list would mean all nodes
    return replace(step, **changes)


def _with_simpler_steps(script: Script) -> Iterator[tuple[int, list[Step]]]:
    for index, step in enumerate(script.steps):
        for simpler in _simpler(step):
            yield script.nodes, [*script.steps[:index], simpler, *script.steps[index + 1 :]]


def _simpler(step: Step) -> Iterator[Step]:
    if isinstance(step, PowerOff | Leave):
        yield Crash(at_s=step.at_s, nodes=step.nodes)
    for name in ("nodes", "to"):
        nodes = getattr(step, name, ())
        if len(nodes) > 1:
            yield from (
                _changed(step, name, (*nodes[:index], *nodes[index + 1 :]))
                for index in range(len(nodes))
            )
    for field in fields(step):
        value = getattr(step, field.name)
        has_default = isinstance(value, float | bool) and isinstance(field.default, float | bool)
        if has_default and value != field.default:
            yield _changed(step, field.name, field.default)
    if (times := getattr(step, "times", 1)) > 1:
        yield from (_changed(step, "times", fewer) for fewer in dict.fromkeys((1, times // 2)))
    if (lasts_s := getattr(step, "for_s", None)) is not None:
        yield from (_changed(step, "for_s", shorter) for shorter in _shorter(lasts_s))


def _changed(step: _Step, name: str, value: Any) -> _Step:
    return replace(step, **{name: value})


def _shorter(seconds: float) -> Iterator[float]:
    whole = float(round(seconds))
    candidates = (1.0, whole, float(round(seconds / 2)))
    return (each for each in candidates if 0 < each < seconds)


def _with_less_time(script: Script) -> Iterator[tuple[int, list[Step]]]:
    """Yield scripts in which all steps from some step on come earlier."""
    before_s = 0.0
    for index, step in enumerate(script.steps):
        gap_s = step.at_s - before_s
        floor_s = float(int(before_s))
        for at_s in sorted({before_s, before_s + float(round(gap_s / 2)), floor_s + 1}):
            if at_s < step.at_s:
                moved = [
                    replace(each, at_s=round(each.at_s - step.at_s + at_s, 3))
                    for each in script.steps[index:]
                ]
                yield script.nodes, [*script.steps[:index], *moved]
        before_s = step.at_s
