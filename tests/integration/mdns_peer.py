"""A process that runs mdns, and prints what it observes as JSON lines: ``mdns_peer.py NAME OPTIONS``.

Each line on its standard input changes it: ``{"leaving": true}``, ``{"metadata": {...}}``; the end of the input closes it. With
``"diagnose": true`` it prints what it finds out instead, and ends.
"""

import asyncio
import json
import sys
from contextlib import aclosing, suppress

from cluster_kit.abc import Failed, Gone, Leaving, Seen
from cluster_kit.node import Fence, Node, join_address
from cluster_kit.strategies.mdns import MdnsStrategy
from cluster_kit.testing import FakeDiscovery


def plain(observation):
    match observation:
        case Seen(node=node, ttl_s=ttl_s):
            told = {"address": node.address, "metadata": dict(node.metadata), "boot": str(node.boot_id)}
            return {"seen": node.name, "ttl_s": round(ttl_s), **told}
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


async def observe(ctx, options):
    async with aclosing(MdnsStrategy(**options).discover(ctx)) as observations:
        async for observation in observations:
            say(plain(observation))


async def diagnose(ctx, options):
    async for finding in MdnsStrategy(**options).diagnose(ctx):
        say({"outcome": finding.outcome, "asked": finding.asked, "got": finding.got, "cause": finding.cause})


async def main(name, options):
    cluster = options.pop("cluster", "test")
    local = Node(name=name, address=join_address(name.partition("@")[2], 4000))
    ctx = FakeDiscovery(local, announce=options.pop("announce", True), fence=Fence(cluster, "lan"))
    if options.pop("diagnose", False):
        await diagnose(ctx, options)
        return
    ctx.announced = lambda: say({"announced": str(ctx.local.boot_id)})
    observing = asyncio.create_task(observe(ctx, options))
    obeying = asyncio.create_task(obey(ctx))
    await asyncio.wait([observing, obeying], return_when=asyncio.FIRST_COMPLETED)
    observing.cancel()
    obeying.cancel()
    with suppress(asyncio.CancelledError):
        await observing


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
