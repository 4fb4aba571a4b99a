"""Asks one EPMD, holds a registration there, and explains failures."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from cluster_kit.errors import DiscoveryError, RemoteProtocolError, cause_of
from cluster_kit.node import join_address
from cluster_kit.resolving import addresses_of, cure_of, resolve
from cluster_kit.wire import epmd as wire
from cluster_kit.wire.epmd import Dumped, Registered, Registration

AT_ONCE = 16  # names asked for at a time; EPMD serves one connection after the other

_MUTE = (
    "it accepts connections but sends nothing: EPMD hangs, or another program listens there; "
    "restart it, or correct epmd_port"
)
_DOWN = "the host is down, or a firewall drops TCP to that port; start it, or open the port"
_NOT_EPMD = "another program than EPMD listens there: correct epmd_port, or stop it"
_CAUSES = {
    errno.ECONNREFUSED: (
        "connection refused: EPMD is not running there, or listens on other addresses of that host "
        "only (ERL_EPMD_ADDRESS); start 'epmd -port {port} -daemon' or any Erlang node"
    ),
    errno.ECONNRESET: "it closed the connection without an answer; look at the log of that EPMD",
    errno.EHOSTUNREACH: f"no route to host: {_DOWN}",
    errno.ENETUNREACH: "the network is unreachable; correct the host, or this machine's routes",
    errno.EMFILE: "this process has no descriptors left; raise its limit (ulimit -n)",
}


class Epmd:
    """One EPMD; ask it inside ``async with epmd.answering()``, which limits the time."""

    def __init__(self, host: str, port: int, deadline_s: float) -> None:
        self._host = host
        self._port = port
        self._deadline_s = deadline_s
        self._connected = False

    def __str__(self) -> str:
        return f"EPMD at {join_address(self._host, self._port)}"

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Turn failures inside the block, including a timeout, into ``DiscoveryError``."""
        try:
            async with asyncio.timeout(self._deadline_s):
                yield
        except (OSError, RemoteProtocolError) as exc:
            raise DiscoveryError(f"{self}: {self._cause(exc)}") from exc

    def _cause(self, error: OSError | RemoteProtocolError) -> str:
        if isinstance(error, RemoteProtocolError):
            return f"{error}; {_NOT_EPMD}"
        if isinstance(error, socket.gaierror):
            return f"the host name does not resolve; {cure_of(error)}"
        if isinstance(error, TimeoutError):
            return f"no answer within {self._deadline_s:g} s: {_MUTE if self._connected else _DOWN}"
        cause = _CAUSES.get(error.errno or 0, f"{cause_of(error)}; correct the host or epmd_port")
        return cause.replace("{port}", str(self._port))

    async def names(self) -> dict[str, int]:
        """Return the port of each name that is registered."""
        return wire.read_names(await self._ask(wire.names_request(), wire.MAX_LISTING_BYTES))

    async def dump(self) -> tuple[Dumped, ...]:
        """Return each name that it remembers, whether still registered or not."""
        return wire.read_dump(await self._ask(wire.dump_request(), wire.MAX_LISTING_BYTES))

    async def find(self, name: str) -> Registration | None:
        """Return what is registered under ``name``."""
        found = wire.read_port(await self._ask(wire.port_request(name), wire.MAX_PORT_ANSWER_BYTES))
        if found is not None and found.name != name:
            what = f"asked for {name!r}, it answered about {found.name[:80]!r}"
            raise RemoteProtocolError(f"epmd: {what}")
        return found

    async def find_all(self, names: Iterable[str]) -> list[Registration]:
        """Return what is registered under ``names``; those that aren't are left out."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def find(name: str) -> Registration | None:
            async with turns:
                return await self.find(name)

        try:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(find(name)) for name in names]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [found for task in asked if (found := task.result()) is not None]

    async def register(
        self, registration: Registration
    ) -> tuple[Registered, asyncio.StreamReader, asyncio.StreamWriter]:
        """Return the answer, and the connection, which keeps an accepted registration in force."""
        reader, writer = await self._connect()
        try:
            writer.write(wire.register_request(registration))
            answer = b""
            while (registered := wire.read_registered(answer)) is None:
                data = await reader.read(64)
                if not data:
                    raise ConnectionResetError(errno.ECONNRESET, "closed")
                answer += data
        except BaseException:
            writer.transport.abort()
            raise
        return registered, reader, writer

    async def _ask(self, request: bytes, limit: int) -> bytes:
        reader, writer = await self._connect()
        try:
            writer.write(request)
            answer = b""
            while data := await reader.read(65536):
                answer += data
                if len(answer) > limit:
                    raise RemoteProtocolError(f"epmd: an answer of more than {limit} bytes")
        finally:
            writer.transport.abort()
        if not answer:
            raise ConnectionResetError(errno.ECONNRESET, "closed")
        return answer

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the first address of the host that answers; each gets a share of the time."""
        addresses = addresses_of(await resolve(self._host, self._port))
        error: OSError = socket.gaierror(socket.EAI_NONAME, "no address")
        for address in addresses:
            try:
                async with asyncio.timeout(self._deadline_s / len(addresses)):
                    streams = await asyncio.open_connection(address, self._port)
            except OSError as exc:
                error = exc
            else:
                self._connected = True
                return streams
        raise error
