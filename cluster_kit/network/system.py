"""The system's own network: only here are sockets, clocks and randomness created."""

from __future__ import annotations

import errno
import resource
import socket
import time
from collections.abc import Sequence
from random import Random
from typing import Literal

from cluster_kit.network import (
    Clock,
    Datagrams,
    Endpoint,
    Group,
    Interface,
    Listener,
    Network,
    Stream,
)
from cluster_kit.network.datagrams import SystemDatagrams
from cluster_kit.network.faults import network_errors
from cluster_kit.network.interfaces import interfaces
from cluster_kit.network.sockaddrs import host_of, sockaddr_of
from cluster_kit.network.streams import INBOX_BYTES, SystemListener, dial
from cluster_kit.resolving import resolve

_FAMILIES = {None: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}
_UNLIMITED = 2**31


class SystemClock(Clock):
    """The system's clocks."""

    def monotonic_s(self) -> float:
        """Return the clock of event loops."""
        return time.monotonic()

    def wall_s(self) -> float:
        """Return the time of day."""
        return time.time()


class SystemNetwork(Network):
    """The network of this machine; one instance serves one event loop."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.most_streams = _UNLIMITED if soft == resource.RLIM_INFINITY else soft
        # All streams share one receive buffer, so that idle ones need none.
        self._inbox = memoryview(bytearray(INBOX_BYTES))

    def random(self, concern: str) -> Random:
        """Return a source seeded by the system."""
        return Random()

    async def resolve(self, host: str, *, version: Literal[4, 6] | None = None) -> Sequence[str]:
        """Ask the system's resolver, in a thread unless ``host`` is an address."""
        with network_errors():
            found = await resolve(host, family=_FAMILIES[version])
        return list(dict.fromkeys(host_of(sockaddr) for *_, sockaddr in found))

    def interfaces(self) -> Sequence[Interface]:
        """Return the addresses on Linux, none on other systems."""
        return interfaces()

    def has_address(self, address: str) -> bool:
        """Whether a socket can be bound to ``address``."""
        try:
            family, sockaddr = sockaddr_of(address, 0)
        except OSError:
            return False
        try:
            with socket.socket(family, socket.SOCK_STREAM) as sock:
                sock.bind(sockaddr)
        except OSError as exc:
            return exc.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
        return True

    async def listen(self, at: Endpoint) -> Listener:
        """Listen on a TCP socket."""
        with network_errors():
            return SystemListener(at, self._inbox)

    async def dial(self, to: Endpoint) -> Stream:
        """Connect a TCP socket."""
        with network_errors():
            return await dial(to, self._inbox)

    async def join(self, group: Group, *, max_bytes: int) -> Datagrams:
        """Open UDP sockets."""
        with network_errors():
            return SystemDatagrams(group, max_bytes)
