"""Network interfaces of this machine, with their flags.

Source: netdevice(7).
"""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
from dataclasses import dataclass
from enum import IntFlag

NAME_BYTES = 16  # IFNAMSIZ
IFREQ_BYTES = struct.calcsize("16s L L H 3B 3x")  # a name, and the largest member of the union
_SIOCGIFFLAGS = 0x8913 if sys.platform == "linux" else 0xC0206911  # BSD, macOS: <sys/sockio.h>


class Flag(IntFlag):
    """State and abilities of an interface; the names are those of netdevice(7)."""

    UP = 0x1
    LOOPBACK = 0x8
    RUNNING = 0x40
    MULTICAST = 0x1000 if sys.platform == "linux" else 0x8000


@dataclass(frozen=True, slots=True)
class NetDevice:
    """One interface of this machine.

    Attributes:
        name: Such as ``eth0``.
        index: Its number.
        addresses: All its addresses as text, without scope.
        prefixes: The length of the network prefix of each address.
        flags: Its state.
    """

    name: str
    index: int
    addresses: tuple[str, ...]
    prefixes: tuple[int, ...] = ()
    flags: Flag = Flag.UP | Flag.MULTICAST | Flag.RUNNING

    @property
    def is_up(self) -> bool:
        """Whether it is switched on."""
        return Flag.UP in self.flags

    @property
    def has_carrier(self) -> bool:
        """Whether the link has a carrier, as far as the system can tell."""
        return Flag.RUNNING in self.flags

    @property
    def is_loopback(self) -> bool:
        """Whether it never leaves this machine."""
        return Flag.LOOPBACK in self.flags

    @property
    def has_multicast(self) -> bool:
        """Whether it is flagged for multicast; loopback carries multicast without the flag."""
        return Flag.MULTICAST in self.flags


def flags_of(name: bytes) -> Flag:
    """Return the flags of the interface ``name`` of this network namespace.

    Raises:
        OSError: There is no such interface.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = name[: NAME_BYTES - 1].ljust(IFREQ_BYTES, b"\0")
        answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, request)
    (flags,) = struct.unpack_from("H", answer, NAME_BYTES)
    return Flag(flags & sum(Flag))
