"""Hosts in memory for tests: streams between two of them, groups of several, and a reader."""

import asyncio

from cluster_kit import Endpoint, Group, StreamReader
from cluster_kit.testing import (
    MemoryNetwork,
    run_virtually,
)

PORT = 4370


class Reader(StreamReader):
    def __init__(self, stream):
        self.stream = stream
        self.got = []
        self.ended_s = None
        self.end = asyncio.Event()
        stream.start(self)

    @property
    def data(self):
        return b"".join(data for _, data in self.got)

    def received(self, data):
        self.got.append((now(), bytes(data)))

    def lost(self):
        assert self.ended_s is None
        self.ended_s = now()
        self.end.set()


def now():
    return asyncio.get_running_loop().time()


async def connected(ann, bob):
    """Return both ends of a stream, and their readers."""
    listener = await bob.listen(Endpoint(bob.addresses[0], PORT))
    accepted = asyncio.Queue()
    listener.start(accepted.put_nowait)
    ours = await ann.dial(listener.here)
    theirs = await accepted.get()
    return ours, theirs, Reader(ours), Reader(theirs)


async def group_of(*hosts):
    """Join the hosts to a group; return the datagrams of each, and what each hears."""
    members = []
    for host in hosts:
        datagrams = await host.join(
            Group("239.1.1.1", PORT, host.addresses[0], host.addresses[0]), max_bytes=100
        )
        heard = []
        datagrams.listen(
            lambda datagrams, heard=heard: heard.extend((now(), data) for data, _ in datagrams)
        )
        members.append((datagrams, heard))
    return members


def play(scenario, *, hosts=2, seed=7):
    memory = MemoryNetwork(seed=seed)
    machines = [
        memory.host(f"10.0.0.{number}", names=[f"host{number}"]) for number in range(1, hosts + 1)
    ]
    return run_virtually(scenario(memory, *machines))


def texts(heard):
    return [data for _, data in heard]
