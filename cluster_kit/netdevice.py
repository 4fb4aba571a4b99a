"""What the system says of a network interface.

Source: netdevice(7).
"""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
from enum import IntFlag

NAME_BYTES = 16  # IFNAMSIZ
IFREQ_BYTES = struct.calcsize("16s L L H 3B 3x")  # a name and the largest member of the union, a struct ifmap
_SIOCGIFFLAGS = 0x8913 if sys.platform == "linux" else 0xC0206911  # BSD, macOS: <sys/sockio.h>


class Flag(IntFlag):
    """What an interface is and can; the names are those of netdevice(7)."""

    UP = 0x1
    LOOPBACK = 0x8
    RUNNING = 0x40
    MULTICAST = 0x1000 if sys.platform == "linux" else 0x8000


def flags_of(name: bytes) -> Flag:
    """Return the flags of the interface ``name`` of this network namespace; raises ``OSError`` if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, name[: NAME_BYTES - 1].ljust(IFREQ_BYTES, b"\0"))
    (flags,) = struct.unpack_from("H", answer, NAME_BYTES)
    return Flag(flags & sum(Flag))
