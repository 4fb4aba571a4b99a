"""The sockets of multicast DNS on one interface, and why they can't be opened.

zeroconf opens such a pair too, but its errors say little, and it leaks the sockets that it has
opened so far. So it gets only interfaces on which a pair has been opened here.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from cluster_kit.errors import cause_of
from cluster_kit.fault import Fault
from cluster_kit.strategies.mdns.interfaces import InterfaceAddress

PORT = 5353
GROUP_V4 = "224.0.0.251"
GROUP_V6 = "ff02::fb"

_GONE = ("its address has just gone", "bring the interface back")
_FORBIDDEN = (
    "no permission to open the socket",
    "allow it in the container or the security policy",
)
_CAUSES = {
    errno.EADDRINUSE: (
        f"UDP port {PORT} is held by a program that doesn't share it",
        (
            f"'ss -ulpn sport = :{PORT}' shows which; stop it, or let it share "
            "(avahi-daemon: disallow-other-stacks=no)"
        ),
    ),
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EADDRNOTAVAIL: _GONE,
    errno.ENODEV: _GONE,
    errno.EINVAL: ("it can't join a multicast group", "use another interface, or another strategy"),
    errno.ENOBUFS: ("too many multicast groups", "raise net.ipv4.igmp_max_memberships"),
    errno.EAFNOSUPPORT: ("this machine doesn't speak that protocol", "change ip_version"),
}


@contextmanager
def pair(place: InterfaceAddress) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Open a socket that receives from the group on ``place``, and one that sends there.

    Raises:
        OSError: They can't be opened; see ``fault_of``.
    """
    family = socket.AF_INET6 if place.is_v6 else socket.AF_INET
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
        if place.is_v6:
            index = struct.pack("@I", place.index)
            group = socket.inet_pton(family, GROUP_V6) + index
            sending.bind((place.address, PORT, 0, place.index))
            sending.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            hearing.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        else:
            ours = socket.inet_aton(place.address)
            group = socket.inet_aton(GROUP_V4) + ours
            sending.bind((place.address, PORT))
            sending.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, ours)
            hearing.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        yield hearing, sending


def probe(place: InterfaceAddress) -> Fault | None:
    """Return why ``place`` can't be used; ``None`` if it can."""
    try:
        with pair(place):
            return None
    except OSError as exc:
        return fault_of(f"cannot use {place}", exc)


def fault_of(where: str, error: OSError) -> Fault:
    """Return an error of a socket as a fault."""
    cause, cure = _CAUSES.get(error.errno or 0, (cause_of(error), ""))
    return Fault((), cause, cure, place=where)
