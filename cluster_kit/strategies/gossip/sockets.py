"""The two sockets of gossip, and what to do when they can't be had.

The shared one hears what is sent to the group, in every process of the host that opened one. The private one sends, and
hears what is sent back to it: a unicast to a shared port would reach only one of the processes that share it.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Callable
from contextlib import ExitStack

from cluster_kit.errors import ConfigError, DiscoveryError
from cluster_kit.resolving import resolve
from cluster_kit.strategies.gossip import ANY, GossipStrategy
from cluster_kit.wire.gossip import MAX_DATAGRAM_BYTES, Source

BATCH = 64  # datagrams between two turns of the event loop: a flood starves nobody
RECEIVE_BUFFER_BYTES = 1 << 20  # all nodes of a large cluster may speak at once; the kernel grants what it allows
_IP_MULTICAST_ALL = 49  # Linux, <linux/in.h>; the socket module doesn't name it

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
        interface: Address of the interface to send on.

    Raises:
        DiscoveryError: They can't be opened; says why and what to do.
    """

    def __init__(self, options: GossipStrategy, interface: str) -> None:
        self._group = (options.multicast_addr, options.port)
        self._interface = interface
        self._loop = asyncio.get_running_loop()
        with ExitStack() as opened:
            try:
                self._private = opened.enter_context(_datagram_socket())
                self._shared = opened.enter_context(_datagram_socket())
                self._open_private(options)
                self._open_shared(options)
            except OSError as exc:
                raise self._error("use", exc, _OPEN_CURES) from exc
            opened.pop_all()

    def _open_private(self, options: GossipStrategy) -> None:
        sock = self._private
        sock.bind((self._interface, 0))
        if options.broadcast_only:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(self._interface))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, options.multicast_ttl)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)

    def _open_shared(self, options: GossipStrategy) -> None:
        sock = self._shared
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # for those who share by this one only
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        if not options.broadcast_only:
            heard = self._interface if options.if_addr == ANY else options.if_addr
            membership = socket.inet_aton(options.multicast_addr) + socket.inet_aton(heard)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            # Without this Linux also delivers what other sockets of the host joined the group for, on other interfaces.
            sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        sock.bind(self._group)  # not to 0.0.0.0: so a unicast to the port, from wherever, doesn't reach it

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
            hear(datagram, source)

    def send(self, datagram: bytes, to: Source | None) -> None:
        """Send to one address, as far as that works, or to the group where ``to`` is ``None``.

        Raises:
            DiscoveryError: The group can't be reached; says why and what to do.
        """
        try:
            self._private.sendto(datagram, to or self._group)
        except OSError as exc:
            if to is None and exc.errno not in _FULL:
                raise self._error("send to", exc, _SEND_CURES) from exc

    def close(self) -> None:
        """Close both."""
        self.pause()
        self._private.close()
        self._shared.close()

    def _error(self, doing: str, exc: OSError, cures: dict[int, str]) -> DiscoveryError:
        group, port = self._group
        why = cures.get(exc.errno or 0, (exc.strerror or str(exc)).lower())
        return DiscoveryError(
            f"gossip: cannot {doing} {group}:{port} on {self._interface!r}: {why}; trying again", strategy="gossip"
        )


async def interface_of(options: GossipStrategy, host: str) -> str:
    """Return the address of the interface to send on, for a node on ``host``.

    Raises:
        ConfigError: ``host`` can't stand for an interface.
    """
    wanted = options.multicast_if or host
    try:
        version = ipaddress.ip_address(wanted.partition("%")[0]).version
    except ValueError:
        return await _resolve(wanted)
    if version == 6:
        raise ConfigError(f"gossip: cannot use {wanted!r}: gossip doesn't speak IPv6 yet; set multicast_if to an IPv4 address")
    return wanted


async def _resolve(host: str) -> str:
    try:
        found = await resolve(host, family=socket.AF_INET, kind=socket.SOCK_DGRAM)
    except OSError as exc:
        raise ConfigError(
            f"gossip: cannot use {host!r}: it has no IPv4 address; correct the host in the node's name, or set multicast_if"
        ) from exc
    return str(found[0][4][0])


def _datagram_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
