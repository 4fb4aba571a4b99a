"""The two sockets of gossip, and what to do when they can't be had.

The shared one hears what is sent to the group, in every process of the host that opened one. The private one sends, and
hears what is sent back to it: a unicast to a shared port would reach only one of the processes that share it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

from cluster_kit.errors import DiscoveryError
from cluster_kit.host import is_of_link
from cluster_kit.node import join_address
from cluster_kit.strategies.gossip import GossipStrategy
from cluster_kit.strategies.gossip.ways import Way, heard_on
from cluster_kit.wire.gossip import MAX_DATAGRAM_BYTES, Source

BATCH = 64  # datagrams between two turns of the event loop: a flood starves nobody
RECEIVE_BUFFER_BYTES = 1 << 20  # all nodes of a large cluster may speak at once; the kernel grants what it allows
_IP_MULTICAST_ALL = 49  # <linux/in.h>; the socket module doesn't name it
_IPV6_MULTICAST_ALL = 29  # <linux/in6.h>

_NO_INTERFACE = (
    "no interface of this machine has that address; correct the host in the node's name, or multicast_if, if_addr "
    "or the broadcast address"
)
_NO_PERMISSION = "no permission; choose a port above 1023, on all nodes"
_OPEN_CURES = {
    errno.EADDRINUSE: "the port is in use by a program that doesn't share it; stop that, or choose another port on all nodes",
    errno.EACCES: _NO_PERMISSION,
    errno.EPERM: _NO_PERMISSION,
    errno.EADDRNOTAVAIL: _NO_INTERFACE,
    errno.ENODEV: _NO_INTERFACE,
    errno.EAFNOSUPPORT: "this machine has no IPv6; use a host with an IPv4 address",
}

_INTERFACE_GONE = "its interface is down or gone; bring it back"
_SEND_CURES = {
    errno.EPERM: "a firewall forbids it; allow UDP to that port",
    errno.EACCES: "it is no broadcast address of this network; correct multicast_addr",
    errno.ENETUNREACH: _INTERFACE_GONE,
    errno.ENETDOWN: _INTERFACE_GONE,
    errno.ENODEV: _INTERFACE_GONE,
    errno.EADDRNOTAVAIL: _INTERFACE_GONE,
    errno.EINVAL: _INTERFACE_GONE,  # the address that the socket is bound to has been removed
}
_FULL = frozenset({errno.EAGAIN, errno.ENOBUFS})  # as good as lost on the way; the next one will do


class Sockets:
    """An open pair of sockets.

    Args:
        options: How to gossip.
        way: Where to speak, and to which group.

    Raises:
        DiscoveryError: They can't be opened; says why and what to do.
    """

    def __init__(self, options: GossipStrategy, way: Way) -> None:
        self._way = way
        self._group = (way.group, options.port)
        self._loop = asyncio.get_running_loop()
        with ExitStack() as opened:
            try:
                self._private = opened.enter_context(_datagram_socket(way.family))
                self._shared = opened.enter_context(_datagram_socket(way.family))
                self._open_private(options)
                self._open_shared(options)
            except OSError as exc:
                raise self._error("use", exc, _OPEN_CURES) from exc
            opened.pop_all()

    def _open_private(self, options: GossipStrategy) -> None:
        sock = self._private
        sock.bind(self._sockaddr((self._way.address, 0)))
        if options.broadcast_only:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        elif self._way.is_v6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, self._way.ifindex)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, options.multicast_ttl)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(self._way.address))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, options.multicast_ttl)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)

    def _open_shared(self, options: GossipStrategy) -> None:
        sock = self._shared
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # for those who share by this one only
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        if not options.broadcast_only:
            _join(sock, heard_on(options, self._way))
        sock.bind(self._sockaddr(self._group))  # not to 0.0.0.0: so a unicast to the port, from wherever, doesn't reach it

    def listen(self, hear: Callable[[bytes, Source], object]) -> None:
        """Call ``hear`` with each datagram, from the event loop, until ``pause``."""
        for sock in (self._shared, self._private):
            self._loop.add_reader(sock, self._receive, sock, hear)

    def pause(self) -> None:
        """Let the kernel keep what comes in, or lose it."""
        for sock in (self._shared, self._private):
            self._loop.remove_reader(sock)

    def _receive(self, sock: socket.socket, hear: Callable[[bytes, Source], object]) -> None:
        for _ in range(BATCH):
            try:
                datagram, source = sock.recvfrom(MAX_DATAGRAM_BYTES + 1)
            except OSError:  # nothing more to read, or nothing that is meant for us
                return
            hear(datagram, self._source(source))

    def send(self, datagram: bytes, to: Source | None) -> None:
        """Send to one address, as far as that works, or to the group where ``to`` is ``None``.

        Raises:
            DiscoveryError: The group can't be reached; says why and what to do.
        """
        try:
            self._private.sendto(datagram, self._sockaddr(to or self._group))
        except OSError as exc:
            if to is None and exc.errno not in _FULL:
                raise self._error("send to", exc, _SEND_CURES) from exc

    def _sockaddr(self, address: Source) -> tuple[Any, ...]:
        """Return ``address`` as sockets want it; our group, and what is of the link, is meant on our interface."""
        host, port = address
        if not self._way.is_v6:
            return address
        return host.partition("%")[0], port, 0, self._way.ifindex if is_of_link(host) or address == self._group else 0

    def _source(self, sockaddr: tuple[Any, ...]) -> Source:
        """Return where a datagram came from; an address of the link has the interface with it, as we call it."""
        host, port = sockaddr[:2]
        return (f"{host}%{self._way.name}" if self._way.is_v6 and is_of_link(host) else host), port

    def close(self) -> None:
        """Close both."""
        self.pause()
        self._private.close()
        self._shared.close()

    def _error(self, doing: str, exc: OSError, cures: dict[int, str]) -> DiscoveryError:
        group, port = self._group
        why = cures.get(exc.errno or 0, (exc.strerror or str(exc)).lower())
        return DiscoveryError(
            f"gossip: cannot {doing} {join_address(group, port)} on {self._way.address!r}: {why}; trying again",
            strategy="gossip",
        )


def _join(sock: socket.socket, way: Way) -> None:
    """Hear what is sent to the group on one interface."""
    if way.is_v6:
        membership = socket.inet_pton(socket.AF_INET6, way.group) + struct.pack("@I", way.ifindex)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
        _hear_no_other(sock, socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL)
    else:
        membership = socket.inet_aton(way.group) + socket.inet_aton(way.address)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        _hear_no_other(sock, socket.IPPROTO_IP, _IP_MULTICAST_ALL)


def _hear_no_other(sock: socket.socket, level: int, multicast_all: int) -> None:
    """Linux also delivers what other sockets joined the group for, on other interfaces, unless told not to."""
    if sys.platform == "linux":
        with suppress(OSError):  # what stands in for Linux, such as gVisor, may not know it
            sock.setsockopt(level, multicast_all, 0)


def _datagram_socket(family: socket.AddressFamily) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return sock
