"""Both ends of a stream between two machines in memory."""

import asyncio
from contextlib import asynccontextmanager

from cluster_kit.network import Endpoint
from cluster_kit.testing import MemoryNetwork, run_virtually
from cluster_kit.testing.networks.harness import StreamRecorder

DEADLINE_S = 30.0


@asynccontextmanager
async def plain_pair():
    """Open a stream, and yield both of its ends."""
    network = MemoryNetwork(seed=0)
    ann, bob = network.host("10.0.0.1"), network.host("10.0.0.2")
    accepted = asyncio.Queue()
    listener = await bob.listen(Endpoint("10.0.0.2", 0))
    listener.start(accepted.put_nowait)
    ours = await ann.dial(listener.here)
    theirs = await accepted.get()
    try:
        yield ours, theirs
    finally:
        ours.abort()
        theirs.abort()
        await listener.close()


def read(stream):
    """Start a stream, and return who keeps what it gets."""
    reader = StreamRecorder(DEADLINE_S)
    stream.start(reader)
    return reader


def play(scenario):
    """Run a scenario in virtual time."""
    run_virtually(scenario())
