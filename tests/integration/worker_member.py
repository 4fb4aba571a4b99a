"""Workers in the process of a test, which is their supervisor."""

import asyncio
import logging

from memory_channel import MemoryChannel

from cluster_kit import load_config
from cluster_kit.events import NodeDown, NodeUp
from cluster_kit.network.system import SystemNetwork
from cluster_kit.node import Fence, Node
from cluster_kit.pipe.messages import Happened, Start, Stop
from cluster_kit.worker.worker import Worker

DEADLINE_S = 30.0


class EndedError(Exception):
    """Nothing runs any more in a process that has ended."""


class Process:
    """Stands in for the process of one worker."""

    def __init__(self):
        self.code = asyncio.get_running_loop().create_future()

    def end(self, code):
        self.code.set_result(code)
        raise EndedError

    def forward_logs(self, send, level):
        pass


class Member:
    """One worker, and its supervisor."""

    def __init__(self, name, config, keyring=None, *, greeting=b""):
        loop = asyncio.get_running_loop()
        start = Start(
            topology=load_config(
                {"node": f"{name}@127.0.0.1", "insecure": True, "topologies": {"lan": config}}
            ).topologies["lan"],
            local=Node(name=f"{name}@127.0.0.1"),
            fence=Fence("test", "lan"),
            announce=True,
            leaving=False,
            known=(),
            log_level=logging.WARNING,
            keyring=keyring,
            greeting=greeting,
        )
        self.process = Process()
        self.stopping = asyncio.Event()
        self.said = []
        self.events = []
        self._news = asyncio.Event()
        self.channel, far = MemoryChannel.pair(pickled=True)
        self._far = far
        self.worker = Worker(
            start, [], far, loop, self.stopping, network=SystemNetwork(), process=self.process
        )
        self.channel.attach(loop, hear=self._hear, ended=lambda fault: None, relieved=lambda: None)
        self.running = loop.create_task(self.worker.main())

    def _hear(self, message):
        self.said.append(message)
        if isinstance(message, Happened):
            self.events += message.events
        self._news.set()

    def up(self):
        """Return the names of those that the events so far show as linked."""
        up = set()
        for event in self.events:
            if isinstance(event, NodeUp):
                up.add(event.node.name)
            elif isinstance(event, NodeDown):
                up.remove(event.node.name)
        return sorted(up)

    def heard(self, kind):
        return any(isinstance(message, kind) for message in self.said)

    async def until(self, met):
        async with asyncio.timeout(DEADLINE_S):
            while not met(self):
                self._news.clear()
                await self._news.wait()

    async def stop(self):
        self.channel.send(Stop())
        async with asyncio.timeout(DEADLINE_S):
            return await self.running

    def close(self):
        self.running.cancel()
        self.channel.close()
        self._far.close()


def run(scenario):
    nodes = []

    def start(*arguments, **options):
        nodes.append(Member(*arguments, **options))
        return nodes[-1]

    async def main():
        try:
            await scenario(start)
        finally:
            for node in nodes:
                node.close()
            await asyncio.gather(*(node.running for node in nodes), return_exceptions=True)

    asyncio.run(main())
