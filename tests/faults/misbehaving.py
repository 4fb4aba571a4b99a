"""Plugins that do what plugins should not, each in its own way; named by ``misbehaving:Class`` in configurations."""

import asyncio
import ctypes
import os
import time
from dataclasses import dataclass
from pathlib import Path

from cluster_kit import Connector, Found, Node, Seen, Strategy, Topology, command


@dataclass(frozen=True, slots=True, kw_only=True)
class RaisesOnThirdAnswer(Strategy):
    peer: str
    address: str

    async def discover(self, ctx):
        for _ in range(2):
            yield Found([Node(self.peer, self.address)])
        raise RuntimeError("the third answer is one too many")


class BlocksTheLoop(Strategy):
    async def discover(self, ctx):
        yield Found([])
        time.sleep(3600)  # noqa: ASYNC251 - that is the fault


class SpinsTheLoop(Strategy):
    async def discover(self, ctx):
        yield Found([])
        while True:
            pass


class ExitsTheProcess(Strategy):
    async def discover(self, ctx):
        yield Found([])
        os._exit(3)


class RaisesSystemExit(Strategy):
    async def discover(self, ctx):
        yield Found([])
        raise SystemExit(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Floods(Strategy):
    observations: int = 1_000_000

    async def discover(self, ctx):
        for number in range(self.observations):
            yield Seen(Node(f"n{number}@flood"), 600.0)


class YieldsNonsense(Strategy):
    async def discover(self, ctx):
        yield "nonsense"


class NeverSaysGoodbye(Strategy):
    async def discover(self, ctx):
        while True:
            try:
                yield Found([])
                await asyncio.sleep(3600)
            except (asyncio.CancelledError, GeneratorExit):
                await asyncio.sleep(3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Knows(Strategy):
    """Well-behaved: knows one peer for ever."""

    peer: str = "peer@127.0.0.1"
    address: str = "127.0.0.1:9"

    async def discover(self, ctx):
        yield Found([Node(self.peer, self.address)])


class CannotSelect(Topology):
    def select(self, local, known):
        raise RuntimeError("no choice")


class ServesForAWhile(Strategy):
    """Ends its process twice, and then behaves; counts in the file that the environment names."""

    async def discover(self, ctx):
        yield Found([])
        if runs_so_far() < 2:
            os._exit(3)


def runs_so_far() -> int:
    path = Path(os.environ["CLUSTER_KIT_TEST_COUNT"])
    count = int(path.read_text()) if path.exists() else 0
    path.write_text(str(count + 1))
    return count


class HangsInConnect(Connector):
    async def start(self, local, links):
        self._links = links
        return local.evolve(address="127.0.0.1:1")

    async def connect(self, node):
        await asyncio.Event().wait()

    async def disconnect(self, node):
        pass

    async def stop(self):
        pass

    @command
    def add(self, a, b):
        return a + b

    @command
    async def fail(self):
        raise RuntimeError("as asked")

    @command
    async def hang(self):
        await asyncio.Event().wait()

    @command
    def leak(self):
        return object()

    @command
    def tell(self, kind, data):
        self._links.event(kind, data)

    def secret(self):
        return "not a command"


class CannotStart(Connector):
    async def start(self, local, links):
        raise RuntimeError("no way")

    async def connect(self, node):
        raise AssertionError

    async def disconnect(self, node):
        raise AssertionError

    async def stop(self):
        pass


def hold_the_gil(seconds: int) -> None:
    """Block every thread of this interpreter, as a C extension can."""
    ctypes.PyDLL(None).sleep(seconds)


class HangsInStart(HangsInConnect):
    async def start(self, local, links):
        await asyncio.Event().wait()
