"""Opens the listening socket, and works out the address under which others reach it."""

from __future__ import annotations

import errno
import socket

from cluster_kit.errors import ConfigError
from cluster_kit.host import canonical_host, is_unspecified
from cluster_kit.node import Node, join_address, split_endpoint
from cluster_kit.resolving import resolve

BACKLOG = 1024  # a cluster that starts dials all at once; the kernel caps it at net.core.somaxconn

_CURES = {
    errno.EADDRINUSE: "the port is in use; choose another one, or 0 for any that is free",
    errno.EACCES: "no permission; choose a port above 1023, or 0 for any that is free",
    errno.EPERM: "no permission; choose a port above 1023, or 0 for any that is free",
    errno.EADDRNOTAVAIL: "no interface of this machine has that address; correct host, or listen on 0.0.0.0 and set advertise",
}


async def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on the first address that ``host`` resolves to.

    Raises:
        ConfigError: That is not possible; says why and what to do.
    """
    try:
        family, kind, proto, _, sockaddr = (await resolve(host, port))[0]
        return _listening(socket.socket(family, kind, proto), sockaddr)
    except OSError as exc:
        raise ConfigError(f"tcp: cannot listen on {join_address(host, port)!r}: {_cure(exc)}") from exc


def _listening(sock: socket.socket, sockaddr: tuple[object, ...]) -> socket.socket:
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(sockaddr)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _cure(error: OSError | UnicodeError) -> str:
    if isinstance(error, socket.gaierror | UnicodeError):
        return "the host name does not resolve; correct the host part of the node's name, or set host"
    return _CURES.get(error.errno or 0, f"{(error.strerror or str(error)).lower()}; set another host or port")


def announced_address(local: Node, host: str | None, port: int, advertise: str | None) -> str:
    """Return the address to tell others: as advertised, else where we listen, else the host part of the name.

    Args:
        local: This node.
        host: The configured host to listen on.
        port: The port that is listened on.
        advertise: ``host`` or ``host:port`` as configured.

    Raises:
        ConfigError: Only an address that means every interface is left.
    """
    if advertise is not None:
        told_host, told_port = split_endpoint(advertise)
        return join_address(told_host, told_port or port)
    told_host = announced_host(local.host, host, advertise)
    if is_unspecified(told_host):
        raise ConfigError(
            f"tcp: cannot announce {told_host!r}: it means every interface; set advertise to the address that others dial"
        )
    return join_address(told_host, port)


def announced_host(own: str, host: str | None, advertise: str | None) -> str:
    """Return the host of the address to tell others; ``own`` is that of this node's name. Else as ``announced_address``."""
    if advertise is not None:
        return split_endpoint(advertise)[0]
    return own if host is None or is_unspecified(host) else canonical_host(host)
