"""Opens a connection to an address, and says in our words why that failed."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Collection
from typing import Any

from cluster_kit.errors import ConnectReason, cause_of
from cluster_kit.node import split_address
from cluster_kit.resolving import resolve

STAGGER_S = 0.25  # from one address of a host name to the next, while the first has not answered

End = tuple[str, int]
_Way = tuple[int, int, int, str, tuple[Any, ...]]  # as getaddrinfo has it

_REASON_OF_ERRNO = {
    errno.ECONNREFUSED: ConnectReason.REFUSED,
    errno.ECONNRESET: ConnectReason.RESET,
    errno.ECONNABORTED: ConnectReason.RESET,
    errno.EPIPE: ConnectReason.RESET,
    errno.ETIMEDOUT: ConnectReason.TIMEOUT,
    errno.ENETUNREACH: ConnectReason.UNREACHABLE,
    errno.EHOSTUNREACH: ConnectReason.UNREACHABLE,
    errno.ENETDOWN: ConnectReason.UNREACHABLE,
    errno.EHOSTDOWN: ConnectReason.UNREACHABLE,
    errno.EADDRNOTAVAIL: ConnectReason.UNREACHABLE,
    errno.EINVAL: ConnectReason.UNREACHABLE,
}


async def dial(address: str) -> socket.socket:
    """Return a connection to ``address``: to the first that answers where its host name resolves to several.

    Raises:
        OSError: None of them can be reached.
    """
    return await Route(address).dial()


class Route:
    """The ways to one address: what its host name resolves to, each of which may lead to another node.

    Args:
        address: ``host:port``.
        avoid: Tells which ends of connections are not worth a try.

    Attributes:
        at: The address and port that were reached last.
    """

    def __init__(self, address: str, avoid: Callable[[End], bool] = lambda _: False) -> None:
        self.at: End | None = None
        self._address = address
        self._avoid = avoid
        self._left: list[_Way] | None = None  # None before the look-up
        self._avoided = False

    @property
    def has_more(self) -> bool:
        """Whether there is a way that has not been tried yet."""
        return bool(self._left)

    @property
    def is_avoided(self) -> bool:
        """Whether there are no ways but those to avoid."""
        return self._avoided and self._left == [] and self.at is None

    async def look_up(self) -> None:
        """Find out which ways there are, unless that is known already.

        Raises:
            OSError: The host can't be looked up.
        """
        if self._left is None:
            ways = list(await resolve(*split_address(self._address)))
            self._left = [way for way in ways if not self._avoid(end_of(way[4]))]
            self._avoided = len(self._left) < len(ways)

    async def dial(self) -> socket.socket:
        """Return a connection to the first that answers of those not tried yet; a slow one doesn't hold up the next.

        Source: RFC 8305, section 5, which waits as long between two attempts.

        Raises:
            OSError: None of them can be reached.
        """
        await self.look_up()
        assert self._left is not None
        error: OSError = socket.gaierror(socket.EAI_NONAME, "no address")
        trying: dict[asyncio.Task[socket.socket], _Way] = {}
        try:
            while self._left or trying:
                if self._left:
                    way = self._left.pop(0)
                    trying[asyncio.create_task(_go(way))] = way
                patience_s = STAGGER_S if self._left else None
                done, _ = await asyncio.wait(trying, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    way = trying.pop(task)
                    failure = task.exception()
                    if failure is None:
                        self.at = end_of(way[4])
                        return task.result()
                    if not isinstance(failure, OSError):
                        raise failure
                    error = failure
        finally:
            self._left += trying.values()
            await _call_off(trying)
        raise error


async def _go(way: _Way) -> socket.socket:
    return await connect(socket.socket(*way[:3]), way[4])


async def _call_off(dials: Collection[asyncio.Task[socket.socket]]) -> None:
    for dial in dials:
        dial.cancel()
    for outcome in await asyncio.gather(*dials, return_exceptions=True):
        if isinstance(outcome, socket.socket):
            outcome.close()


def end_of(sockaddr: tuple[Any, ...]) -> End:
    """Return address and port of one end of a connection; an IPv4 address as such, also where a socket serves both."""
    return str(sockaddr[0]).removeprefix("::ffff:"), int(sockaddr[1])


async def connect(sock: socket.socket, sockaddr: tuple[Any, ...]) -> socket.socket:
    """Return ``sock`` connected to ``sockaddr``, else close it."""
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, sockaddr)
        if sock.getsockname() == sock.getpeername():
            # the kernel took the port that we dial as the one that we dial from, and TCP lets a socket connect to itself
            raise ConnectionRefusedError(errno.ECONNREFUSED, "connected to itself")
    except BaseException:
        sock.close()
        raise
    return sock


def reason_of(error: OSError) -> tuple[ConnectReason, str]:
    """Return why dialling failed, and a detail where that says more."""
    if isinstance(error, socket.gaierror):
        return ConnectReason.UNREACHABLE, f"its host name does not resolve ({error.strerror})"
    reason = _REASON_OF_ERRNO.get(error.errno or 0, ConnectReason.FAILED)
    return reason, cause_of(error)
