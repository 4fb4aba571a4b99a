"""Runs strategy ``dns`` with the system's resolver: ``diagnose`` or ``discover``.

``diagnose`` prints its findings; ``discover`` prints observations until standard input ends.
"""

import asyncio
import json
import sys
from contextlib import aclosing
from dataclasses import asdict

from cluster_kit.abc import Found
from cluster_kit.node import Node
from cluster_kit.strategies.dns import DnsStrategy
from cluster_kit.testing import FakeDiscovery

LOCAL = Node(name="web@127.0.0.9", address="127.0.0.9:4370")


async def diagnose(strategy):
    async for finding in strategy.diagnose(FakeDiscovery(LOCAL)):
        print(json.dumps(asdict(finding)), flush=True)


async def observe(strategy):
    async with aclosing(strategy.discover(FakeDiscovery(LOCAL))) as said:
        async for each in said:
            word = (
                sorted(node.address for node in each.nodes)
                if isinstance(each, Found)
                else str(each.error)
            )
            print(json.dumps(word), flush=True)


async def discover(strategy):
    observing = asyncio.create_task(observe(strategy))
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, closed.set)
    await closed.wait()
    loop.remove_reader(sys.stdin)
    observing.cancel()
    await asyncio.wait([observing])


asyncio.run(
    {"diagnose": diagnose, "discover": discover}[sys.argv[1]](
        DnsStrategy(**json.loads(sys.argv[2]))
    )
)
