"""Converts between endpoints and the address tuples of sockets."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from typing import Any

from cluster_kit.host import is_link_local
from cluster_kit.network import Endpoint

SockAddr = tuple[Any, ...]


def endpoint_of(sockaddr: SockAddr) -> Endpoint:
    """Return the endpoint of a socket's address; see ``host_of`` for its host."""
    return Endpoint(host_of(sockaddr), sockaddr[1])


def host_of(sockaddr: SockAddr) -> str:
    """Return the host: link-local with its interface, IPv4-mapped as IPv4."""
    host: str = sockaddr[0]
    if ":" not in host:
        return host
    if is_link_local(host) and sockaddr[3] and "%" not in host:
        with suppress(OSError):  # the interface is gone, and its name with it
            return f"{host}%{socket.if_indextoname(sockaddr[3])}"
    return host.removeprefix("::ffff:")


def sockaddr_of(host: str, port: int) -> tuple[socket.AddressFamily, SockAddr]:
    """Return the address family and the address for a socket.

    Raises:
        OSError: ``host`` isn't an address, or its interface doesn't exist.
    """
    if ":" not in host:
        _check(socket.AF_INET, host)
        return socket.AF_INET, (host, port)
    address, _, name = host.partition("%")
    _check(socket.AF_INET6, address)
    return socket.AF_INET6, (address, port, 0, number_of(name) if name else 0)


def _check(family: socket.AddressFamily, address: str) -> None:
    try:
        socket.inet_pton(family, address)
    except (OSError, ValueError) as exc:  # ValueError: a null byte
        raise socket.gaierror(socket.EAI_NONAME, "not an IP address") from exc


def number_of(interface: str) -> int:
    """Return the number by which sockets identify an interface.

    Raises:
        OSError: There is no such interface.
    """
    try:
        return socket.if_nametoindex(interface)
    except OSError as exc:  # without an errno
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from exc
