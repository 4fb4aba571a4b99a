"""A cluster inside an asyncio program: it works on while it hears who joins and who leaves.

Run it in two terminals, each time with another name. Each waits until it is not alone, then counts the seconds and the nodes::

    python examples/async_app.py a
    python examples/async_app.py b
"""

import asyncio
import sys
from contextlib import suppress

from cluster_kit import AsyncSupervisor, NodeDown, NodeUp


async def main(name: str) -> None:
    config = {
        "node": f"{name}@127.0.0.1",
        "cluster": "async-example",
        "metadata": {"language": "python"},
        "topologies": {"lan": {"strategy": "gossip"}},
    }
    async with AsyncSupervisor(config) as cluster, asyncio.TaskGroup() as tasks:
        await cluster.wait_for(2)
        tasks.create_task(work(cluster))
        async for event in cluster.subscribe():
            match event:
                case NodeUp(node=node):
                    print(node.name, "joined, it speaks", node.metadata["language"], flush=True)
                case NodeDown(node=node, reason=reason):
                    print(node.name, "is down:", reason, flush=True)


async def work(cluster: AsyncSupervisor) -> None:
    seconds = 0
    while True:
        print(f"working for {seconds} s, with {len(await cluster.nodes())} others", flush=True)
        await asyncio.sleep(1)
        seconds += 1


with suppress(KeyboardInterrupt):
    asyncio.run(main(sys.argv[1]))
