"""A whole cluster in virtual time: real workers on a network in memory, from one seed, all laws under watch.

``steps`` and ``script`` say what happens, ``script_file`` reads it from YAML, ``chaos`` makes it up.
``simulation`` runs it, with a ``Member`` for each node and a ``Life`` for each of its runs; ``weather``
is what befalls the network. ``watching`` and ``view`` stand where a connector, a topology and an
application do, and tell what breaks a law; ``judging`` compares views with the truth. ``shrinking``
makes a script that fails smaller, ``replaying`` says how to see it again.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster_kit.testing.simulation.chaos import random_script
    from cluster_kit.testing.simulation.findings import Finding, Law
    from cluster_kit.testing.simulation.outcome import FalseAlarm, Outcome
    from cluster_kit.testing.simulation.replaying import Setting
    from cluster_kit.testing.simulation.script import Script
    from cluster_kit.testing.simulation.script_file import read_script, script_from
    from cluster_kit.testing.simulation.shrinking import shrink
    from cluster_kit.testing.simulation.simulation import Simulation
    from cluster_kit.testing.simulation.steps import (
        ALL,
        ClockJump,
        Crash,
        Cut,
        Freeze,
        Heal,
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
        Thaw,
    )

_MODULE_OF = {
    "FalseAlarm": "outcome",
    "Finding": "findings",
    "Law": "findings",
    "Outcome": "outcome",
    "Script": "script",
    "Setting": "replaying",
    "Simulation": "simulation",
    "random_script": "chaos",
    "read_script": "script_file",
    "script_from": "script_file",
    "shrink": "shrinking",
}

__all__ = [
    "ALL",
    "ClockJump",
    "Crash",
    "Cut",
    "FalseAlarm",
    "Finding",
    "Freeze",
    "Heal",
    "Join",
    "Law",
    "Leave",
    "Outcome",
    "Packets",
    "Partition",
    "PowerOff",
    "Restart",
    "RingCut",
    "Script",
    "Setting",
    "Simulation",
    "SlowReader",
    "Starve",
    "Step",
    "Thaw",
    "random_script",
    "read_script",
    "script_from",
    "shrink",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF.get(name, 'steps')}"), name)
    globals()[name] = value
    return value
