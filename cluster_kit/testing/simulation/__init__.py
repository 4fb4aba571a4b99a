"""Simulations: a whole cluster in virtual time, from one seed, with every invariant checked.

A simulated cluster is the real code with stand-ins at its edges. Each node runs the real ``Worker``
with its real strategies, connector and topology. Stand-ins take the place of what surrounds a
worker: the event loop and clock (``testing.virtual_time``), the network (``testing.memory``), the
process and the pipe to the application (``process.py``), and the application (``application.py``).
Everything runs in one thread, and all randomness comes from the seed. So the same seed and script
give the same run, down to each line of the trace.

A run, from beginning to end:

1. ``replay.Setting`` holds all that a run depends on besides the script; ``Setting.run`` makes a
   ``simulation.Simulation``. It checks the topology entry as a configuration
   (``configuration.configured``), and makes a ``node.SimulatedNode`` for each node that the
   script ever names, each on a separate machine in ``network.SimulatedNetwork``.
2. ``Simulation.run`` closes all ways to the real world (``sandbox.sandboxed``) and captures the log
   (``logs.watched_logs``). Then it lets virtual time pass, a slice at a time.
3. Within the first second each node starts: ``SimulatedNode.start`` makes an ``Application``, if
   the script has messages, and a ``process.NodeProcess``, which starts the worker. The connector
   and topology plugin are wrapped in ``invariants.proxies``.
4. ``player.Player`` carries out each step at its time: on nodes (``SimulatedNode.kill``,
   ``freeze`` and so on) or on the network (``SimulatedNetwork.begin`` and ``end``). Whatever may
   keep nodes apart is recorded in ``connectivity.Connectivity``.
5. Events reach ``invariants.view.NodeView`` as they would reach an application. Each violation of
   an invariant is added to ``invariants.findings.Findings`` where it happens; ``invariants`` lists
   which module checks which. Each change of a view becomes a line of the ``trace.Trace``.
6. When the last disturbance is over, ``invariants.judge.Judge.settle`` works out what each node
   must see. The run ends once all views have agreed with that for a while, or when the bound is
   reached; ``Judge.conclude`` and ``MessageChecker.conclude`` judge what is left.
7. The result is an ``outcome.Outcome``. If an invariant is violated, ``replay.smallest`` looks for
   a smaller script that violates it (``scripts.shrinking``), and ``replay.report`` prints how to
   run that. With plugins from elsewhere, ``determinism.compared`` runs everything again in other
   processes.
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
    """Import a public name from its module on first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF.get(name, 'scripts.steps')}"), name)
    globals()[name] = value
    return value
