"""A pool of workers that grows and shrinks with the cluster; the jobs of a worker that dies are done by another.

The boss gives a job at a time to each node whose metadata says where it works. Run it in terminals, in any order, and stop and
start workers as you like; the boss ends when all jobs are done::

    python examples/pool.py worker a
    python examples/pool.py worker b
    python examples/pool.py boss 40
"""

import asyncio
import sys
from contextlib import suppress

from cluster_kit import AsyncSupervisor, Node, NodeDown, NodeUp, Snapshot


def config(name: str, metadata: dict[str, str]) -> dict[str, object]:
    return {
        "node": f"{name}@127.0.0.1",
        "cluster": "pool-example",
        "metadata": metadata,
        "topologies": {"lan": {"strategy": "gossip"}},
    }


def primes_below(limit: int) -> int:
    return sum(all(number % divisor for divisor in range(2, int(number**0.5) + 1)) for number in range(2, limit))


async def work(name: str) -> None:
    """Answer each line with a number by a line with the number of primes below it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            answer = await asyncio.to_thread(primes_below, int(line))
            writer.write(f"{answer}\n".encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with AsyncSupervisor(config(name, {"works at": f"{host}:{port}"})):
        print("working", flush=True)
        await asyncio.Event().wait()


class Boss:
    """Has jobs done by whoever is there."""

    def __init__(self, jobs: int) -> None:
        self._todo: asyncio.Queue[int] = asyncio.Queue()
        for number in range(1, jobs + 1):
            self._todo.put_nowait(10_000 * number)
        self._done = asyncio.Event()
        self._left = jobs
        self._workers: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Return when all jobs are done."""
        async with AsyncSupervisor(config("boss", {})) as cluster, asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch(cluster, tasks))
            await self._done.wait()
            for task in (watching, *self._workers.values()):
                task.cancel()

    async def _watch(self, cluster: AsyncSupervisor, tasks: asyncio.TaskGroup) -> None:
        async for event in cluster.subscribe():
            match event:
                case Snapshot(up=nodes):
                    for node in nodes:
                        self._hire(node, tasks)
                case NodeUp(node=node):
                    self._hire(node, tasks)
                case NodeDown(node=node, reason=reason) if worker := self._workers.pop(node.key, None):
                    worker.cancel()
                    print(f"{reason}: {node}; {len(self._workers)} at work", flush=True)

    def _hire(self, node: Node, tasks: asyncio.TaskGroup) -> None:
        if "works at" in node.metadata and node.key not in self._workers:
            self._workers[node.key] = tasks.create_task(self._employ(node))
            print(f"hired: {node}; {len(self._workers)} at work", flush=True)

    async def _employ(self, node: Node) -> None:
        """Give it one job after the other; whatever ends that, the job that is under way is still to be done."""
        host, _, port = node.metadata["works at"].rpartition(":")
        with suppress(OSError):  # it is about to be down
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                while True:
                    job = await self._todo.get()
                    try:
                        writer.write(f"{job}\n".encode())
                        found = int(await reader.readline())
                    except BaseException:
                        self._todo.put_nowait(job)
                        raise
                    self._finish(job, found, node)
            except ValueError:  # an empty line: it has ended amid the job
                return
            finally:
                writer.close()

    def _finish(self, job: int, found: int, node: Node) -> None:
        print(f"{found} primes below {job}, says {node}", flush=True)
        self._left -= 1
        if not self._left:
            self._done.set()


with suppress(KeyboardInterrupt):
    if sys.argv[1] == "boss":
        asyncio.run(Boss(int(sys.argv[2])).run())
    else:
        asyncio.run(work(sys.argv[2]))
