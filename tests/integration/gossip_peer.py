"""A process that gossips, and prints what it observes as JSON lines: ``gossip_peer.py NAME OPTIONS``.

Each line on its standard input changes it: ``{"leaving": true}``, ``{"metadata": {...}}``; the end of the input closes it.
"""

import asyncio
import json
import sys
from contextlib import aclosing, suppress

from cluster_kit.abc import Failed, Gone, Leaving, Seen
from cluster_kit.node import Node, join_address
from cluster_kit.strategies.gossip import GossipStrategy
from cluster_kit.testing import FakeDiscovery


def plain(observation):
    match observation:
        case Seen(node=node):
            return {
                "seen": node.name,
                "address": node.address,
                "metadata": dict(node.metadata),
                "boot": str(node.boot_id),
            }
        case Leaving(name=name):
            return {"leaving": name}
        case Gone(name=name, reason=reason, boot_id=boot_id):
            return {"gone": name, "reason": reason, "boot": str(boot_id)}
        case Failed(error=error):
            return {"failed": str(error)}


def say(line):
    print(json.dumps(line), flush=True)


async def obey(ctx):
    """Change as the standard input says, until it ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        order = json.loads(line)
        local = ctx.local.evolve(metadata=order["metadata"]) if "metadata" in order else None
        ctx.change(local=local, leaving=order.get("leaving"))
    transport.close()


async def gossip(ctx, options):
    async with aclosing(GossipStrategy(**options).discover(ctx)) as observations:
        async for observation in observations:
            say(plain(observation))


async def main(name, options):
    ctx = FakeDiscovery(Node(name=name, address=join_address(name.partition("@")[2], 4000)))
    ctx.announced = lambda: say({"announced": str(ctx.local.boot_id)})
    gossiping = asyncio.create_task(gossip(ctx, options))
    obeying = asyncio.create_task(obey(ctx))
    await asyncio.wait([gossiping, obeying], return_when=asyncio.FIRST_COMPLETED)
    gossiping.cancel()
    obeying.cancel()
    with suppress(asyncio.CancelledError):
        await gossiping


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
