"""Conformance suites for plugins, and what tests of plugins need: fakes, virtual time, a network.

A suite is an abstract pytest class: subclass it, override a fixture or two, and get one test for
each rule of the contract. The suites need the extra ``testing`` (``pip install
'cluster-kit[testing]'``), the other names need nothing, so each name is imported when it is first
used.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster_kit.testing.connectors import ConnectorConformance
    from cluster_kit.testing.fakes import FakeDiscovery, RecordingLinks, Report
    from cluster_kit.testing.in_memory import InMemory
    from cluster_kit.testing.leaks import leaves_nothing
    from cluster_kit.testing.listener import Listener
    from cluster_kit.testing.memory.faults import (
        BlackHole,
        Cut,
        Delay,
        Drop,
        Duplicate,
        Fault,
        Refuse,
        Reorder,
        SlowReader,
    )
    from cluster_kit.testing.memory.host import MemoryHost
    from cluster_kit.testing.memory.network import MemoryNetwork
    from cluster_kit.testing.networks import NetworkConformance
    from cluster_kit.testing.strategies import StrategyConformance
    from cluster_kit.testing.topologies import TopologyConformance
    from cluster_kit.testing.virtual_time.loop import VirtualLoop
    from cluster_kit.testing.virtual_time.run import run_virtually
    from cluster_kit.testing.virtual_time.timeline import Timeline

_MODULE_OF = {
    "BlackHole": "memory.faults",
    "ConnectorConformance": "connectors",
    "Cut": "memory.faults",
    "Delay": "memory.faults",
    "Drop": "memory.faults",
    "Duplicate": "memory.faults",
    "FakeDiscovery": "fakes",
    "Fault": "memory.faults",
    "InMemory": "in_memory",
    "Listener": "listener",
    "MemoryHost": "memory.host",
    "MemoryNetwork": "memory.network",
    "NetworkConformance": "networks",
    "RecordingLinks": "fakes",
    "Refuse": "memory.faults",
    "Reorder": "memory.faults",
    "Report": "fakes",
    "SlowReader": "memory.faults",
    "StrategyConformance": "strategies",
    "Timeline": "virtual_time.timeline",
    "TopologyConformance": "topologies",
    "VirtualLoop": "virtual_time.loop",
    "leaves_nothing": "leaks",
    "run_virtually": "virtual_time.run",
}

__all__ = [
    "BlackHole",
    "ConnectorConformance",
    "Cut",
    "Delay",
    "Drop",
    "Duplicate",
    "FakeDiscovery",
    "Fault",
    "InMemory",
    "Listener",
    "MemoryHost",
    "MemoryNetwork",
    "NetworkConformance",
    "RecordingLinks",
    "Refuse",
    "Reorder",
    "Report",
    "SlowReader",
    "StrategyConformance",
    "Timeline",
    "TopologyConformance",
    "VirtualLoop",
    "leaves_nothing",
    "run_virtually",
]

_REWRITTEN = ("connectors", "networks", "strategies", "topologies")

# a failing assertion of a suite shows its values, like one in a test
if "pytest" in sys.modules:
    sys.modules["pytest"].register_assert_rewrite(
        *(f"{__name__}.{module}" for module in _REWRITTEN)
    )


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first asked for (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value
