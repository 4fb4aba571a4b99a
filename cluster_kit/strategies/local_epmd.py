"""Strategy ``local_epmd``: every node that the EPMD of this host knows.

Source: libcluster ``Cluster.Strategy.LocalEpmd``, lib/strategy/local_epmd.ex.
Differs: asks again and again; an EPMD that is down fails a look-up, but not the start; this node
registers itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from cluster_kit.node import Node
from cluster_kit.strategies.epmd import EpmdLookup
from cluster_kit.strategies.epmd.options import LOOPBACK, EpmdQuestion


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalEpmdStrategy(EpmdLookup):
    """Vouches for every name that is registered on this host."""

    def questions(self, local: Node) -> tuple[EpmdQuestion, ...]:
        """Ask the EPMD of this host for all its names."""
        return (EpmdQuestion(LOOPBACK, local.host),)
