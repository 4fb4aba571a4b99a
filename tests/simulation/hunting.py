"""Searches for a small script that fails with a safeguard switched off, but not with it on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from random import Random
from typing import Any
from unittest.mock import patch

from cluster_kit.testing.simulation.invariants.findings import Law
from cluster_kit.testing.simulation.replay import Setting
from cluster_kit.testing.simulation.scripts.random_script import stream
from cluster_kit.testing.simulation.scripts.script import Script
from cluster_kit.testing.simulation.scripts.shrinking import shrink

FALSE_ALARM = "a live node was taken for dead"
SLOW = "it took long until all nodes agreed"
MOST_TRIES = 200

Changes = Mapping[str, Any]
"""Replacements by place, as ``package.module:Class.attribute`` within cluster_kit."""


@contextmanager
def changed(changes: Changes):
    """Replace functions and constants of the product while the block runs."""
    with ExitStack() as stack:
        for place, value in changes.items():
            module, _, names = place.partition(":")
            owner: Any = import_module(f"cluster_kit.{module}")
            *path, name = names.split(".")
            for each in path:
                owner = getattr(owner, each)
            stack.enter_context(patch.object(owner, name, value))
        yield


@dataclass(frozen=True, kw_only=True)
class Family:
    """Scripts of one kind.

    Attributes:
        make: Makes up a script.
        topology: What each node runs.
        loss: Fraction of packets that is lost all the time.
        within_s: How soon after the last disturbance all nodes agree in nearly all scripts.
        scaled: Bounds of the product, lowered so that a few nodes reach them.
    """

    make: Callable[[Random], Script]
    topology: Mapping[str, Any] = field(default_factory=lambda: {"strategy": "gossip"})
    loss: float = 0.0
    within_s: float = float("inf")
    scaled: Changes = field(default_factory=dict)

    def script(self, seed: int) -> Script:
        return self.make(stream(seed, "family"))

    def setting(self, seed: int) -> Setting:
        return Setting(topology=self.topology, seed=seed, loss=self.loss)


@dataclass(frozen=True, kw_only=True)
class Safeguard:
    """A mechanism that keeps the product from failing.

    Attributes:
        name: What it does.
        off: How to switch it off.
        family: Scripts that need it.
        finds: The failure without it.
    """

    name: str
    off: Changes
    family: Family
    finds: Law | str


@dataclass(frozen=True)
class Found:
    """A script that fails without a safeguard."""

    seed: int
    script: Script


def fails(
    script: Script, seed: int, family: Family, finds: Law | str, off: Changes | None = None
) -> bool:
    """Whether a script leads to ``finds``."""
    if not script.numbers:
        return False
    with changed({**family.scaled, **(off or {})}):
        outcome = family.setting(seed).run(script)
    if finds == FALSE_ALARM:
        return bool(outcome.false_alarms)
    if finds == SLOW:
        return outcome.agreed_s is None or outcome.agreed_s - outcome.calm_s > family.within_s
    return finds in outcome.counts


def hunt(safeguard: Safeguard, seeds: Iterable[int]) -> Found | None:
    """Return the first script found that needs the safeguard, shrunk."""
    family, finds, off = safeguard.family, safeguard.finds, safeguard.off
    for seed in seeds:

        def matters(script: Script, seed: int = seed) -> bool:
            return fails(script, seed, family, finds, off) and not fails(
                script, seed, family, finds
            )

        script = family.script(seed)
        if matters(script):
            return Found(seed, shrink(script, matters, most_tries=MOST_TRIES))
    return None
