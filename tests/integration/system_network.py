"""What tests of the system's network share: a bounded run, both ends of a stream."""

import asyncio
import resource
import socket
from contextlib import ExitStack, asynccontextmanager, contextmanager

import pytest

from cluster_kit import Endpoint
from cluster_kit.network import StreamReader
from cluster_kit.network.system import SystemNetwork
from cluster_kit.testing import leaves_nothing

ANY = Endpoint("127.0.0.1", 0)
HAS_IPV6 = SystemNetwork().has_address("::1")
needs_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="no IPv6 on this machine")


def run(scenario):
    async def bounded():
        async with asyncio.timeout(60), leaves_nothing():
            await scenario(SystemNetwork())

    asyncio.run(bounded())


class Collector(StreamReader):
    """A reader that keeps what comes in."""

    def __init__(self, stream):
        self.stream = stream
        self.data = bytearray()
        self.losses = 0
        self.news = asyncio.Event()
        stream.start(self)

    def received(self, data):
        self.data += data
        self.news.set()

    def lost(self):
        self.losses += 1
        self.news.set()

    async def until(self, met):
        while not met(self):
            self.news.clear()
            await self.news.wait()


async def ended(collector):
    await collector.until(lambda it: it.losses)


@asynccontextmanager
async def serving(network, at=ANY):
    """Open a listener, and yield it with a queue of what it accepts."""
    listener = await network.listen(at)
    accepted = asyncio.Queue()
    listener.start(accepted.put_nowait)
    try:
        yield listener, accepted
    finally:
        await listener.close()


async def pair(network, at=ANY):
    """Return both ends of a stream."""
    async with serving(network, at) as (listener, accepted):
        return await network.dial(listener.here), await accepted.get()


@contextmanager
def few_descriptors():
    """Leave this process no descriptor at all."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        used = stack.enter_context(socket.socket()).fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        while True:
            try:
                stack.enter_context(socket.socket())
            except OSError:
                break
        yield
