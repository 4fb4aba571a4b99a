"""Datagrams of one group on two of the system's sockets.

The shared socket receives the datagrams to the group, like that of every other process of this
host. The private socket sends, and receives the answers.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import islice
from typing import NamedTuple

from cluster_kit.host import is_link_local
from cluster_kit.network import Datagram, Datagrams, Endpoint, Group
from cluster_kit.network.faults import network_error
from cluster_kit.network.sockaddrs import SockAddr, host_of, number_of, sockaddr_of

BATCH = 64  # datagrams in one turn of the event loop, so that a flood starves nothing else
RECEIVE_BUFFER_BYTES = 1 << 20  # for a burst from all nodes of a large cluster; may be capped
_IP_MULTICAST_ALL = 49  # <linux/in.h>; the socket module doesn't name it
_IPV6_MULTICAST_ALL = 29  # <linux/in6.h>
_FULL = frozenset({errno.EAGAIN, errno.ENOBUFS})  # no room: the same as a loss on the way

Hear = Callable[[Sequence[Datagram]], object]


class _Side(NamedTuple):
    """An interface to send or receive on; IPv4 identifies it by its address, IPv6 by its number."""

    address: str
    number: int = 0
    name: str = ""


class SystemDatagrams(Datagrams):
    """An open pair of sockets.

    Raises:
        OSError: The sockets can't be opened.
    """

    def __init__(self, group: Group, max_bytes: int) -> None:
        self._size_bytes = max_bytes + 1
        self._loop = asyncio.get_running_loop()
        self._is_listening = False
        with ExitStack() as opened:
            family, sockaddr = sockaddr_of(group.address, group.port)
            self._is_v6 = family == socket.AF_INET6
            self._via = self._side(group.via)
            self._group: SockAddr = (*sockaddr[:3], self._via.number) if self._is_v6 else sockaddr
            self._private = opened.enter_context(_datagram_socket(family))
            self._shared = opened.enter_context(_datagram_socket(family))
            self._open_private(group)
            self._open_shared(group)
            opened.pop_all()
        self.here = self._endpoint(self._private.getsockname())

    def _side(self, address: str) -> _Side:
        host, _, name = address.partition("%")
        return _Side(host, number_of(name), name) if self._is_v6 else _Side(host)

    def _open_private(self, group: Group) -> None:
        sock = self._private
        sock.bind(self._sockaddr(self._via.address, 0))
        if group.is_broadcast:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        elif self._is_v6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, self._via.number)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, group.hops)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)
        else:
            via = socket.inet_aton(self._via.address)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, via)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, group.hops)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)

    def _open_shared(self, group: Group) -> None:
        sock = self._shared
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # for programs that share the port by this option alone
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        if not group.is_broadcast:
            _join(sock, group.address, self._side(group.heard_on))
        sock.bind(self._group)  # not to 0.0.0.0, so that unicasts to the port don't reach it

    def listen(self, hear: Hear) -> None:
        """Listen on both sockets."""
        self._is_listening = True
        for sock in (self._shared, self._private):
            self._loop.add_reader(sock, self._receive, sock, hear)

    def pause(self) -> None:
        """Leave datagrams to the kernel, which queues or drops them."""
        if self._is_listening:
            self._is_listening = False
            for sock in (self._shared, self._private):
                self._loop.remove_reader(sock)

    def _receive(self, sock: socket.socket, hear: Hear) -> None:
        if self._is_listening and (datagrams := list(islice(self._waiting(sock), BATCH))):
            hear(datagrams)

    def _waiting(self, sock: socket.socket) -> Iterator[Datagram]:
        with suppress(OSError):  # nothing more to read, or the error of an earlier send
            while True:
                data, sockaddr = sock.recvfrom(self._size_bytes)
                yield Datagram(data, self._endpoint(sockaddr))

    def _endpoint(self, sockaddr: SockAddr) -> Endpoint:
        host, port = sockaddr[:2]
        if not self._is_v6:
            return Endpoint(host, port)
        if sockaddr[3] == self._via.number and is_link_local(host):
            return Endpoint(f"{host}%{self._via.name}", port)  # nearly always; saves a system call
        return Endpoint(host_of(sockaddr), port)

    def send(self, data: bytes, to: Endpoint | None = None) -> None:
        """Send from the private socket."""
        try:
            self._private.sendto(data, self._group if to is None else self._sockaddr(*to))
        except OSError as exc:
            if to is None and exc.errno not in _FULL:
                raise network_error(exc) from exc
        except OverflowError:  # no such port
            pass

    def _sockaddr(self, host: str, port: int) -> SockAddr:
        """Return the socket's form of an address; a link-local one gets our interface."""
        if not self._is_v6:
            return host, port
        scope = self._via.number if is_link_local(host) else 0
        return host.partition("%")[0], port, 0, scope

    def close(self) -> None:
        """Close both sockets."""
        if self._private.fileno() >= 0:
            self.pause()
            self._private.close()
            self._shared.close()


def _join(sock: socket.socket, group: str, side: _Side) -> None:
    """Receive what is sent to the group on one interface."""
    if side.number:
        membership = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", side.number)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
        _receive_only_joined(sock, socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL)
    else:
        membership = socket.inet_aton(group) + socket.inet_aton(side.address)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        _receive_only_joined(sock, socket.IPPROTO_IP, _IP_MULTICAST_ALL)


def _receive_only_joined(sock: socket.socket, level: int, multicast_all: int) -> None:
    """Make Linux deliver only from the interface on which this socket has joined the group.

    By default, Linux also delivers from interfaces on which other sockets have joined it.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # substitutes for Linux, such as gVisor, may not know the option
            sock.setsockopt(level, multicast_all, 0)


def _datagram_socket(family: socket.AddressFamily) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return sock
