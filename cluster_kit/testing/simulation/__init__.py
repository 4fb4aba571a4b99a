"""A whole cluster in virtual time: real workers on a network in memory, from one seed, all laws
under watch.

``simulation`` runs one of the ``scripts``, with a ``Member`` for each node and a ``Life`` for each
of its runs; where a script has messages, an ``Application`` talks through that. ``playing`` carries
out the steps, and ``weather`` is what befalls the network. All along ``judging`` tells what breaks
a law, and at the end it compares views with the truth. ``outcome`` is what came of it, and
``replaying`` says how to see it again by a smaller script.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster_kit.testing.simulation.invariants.findings import Finding, Law
    from cluster_kit.testing.simulation.outcome import FalseAlarm, Outcome
    from cluster_kit.testing.simulation.replay import Setting
    from cluster_kit.testing.simulation.scripts.file import read_script, script_from
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
    from cluster_kit.testing.simulation.scripts.random_script import random_script
    from cluster_kit.testing.simulation.scripts.script import Script
    from cluster_kit.testing.simulation.scripts.shrinking import shrink
    from cluster_kit.testing.simulation.scripts.steps import (
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
        Rekey,
        Restart,
        RingCut,
        SlowReader,
        Starve,
        Step,
        Thaw,
    )
    from cluster_kit.testing.simulation.simulation import Simulation

_MODULE_OF = {
    "FalseAlarm": "outcome",
    "Finding": "invariants.findings",
    "Law": "invariants.findings",
    "Outcome": "outcome",
    "Script": "scripts.script",
    "Setting": "replay",
    "Simulation": "simulation",
    "random_script": "scripts.random_script",
    "read_script": "scripts.file",
    "script_from": "scripts.file",
    "shrink": "scripts.shrinking",
}

__all__ = [
    "ALL",
    "Ask",
    "ClockJump",
    "Crash",
    "Cut",
    "FalseAlarm",
    "Finding",
    "Freeze",
    "Heal",
    "Join",
    "KillWorker",
    "Law",
    "Leave",
    "Listen",
    "Outcome",
    "Packets",
    "Partition",
    "PowerOff",
    "Publish",
    "Read",
    "Rekey",
    "Restart",
    "RingCut",
    "Script",
    "Send",
    "Setting",
    "Simulation",
    "SlowReader",
    "Stall",
    "Starve",
    "Step",
    "Thaw",
    "Unlisten",
    "random_script",
    "read_script",
    "script_from",
    "shrink",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF.get(name, 'scripts.steps')}"), name)
    globals()[name] = value
    return value
