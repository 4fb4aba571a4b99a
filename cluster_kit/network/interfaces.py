"""Lists the addresses of this machine's interfaces on Linux; on other systems, none.

Source: netdevice(7) for the ioctls and flags; proc_net(5) for ``/proc/net/if_inet6``.
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import Path

from cluster_kit.netdevice import IFREQ_BYTES, NAME_BYTES, flags_of
from cluster_kit.network import Interface

_SIOCGIFCONF = 0x8912
_MAX_ADDRESSES = 1024


def interfaces() -> list[Interface]:
    """Return the addresses of this machine, IPv4 first."""
    found: list[Interface] = []
    if sys.platform == "linux":
        with suppress(OSError):  # no file descriptor is left
            found = [*_of_ipv4(), *sorted(_of_ipv6())]
    return found


def _of_ipv4() -> Iterator[Interface]:
    buffer = array.array("B", bytes(IFREQ_BYTES * _MAX_ADDRESSES))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        wanted = struct.pack("iL", len(buffer), buffer.buffer_info()[0])
        (filled, _) = struct.unpack("iL", fcntl.ioctl(sock, _SIOCGIFCONF, wanted))
    for at in range(0, filled, IFREQ_BYTES):
        entry = buffer[at : at + IFREQ_BYTES].tobytes()
        label = entry[:NAME_BYTES].partition(b"\0")[0]
        name = label.partition(b":")[0]  # without the number of an alias such as eth0:1
        with suppress(OSError):  # the interface has just gone
            yield _interface(name, socket.inet_ntoa(entry[NAME_BYTES + 4 : NAME_BYTES + 8]))


def _of_ipv6() -> Iterator[Interface]:
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:  # a kernel without IPv6
        return
    for line in lines:
        digits, *_, name = line.split()
        with suppress(OSError):  # the interface has just gone
            yield _interface(name.encode(), str(IPv6Address(bytes.fromhex(digits))))


def _interface(name: bytes, address: str) -> Interface:
    return Interface(name.decode(errors="replace"), address, *flags_of(name))
