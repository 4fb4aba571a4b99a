"""``InMemory``: makes a conformance suite run on a network in memory, in virtual time."""

from __future__ import annotations

from collections.abc import Coroutine
from functools import cached_property
from typing import Any

from cluster_kit.network import Network
from cluster_kit.testing.memory.network import MemoryNetwork
from cluster_kit.testing.virtual_loop import run_virtually


class InMemory:
    """Put it before a suite: ``class TestTcpInMemory(InMemory, TestTcp)``; each test has a network of its own.

    Unless a suite asks for another machine, all takes place on one.
    """

    seed: int = 0
    """Of the network."""
    address: str = "10.0.0.1"
    """Of the first machine, or its loopback."""
    other_address: str = "10.0.0.2"
    """Of the second one."""
    name: str = "ann.example"
    """What resolves to the first."""

    @cached_property
    def memory(self) -> MemoryNetwork:
        """The network of this test, to place faults on."""
        memory = MemoryNetwork(seed=self.seed)
        for address, name in (("10.0.0.1", "ann.example"), ("10.0.0.2", "bob.example")):
            memory.host(address, names=[name])
        return memory

    def make_network(self) -> Network:
        """Return the first machine."""
        return self.memory.hosts[0]

    def make_other(self) -> Network:
        """Return the second one."""
        return self.memory.hosts[1]

    def run(self, scenario: Coroutine[Any, Any, None]) -> None:
        """Run one scenario in virtual time."""
        run_virtually(scenario)
