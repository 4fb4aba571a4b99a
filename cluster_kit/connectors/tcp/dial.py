"""Opens a connection to an address, and says in our words why that failed."""

from __future__ import annotations

import asyncio
import errno
import socket

from cluster_kit.errors import ConnectReason
from cluster_kit.node import split_address
from cluster_kit.resolving import resolve

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
    host, port = split_address(address)
    error: OSError = socket.gaierror(socket.EAI_NONAME, "no address")
    for family, kind, proto, _, sockaddr in await resolve(host, port):
        try:
            return await connect(socket.socket(family, kind, proto), sockaddr)
        except OSError as exc:
            error = exc
    raise error


async def connect(sock: socket.socket, sockaddr: tuple[object, ...]) -> socket.socket:
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
    return reason, (error.strerror or str(error)).lower()
