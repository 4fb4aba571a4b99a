"""A gossip strategy that also forges packets in the name of other nodes."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

from cluster_kit.abc import Seen
from cluster_kit.node import BootId
from cluster_kit.strategies.gossip import GossipStrategy
from cluster_kit.strategies.gossip.group import group_of
from cluster_kit.wire.gossip import MAX_DATAGRAM_BYTES, Kind, Packet, encode

FROM_S = 3.0
EVERY_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Forging(GossipStrategy):
    """Gossip, with a forger on each machine who speaks for every other node.

    Args:
        kinds: The packets that are forged, one after the other.
        leaving: Whether they say that the node is leaving.
        later_by_ms: By how much later the forged run began; 0 for the true run.
        address: Where the forged run is; ``None`` for where the node is.
        for_s: For how long packets are forged.
    """

    kinds: tuple[int, ...] = (Kind.HEARTBEAT,)
    leaving: bool = False
    later_by_ms: int = 0
    address: str | None = None
    for_s: float = 2.0  # short enough for all nodes to be heard again before they expire

    async def discover(self, ctx):
        nodes = {}
        forging = asyncio.create_task(self.forge(ctx, nodes))
        try:
            async with aclosing(GossipStrategy.discover(self, ctx)) as observations:
                async for observation in observations:
                    if isinstance(observation, Seen) and observation.node.key != ctx.local.key:
                        nodes.setdefault(observation.node.key, observation.node)
                    yield observation
        finally:
            forging.cancel()

    async def forge(self, ctx, nodes):
        group = await group_of(self, ctx.local.host, ctx.network)
        datagrams = await ctx.network.join(group, max_bytes=MAX_DATAGRAM_BYTES)
        await asyncio.sleep(FROM_S)
        nodes = dict(nodes)  # as they were before the first forgery
        for _ in range(int(self.for_s / EVERY_S)):
            for node in nodes.values():
                run = BootId(node.boot_id.started_ms + self.later_by_ms, node.boot_id.nonce)
                for kind in self.kinds:
                    later = node.evolve(boot_id=run, address=self.address or node.address)
                    packet = Packet.of(later, ctx.fence, Kind(kind), leaving=self.leaving)
                    datagrams.send(encode(packet))
            await asyncio.sleep(EVERY_S)
        datagrams.close()
