"""Addresses as sockets have them, and as the contract has them."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from cluster_kit.host import is_of_link
from cluster_kit.network import Endpoint
from cluster_kit.resolving import numeric

SockAddr = tuple[Any, ...]


def endpoint_of(sockaddr: SockAddr) -> Endpoint:
    """Return address and port; an address of the link with its interface, an IPv4-mapped one as IPv4."""
    return Endpoint(host_of(sockaddr), sockaddr[1])


def host_of(sockaddr: SockAddr) -> str:
    """Return the address alone, in the same form."""
    host: str = sockaddr[0]
    if ":" not in host:
        return host
    if is_of_link(host) and sockaddr[3] and "%" not in host:
        with suppress(OSError):  # the interface is gone: nothing tells its name any more
            return f"{host}%{socket.if_indextoname(sockaddr[3])}"
    return host.removeprefix("::ffff:")


def sockaddr_of(host: str, port: int) -> tuple[socket.AddressFamily, SockAddr]:
    """Return family and address for a socket.

    Raises:
        OSError: ``host`` is no address, or its interface is not there.
    """
    family, _, _, _, sockaddr = numeric(host, port)[0]
    return socket.AddressFamily(family), sockaddr
