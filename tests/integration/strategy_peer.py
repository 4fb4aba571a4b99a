"""Runs a strategy and prints what it observes: ``strategy_peer.py STRATEGY NAME OPTIONS``.

It prints one JSON object a line. Each line on its standard input changes the node, as does
``{"leaving": true}`` or ``{"metadata": {...}}``; at the end of the input it leaves. Some keys of
OPTIONS are its own: ``cluster``, ``announce``, and ``diagnose``, with which it prints a diagnosis
instead, and ends.
"""

import asyncio
import json
import sys
from contextlib import aclosing, suppress

from cluster_kit.abc import Failed, Gone, Leaving, Seen
from cluster_kit.node import Fence, Node, join_address
from cluster_kit.plugins import PluginRegistry
from cluster_kit.testing import FakeDiscovery


def plain(observation):
    match observation:
        case Seen(node=node, ttl_s=ttl_s):
            told = {
                "address": node.address,
                "metadata": dict(node.metadata),
                "boot": str(node.boot_id),
            }
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
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async for line in reader:
        order = json.loads(line)
        local = ctx.local.evolve(metadata=order["metadata"]) if "metadata" in order else None
        ctx.change(local=local, leaving=order.get("leaving"))
    transport.close()


async def observe(strategy, ctx):
    async with aclosing(strategy.discover(ctx)) as observations:
        async for observation in observations:
            say(plain(observation))


async def diagnose(strategy, ctx):
    async for finding in strategy.diagnose(ctx):
        say(
            {
                "outcome": finding.outcome,
                "asked": finding.asked,
                "got": finding.got,
                "cause": finding.cause,
            }
        )


async def main(strategy, name, options):
    cluster = options.pop("cluster", "test")
    local = Node(name=name, address=join_address(name.partition("@")[2], 4000))
    ctx = FakeDiscovery(local, announce=options.pop("announce", True), fence=Fence(cluster, "lan"))
    is_diagnosis = options.pop("diagnose", False)
    strategy = PluginRegistry.load().resolve("strategy", strategy)(**options)
    if is_diagnosis:
        await diagnose(strategy, ctx)
        return
    ctx.announced = lambda: say({"announced": str(ctx.local.boot_id)})
    observing = asyncio.create_task(observe(strategy, ctx))
    obeying = asyncio.create_task(obey(ctx))
    await asyncio.wait([observing, obeying], return_when=asyncio.FIRST_COMPLETED)
    observing.cancel()
    obeying.cancel()
    with suppress(asyncio.CancelledError):
        await observing


asyncio.run(main(*sys.argv[1:3], json.loads(sys.argv[3])))
