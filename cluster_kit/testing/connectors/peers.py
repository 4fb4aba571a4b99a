"""Other ends that a connector meets: strangers, and peers that can crash or freeze."""

from __future__ import annotations

import asyncio
import pickle
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cluster_kit.abc import Connector
from cluster_kit.node import Node
from cluster_kit.security.keys import Keyring
from cluster_kit.testing.fakes import DEADLINE_S
from cluster_kit.testing.processes.peer import ModuleLocation

_CHUNK_BYTES = 65536

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(eq=False)
class Stranger:
    """Something that listens at ``address`` and is not a connector.

    Attributes:
        dialled: Set once a connection was opened to it.
        writers: The writing sides of its connections.
        readers: The reading sides of the connections that were opened to it.
    """

    address: str
    dialled: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    readers: list[asyncio.StreamReader] = field(default_factory=list)

    def say(self, data: bytes) -> None:
        """Send ``data`` on all connections."""
        for writer in self.writers:
            writer.write(data)

    def hang_up(self) -> None:
        """Close all connections."""
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()


@dataclass(frozen=True, slots=True)
class StrangerFactory:
    """Makes strangers, by the two methods that open raw connections of a transport."""

    listen_raw: Callable[[Handle], AbstractAsyncContextManager[str]]
    dial_raw: Callable[[str], Awaitable[Streams]]
    deadline_s: float

    @asynccontextmanager
    async def listening(self, answer: bytes = b"") -> AsyncIterator[Stranger]:
        """Run a stranger that answers each connection with ``answer`` and ends it, or is silent."""
        stranger = Stranger("")

        def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            stranger.writers.append(writer)
            stranger.readers.append(reader)
            if answer:
                writer.write(answer)
                writer.write_eof()
            stranger.dialled.set()

        async with self.listen_raw(handle) as stranger.address:
            try:
                yield stranger
            finally:
                stranger.hang_up()

    @asynccontextmanager
    async def dialling(self, address: str) -> AsyncIterator[Streams]:
        """Yield a raw connection to ``address`` on which nothing was sent."""
        reader, writer = await self.dial_raw(address)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    @asynccontextmanager
    async def relaying(self, address: str) -> AsyncIterator[Stranger]:
        """Run a stranger that relays each connection to ``address``, and can add bytes to it."""
        stranger = Stranger("")
        pumps: set[asyncio.Task[None]] = set()

        async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far_reader, far_writer = await self.dial_raw(address)
            stranger.writers.append(far_writer)
            pumps.add(asyncio.create_task(_pump(far_reader, writer)))
            await _pump(reader, far_writer)

        def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            stranger.writers.append(writer)
            pumps.add(asyncio.create_task(join(reader, writer)))

        async with self.listen_raw(handle) as stranger.address:
            try:
                yield stranger
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
                stranger.hang_up()

    async def until_closed(self, reader: asyncio.StreamReader) -> None:
        """Read until the other end has closed the connection."""
        try:
            async with asyncio.timeout(self.deadline_s):
                while await reader.read(_CHUNK_BYTES):
                    pass
        except TimeoutError:
            raise AssertionError(
                f"the connection is still open after {self.deadline_s:g} s"
            ) from None
        except OSError:
            return


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
    except OSError:
        pass
    finally:
        writer.transport.abort()


class PeerApart(Protocol):
    """A started peer that can crash and freeze."""

    @property
    def node(self) -> Node:
        """What its ``start`` returned."""

    async def crash(self) -> None:
        """End without a goodbye."""

    def freeze(self) -> None:
        """Neither read nor send from now on, and keep all connections open."""


@dataclass(frozen=True, slots=True)
class _PeerProcess:
    node: Node
    process: asyncio.subprocess.Process

    async def crash(self) -> None:
        self.process.kill()
        await self.process.wait()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)


def _location_of(connector: Connector) -> ModuleLocation:
    module = sys.modules[type(connector).__module__]
    return ModuleLocation(sys.path, module.__name__, str(Path(module.__file__ or "").absolute()))


@asynccontextmanager
async def peer_process(
    connector: Connector, local: Node, *, dial: Node | None, keyring: Keyring | None = None
) -> AsyncIterator[PeerApart]:
    """Run ``connector`` as ``local`` in a separate process, and kill it at the end."""
    location = _location_of(connector)
    command = (sys.executable, "-m", "cluster_kit.testing.processes.peer")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        for part in (location, (connector, local, dial, keyring)):
            process.stdin.write(pickle.dumps(part).hex().encode() + b"\n")
        async with asyncio.timeout(DEADLINE_S):
            answer = await process.stdout.readline()
        assert answer, (
            f"{local.key} did not start in a separate process; see standard error for the reason"
        )
        yield _PeerProcess(pickle.loads(bytes.fromhex(answer.decode())), process)  # noqa: S301 - our own child wrote it
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
