"""This node, as its strategies and its connector see it and describe it to others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cluster_kit.network import Network
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.pipe.messages import Start
from cluster_kit.security import Security


@dataclass(slots=True, kw_only=True)
class LocalNode:
    """This node and its means to communicate; the worker changes it while it runs.

    Attributes:
        node: Its name, address, metadata and run.
        fence: The cluster and group that it belongs to.
        network: What strategies and connector see of the world, its clocks and randomness.
        security: Protects links and datagrams.
        leaving: Whether it is about to leave.
        announce: Whether strategies may make it known.
    """

    node: Node
    fence: Fence
    network: Network
    security: Security
    leaving: bool = False
    announce: bool = False

    @classmethod
    def of_new_run(cls, start: Start, network: Network) -> Self:
        """Return the node that ``start`` describes, in a run that begins now."""
        boot_id = BootId(int(network.clock.wall_s() * 1000), network.random("boot").getrandbits(64))
        node = start.local.evolve(boot_id=boot_id)
        return cls(
            node=node,
            fence=start.fence,
            network=network,
            security=Security(node, start.keyring),
            leaving=start.leaving,
            announce=start.announce,
        )
