"""The sockets of multicast DNS on one interface, and what to do when they can't be had.

zeroconf opens a pair of sockets in the same way, but tells little of what went wrong and forgets to close those that it has got
so far: so it is asked only for what has worked here.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from cluster_kit.strategies.mdns.interfaces import InterfaceAddress

PORT = 5353
GROUP_V4 = "224.0.0.251"
GROUP_V6 = "ff02::fb"

_NO_INTERFACE = "its address has just gone; bring the interface back"
_CURES = {
    errno.EADDRINUSE: (
        f"UDP port {PORT} is held by a program that doesn't share it: 'ss -ulpn sport = :{PORT}' shows which; stop it, or "
        "let it share (avahi-daemon: disallow-other-stacks=no)"
    ),
    errno.EACCES: "no permission to open the socket; allow it in the container or the security policy",
    errno.EPERM: "no permission to open the socket; allow it in the container or the security policy",
    errno.EADDRNOTAVAIL: _NO_INTERFACE,
    errno.ENODEV: _NO_INTERFACE,
    errno.EINVAL: "it can't join a multicast group; use another interface, or another strategy",
    errno.ENOBUFS: "too many multicast groups; raise net.ipv4.igmp_max_memberships",
    errno.EAFNOSUPPORT: "this machine doesn't speak that protocol; change ip_version",
}


@contextmanager
def pair(way: InterfaceAddress) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Open the socket that hears the group on ``way``, and the one that sends there; close both at the end.

    Raises:
        OSError: They can't be had; ``cure`` says what to do.
    """
    family = socket.AF_INET6 if way.is_v6 else socket.AF_INET
    with ExitStack() as opened:
        hearing, sending = (
            opened.enter_context(closing(socket.socket(family, socket.SOCK_DGRAM)))
            for _ in range(2)
        )
        for sock in (hearing, sending):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        hearing.bind(("", PORT))
        if way.is_v6:
            index = struct.pack("@I", way.index)
            sending.bind((way.address, PORT, 0, way.index))
            sending.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            hearing.setsockopt(
                socket.IPPROTO_IPV6,
                socket.IPV6_JOIN_GROUP,
                socket.inet_pton(family, GROUP_V6) + index,
            )
        else:
            ours = socket.inet_aton(way.address)
            sending.bind((way.address, PORT))
            sending.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, ours)
            hearing.setsockopt(
                socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP_V4) + ours
            )
        yield hearing, sending


def fault(way: InterfaceAddress) -> str | None:
    """Return why ``way`` can't be used, ``None`` if it can."""
    try:
        with pair(way):
            return None
    except OSError as exc:
        return f"cannot use {way}: {cure(exc)}"


def cure(error: OSError) -> str:
    """Return what is wrong with a socket, and what to do."""
    return _CURES.get(error.errno or 0, (error.strerror or str(error)).lower())
