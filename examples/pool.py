"""A pool of workers that grows and shrinks with the cluster; the jobs of a dead one are done again.

The boss asks each node that answers on the topic ``primes``, one question at a time. Run it in
terminals, in any order, and stop and start workers as you like; the boss ends when all jobs are
done::

    python examples/pool.py worker a
    python examples/pool.py worker b
    python examples/pool.py boss 40
"""

import asyncio
import sys
from contextlib import suppress

from cluster_kit import (
    AsyncSupervisor,
    Message,
    Node,
    NodeDown,
    NodeUp,
    NotSentError,
    Snapshot,
    UnansweredError,
)


def config(name: str) -> dict[str, object]:
    return {
        "node": f"{name}@127.0.0.1",
        "cluster": "pool-example",
        "topologies": {"lan": {"strategy": "gossip"}},
    }


async def work(name: str) -> None:
    """Answer each number by how many primes are below it."""
    cluster = AsyncSupervisor(config(name))

    @cluster.topic("primes").answer
    def primes(message: Message) -> int:  # in a thread, as it is no coroutine
        return sum(
            all(number % divisor for divisor in range(2, int(number**0.5) + 1))
            for number in range(2, message.data)
        )

    async with cluster:
        print("working", flush=True)
        await asyncio.Event().wait()


class Boss:
    """Gives jobs to the workers that are there."""

    def __init__(self, jobs: int) -> None:
        self._todo: asyncio.Queue[int] = asyncio.Queue()
        for number in range(1, jobs + 1):
            self._todo.put_nowait(10_000 * number)
        self._done = asyncio.Event()
        self._left = jobs
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._cluster = AsyncSupervisor(config("boss"))
        self._primes = self._cluster.topic("primes")

    async def run(self) -> None:
        """Return when all jobs are done."""
        async with self._cluster, asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch(tasks))
            await self._done.wait()
            for task in (watching, *self._workers.values()):
                task.cancel()

    async def _watch(self, tasks: asyncio.TaskGroup) -> None:
        async for event in self._cluster.subscribe():
            match event:
                case Snapshot() | NodeUp():
                    for node in await self._primes.nodes(answering=True):
                        self._hire(node, tasks)
                case NodeDown(node=node, reason=reason) if worker := self._workers.pop(
                    node.key, None
                ):
                    worker.cancel()
                    print(f"{reason}: {node}; {len(self._workers)} at work", flush=True)

    def _hire(self, node: Node, tasks: asyncio.TaskGroup) -> None:
        if node.key not in self._workers:
            self._workers[node.key] = tasks.create_task(self._employ(node))
            print(f"hired: {node}; {len(self._workers)} at work", flush=True)

    async def _employ(self, node: Node) -> None:
        """Give a worker one job after another; when it fails, put the unfinished job back."""
        with suppress(NotSentError, UnansweredError):  # it is about to be down
            while True:
                job = await self._todo.get()
                try:
                    found = await self._primes.ask(node, job, timeout_s=60)
                except BaseException:
                    self._todo.put_nowait(job)
                    raise
                self._finish(job, found, node)

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
