"""Converts between addresses as sockets have them and endpoints."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from typing import Any

from cluster_kit.host import is_of_link
from cluster_kit.network import Endpoint

SockAddr = tuple[Any, ...]


def endpoint_of(sockaddr: SockAddr) -> Endpoint:
    """Return the endpoint: a link-local address with its interface, an IPv4-mapped one as IPv4."""
    return Endpoint(host_of(sockaddr), sockaddr[1])


def host_of(sockaddr: SockAddr) -> str:
    """Return the address alone, in the same form."""
    host: str = sockaddr[0]
    if ":" not in host:
        return host
    if is_of_link(host) and sockaddr[3] and "%" not in host:
        with suppress(OSError):  # the interface is gone, and its name with it
            return f"{host}%{socket.if_indextoname(sockaddr[3])}"
    return host.removeprefix("::ffff:")


def sockaddr_of(host: str, port: int) -> tuple[socket.AddressFamily, SockAddr]:
    """Return family and address for a socket.

    Raises:
        OSError: ``host`` is no address, or its interface is not there.
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
    except (OSError, ValueError) as exc:  # the latter of a null byte
        raise socket.gaierror(socket.EAI_NONAME, "not an IP address") from exc


def number_of(interface: str) -> int:
    """Return the number by which sockets know an interface.

    Raises:
        OSError: There is no such interface.
    """
    try:
        return socket.if_nametoindex(interface)
    except OSError as exc:  # it has no errno
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from exc
