"""Plugins that do what plugins should not; configurations name them ``misbehaving:Class``."""

import asyncio
import contextlib
import ctypes
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from cluster_kit import (
    BootId,
    ClusterKitError,
    ConfigError,
    Connector,
    DiscoveryError,
    Failed,
    Found,
    Node,
    Seen,
    Strategy,
    Supervisor,
    Topology,
    command,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RaisesOnThirdAnswer(Strategy):
    peer: str
    address: str

    async def discover(self, ctx):
        for _ in range(2):
            yield Found([Node(self.peer, self.address)])
        raise RuntimeError("the third answer is one too many")


FORGETS_S = 2.0


class ForgetsSoon(Strategy):
    """Has its worker believe what a predecessor left for a short time only."""

    def __init__(self):
        worker = sys.modules.get("cluster_kit.worker.worker")
        if worker is not None:
            worker._HANDED_OVER_TTL_S = FORGETS_S

    async def discover(self, ctx):
        for observation in ():
            yield observation


def links_to_anybody(node):
    """Serve as the ``connect`` of a connector whose links nobody else knows of."""
    return True


REGISTERED_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry(Strategy):
    """A registry with expiring entries, kept in a file of words: names, ``fails`` or ``raises``."""

    path: str

    def words(self):
        return Path(self.path).read_text().split()

    async def discover(self, ctx):
        while True:
            for word in self.words():
                if word == "raises":
                    raise RuntimeError("lost my mind")
                yield (
                    Failed(DiscoveryError("registry: no answer"))
                    if word == "fails"
                    else Seen(Node(word), REGISTERED_S)
                )
            await asyncio.sleep(REGISTERED_S / 10)


class BlocksTheLoop(Strategy):
    async def discover(self, ctx):
        yield Found([])
        time.sleep(3600)  # noqa: ASYNC251 - that is the fault


class SpinsTheLoop(Strategy):
    async def discover(self, ctx):
        yield Found([])
        while True:
            pass


class HoldsTheLock(Strategy):
    async def discover(self, ctx):
        yield Found([])
        while True:
            hold_the_gil(3600)  # a signal ends it early


class ExitsTheProcess(Strategy):
    async def discover(self, ctx):
        yield Found([])
        os._exit(3)


class ExitsNormally(Strategy):
    async def discover(self, ctx):
        yield Found([Node("gone@127.0.0.1", "127.0.0.1:1")])
        await asyncio.sleep(0.2)  # so that the application hears of it
        os._exit(0)


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


class OwnBase(BaseException):
    """Neither an Exception nor anything that the core knows."""


class Mute(Exception):  # noqa: N818 - what it is called is no matter
    """Has no text."""

    def __str__(self):
        raise OwnBase("no text either")


class OwnError(ConfigError):
    """An error of the core's family that cannot go through a pipe."""

    def __init__(self, message):
        super().__init__(message)
        self.lock = threading.Lock()


class Sticky(str):
    """Text that no other process can read."""

    def __reduce__(self):
        return _explode, ()


class Explodes:
    """Can be sent, and not be read."""

    def __reduce__(self):
        return _explode, ()


def _explode():
    raise OwnBase("nobody can read this")


class CancelsItself(Strategy):
    async def discover(self, ctx):
        yield Found([])
        asyncio.current_task().cancel()
        await asyncio.Event().wait()


class HangsWhenClosed(Strategy):
    async def discover(self, ctx):
        try:
            yield "nonsense"
        finally:
            await asyncio.Event().wait()


RAISED = {
    "cancelled": asyncio.CancelledError,
    "exit": GeneratorExit,
    "interrupt": KeyboardInterrupt,
    "own": OwnBase,
    "mute": Mute,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RaisesOddly(Strategy):
    what: str

    async def discover(self, ctx):
        yield Found([])
        raise RAISED[self.what]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectsOddly(HangsInConnect):
    """Raises in everything that it is asked for once it has started, or returns what is no node."""

    what: str = "own"
    tries: list[str] = field(default_factory=list, init=False)

    async def start(self, local, links):
        return local.evolve(address="127.0.0.1:1")

    async def connect(self, node):
        self.tries.append(node.key)
        if self.what == "cancels itself":
            asyncio.current_task().cancel()
            await asyncio.Event().wait()
        if self.what in RAISED:
            raise RAISED[self.what]

    async def update(self, local, leaving):
        raise RAISED.get(self.what, OwnBase)

    disconnect = connect

    async def stop(self):
        raise RAISED.get(self.what, OwnBase)

    @command
    def tried(self):
        return list(self.tries)

    @command
    def odd(self):
        raise RAISED.get(self.what, OwnBase)


class GoesOnWhenCancelled(HangsInConnect):
    """Never gives up a dial to one peer; links to everybody else."""

    def __init__(self):
        self.tries = []

    async def connect(self, node):
        self.tries.append(node.key)
        while node.key == "n0@127.0.0.1":
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
        self._links.up(node)
        return node

    @command
    def tried(self):
        return list(self.tries)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartsOddly(HangsInConnect):
    what: str

    async def start(self, local, links):
        if self.what == "own error":
            raise OwnError("it will not start")
        if self.what in RAISED:
            raise RAISED[self.what]


class SelectsOddly(Topology):
    def select(self, local, roster):
        raise OwnBase("no selection")


class TellsOddly(HangsInConnect):
    @command
    def tell_oddly(self):
        self._links.event(Sticky("odd"), {"fine": True})


class SendsTheUnreadable(Strategy):
    async def discover(self, ctx):
        yield Found([])
        ctx.announced.__self__._receiver.health(Explodes())
        await asyncio.Event().wait()


class SeesManyTwins(Strategy):
    """What a stranger on the network can have a strategy see."""

    async def discover(self, ctx):
        for number in range(2000):
            yield Seen(Node(ctx.local.name, "127.0.0.1:9", boot_id=BootId(number, number)), 60.0)
        yield Seen(Node("last@127.0.0.1", "127.0.0.1:9"), 60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowsMany(Strategy):
    count: int = 200

    async def discover(self, ctx):
        yield Found([Node(f"n{number}@127.0.0.1", "127.0.0.1:9") for number in range(self.count)])


STARTS_A_PROGRAM = """
from cluster_kit import Supervisor
with Supervisor({"topologies": {"x": {"strategy": {"name": "static", "nodes": []}}}}):
    print("it runs")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartsApplications(Strategy):
    """Wants to be an application itself, then starts a program that is one."""

    told: Path

    async def discover(self, ctx):
        try:
            Supervisor({"topologies": {"x": {"strategy": {"name": "static", "nodes": []}}}})
        except ClusterKitError as exc:
            said = str(exc)
        command = [sys.executable, "-c", STARTS_A_PROGRAM]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=30
        )
        self.told.write_text(f"{said}\n{done.stdout or done.stderr}")
        yield Found([])
