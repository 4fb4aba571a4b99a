"""Strategies, connectors and topologies with one planted bug each."""

import asyncio
import os
import random
import secrets
import socket
import subprocess
import threading
import time
import uuid
from contextlib import aclosing
from dataclasses import dataclass
from random import choice as taken_choice
from time import time_ns as taken_time_ns

from cluster_kit.abc import Gone, Topology
from cluster_kit.connectors.tcp import TcpConnector
from cluster_kit.events import Reason
from cluster_kit.strategies.gossip import GossipStrategy


@dataclass(frozen=True)
class OneSided(Topology):
    """Selects only nodes with later names."""

    def select(self, local, known):
        return frozenset(node for node in known if node.key > local.key)


@dataclass(frozen=True)
class Apart(Topology):
    """Never links even numbers with odd ones."""

    def select(self, local, known):
        return frozenset(node for node in known if ord(node.key[4]) % 2 == ord(local.key[4]) % 2)


@dataclass(frozen=True)
class Selfish(Topology):
    """Selects itself, too."""

    def select(self, local, known):
        return known | {local}


class Fickle(Topology):
    """Selects something else each time."""

    def __init__(self):
        self.count = 0

    def select(self, local, known):
        self.count += 1
        return frozenset(sorted(known, key=lambda node: node.key)[: self.count % 3])


@dataclass(frozen=True)
class Small(Topology):
    """Raises for more than three other nodes."""

    def select(self, local, known):
        if len(known) > 3:
            raise ValueError("too many")
        return known


@dataclass(frozen=True)
class Timed(Topology):
    """Reads the clock."""

    def select(self, local, known):
        time.time()
        return known


class UpTwice(TcpConnector):
    """Reports each link twice."""

    async def start(self, local, links):
        up = links.up
        links.up = lambda node: (up(node), up(node))
        return await super().start(local, links)


class NeverDown(TcpConnector):
    """Forgets to report the end of links."""

    async def start(self, local, links):
        links.down = lambda *_: None
        return await super().start(local, links)


class Hasty(TcpConnector):
    """Returns from connect before there is a link."""

    async def connect(self, node):
        return node


class Silencer(TcpConnector):
    """Leaves an exception to the event loop when it stops."""

    async def stop(self):
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await super().stop()


class Careless(TcpConnector):
    """Drops a failed future that its own traceback refers to."""

    async def stop(self):
        failed = asyncio.Future()
        try:
            raise ValueError("hidden")
        except ValueError as exc:
            failed.set_exception(exc)
        await super().stop()


class Forgetful(TcpConnector):
    """Drops a failed task that its own traceback refers to."""

    async def stop(self):
        async def fail():
            me = asyncio.current_task()
            raise ValueError(f"hidden in {me.get_name()}")

        asyncio.get_running_loop().create_task(fail())
        await super().stop()


class Hurried(TcpConnector):
    """Takes a peer for dead before its next heartbeat is due."""

    def __post_init__(self):
        super().__post_init__()
        self.silent_s = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Panicking(GossipStrategy):
    """Reports all nodes as gone now and then."""

    async def discover(self, ctx):
        loop = asyncio.get_running_loop()
        seen, panic_at_s = set(), loop.time() + 20
        async with aclosing(GossipStrategy.discover(self, ctx)) as observations:
            async for observation in observations:
                yield observation
                if hasattr(observation, "node"):
                    seen.add(observation.node.key)
                if loop.time() >= panic_at_s:
                    panic_at_s += 20
                    for key in sorted(seen):
                        yield Gone(key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute(GossipStrategy):
    """Forgets no node for an hour."""

    ttl_s: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow(GossipStrategy):
    """Finds no node for a minute."""

    async def discover(self, ctx):
        loop = asyncio.get_running_loop()
        begins_s = loop.time() + 60
        async with aclosing(GossipStrategy.discover(self, ctx)) as observations:
            async for observation in observations:
                if loop.time() >= begins_s:
                    yield observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Deaf(GossipStrategy):
    """Ignores goodbyes."""

    async def discover(self, ctx):
        async with aclosing(GossipStrategy.discover(self, ctx)) as observations:
            async for observation in observations:
                if not isinstance(observation, Gone):
                    yield observation


class Coarse(TcpConnector):
    """Reports goodbyes as crashes."""

    async def start(self, local, links):
        down = links.down
        links.down = lambda node, reason: down(
            node, Reason.CLOSED if reason is Reason.LEFT else reason
        )
        return await super().start(local, links)


LEAKS = {
    "time.time_ns": lambda: taken_time_ns(),
    "time.clock_gettime": lambda: time.clock_gettime(time.CLOCK_REALTIME),
    "time.process_time": lambda: time.process_time(),
    "time.localtime": lambda: time.localtime(),
    "time.gmtime": lambda: time.gmtime(None),
    "time.strftime": lambda: time.strftime("%H:%M"),
    "random.choice": lambda: taken_choice([1, 2]),
    "random._urandom": lambda: secrets.token_hex(4),
    "uuid.uuid1": lambda: uuid.uuid1(),
    "Popen.__init__": lambda: subprocess.run(["true"], check=True),
    "os.system": lambda: os.system("true"),
    "os.fork": lambda: os.fork() or os._exit(0),
    "os._exit": lambda: os._exit(3),
    "Condition.wait": lambda: threading.Event().wait(0.001),
    "socket.gethostname": lambda: socket.gethostname(),
    "time.time": lambda: time.time(),
    "time.monotonic": lambda: time.monotonic(),
    "time.sleep": lambda: time.sleep(0.001),
    "random.random": lambda: random.random(),
    "random.shuffle": lambda: random.shuffle([1, 2]),
    "random.Random without a seed": lambda: random.Random(),
    "os.urandom": lambda: os.urandom(8),
    "Thread.start": lambda: threading.Thread(target=print).start(),
    "socket.getaddrinfo": lambda: socket.getaddrinfo("localhost", 80),
    "socket.__init__": lambda: socket.socket(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaking(GossipStrategy):
    """Reaches for the real world.

    Args:
        what: Which of ``LEAKS``.
    """

    what: str

    async def discover(self, ctx):
        LEAKS[self.what]()
        async with aclosing(GossipStrategy.discover(self, ctx)) as observations:
            async for observation in observations:
                yield observation
