"""A cluster inside an asyncio program, which goes about its work while nodes join and leave.

Run it in two terminals, each time with another name. Each waits until it is not alone, then works
until you press Ctrl-C::

    python examples/async_app.py a
    python examples/async_app.py b
"""

import asyncio
import sys
from contextlib import suppress

from cluster_kit import AsyncSupervisor, NodeDown, NodeUp, Snapshot


async def main(name: str) -> None:
    config = {
        "node": f"{name}@127.0.0.1",
        "cluster": "async-example",
        "topologies": {"lan": {"strategy": "gossip"}},
    }
    async with AsyncSupervisor(config) as cluster, asyncio.TaskGroup() as tasks:
        await cluster.wait_for(2)
        tasks.create_task(work(cluster))
        async for event in cluster.subscribe():
            match event:
                case Snapshot(up=nodes):  # how things stand; what follows are changes of it
                    print("here already:", *nodes, flush=True)
                case NodeUp(node=node):
                    print("joined:", node, flush=True)
                case NodeDown(node=node, reason=reason):
                    print(f"{reason}:", node, flush=True)


async def work(cluster: AsyncSupervisor) -> None:
    while True:
        print("working, others here:", len(await cluster.nodes()), flush=True)
        await asyncio.sleep(1)


with suppress(KeyboardInterrupt):
    asyncio.run(main(sys.argv[1]))
