"""The network interfaces of this machine, as its kernel describes them.

Source: netdevice(7).
"""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
from dataclasses import dataclass
from typing import NamedTuple

NAME_BYTES = 16  # IFNAMSIZ
IFREQ_BYTES = struct.calcsize("16s L L H 3B 3x")  # a name, and the largest member of the union
_SIOCGIFFLAGS = 0x8913 if sys.platform == "linux" else 0xC0206911  # BSD, macOS: <sys/sockio.h>
_UP = 0x1
_LOOPBACK = 0x8
_RUNNING = 0x40
_MULTICAST = 0x1000 if sys.platform == "linux" else 0x8000


class InterfaceFlags(NamedTuple):
    """The state and abilities of an interface.

    Attributes:
        is_up: Whether it is switched on.
        has_carrier: Whether its link has a carrier, as far as the system can tell.
        is_loopback: Whether it never leaves this machine.
        has_multicast: Whether it is flagged for multicast; loopback carries it without the flag.
    """

    is_up: bool
    has_carrier: bool
    is_loopback: bool
    has_multicast: bool


@dataclass(frozen=True, slots=True)
class NetDevice:
    """One interface, with all its addresses; see ``InterfaceFlags`` for the rest.

    Attributes:
        name: Such as ``eth0``.
        index: Its number.
        addresses: All its addresses as text, without scope.
        prefixes: The length of the network prefix of each address.
    """

    name: str
    index: int
    addresses: tuple[str, ...]
    prefixes: tuple[int, ...] = ()
    is_up: bool = True
    has_carrier: bool = True
    is_loopback: bool = False
    has_multicast: bool = True


def flags_of(name: bytes) -> InterfaceFlags:
    """Return the flags of the interface ``name`` of this network namespace.

    Raises:
        OSError: There is no such interface.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = name[: NAME_BYTES - 1].ljust(IFREQ_BYTES, b"\0")
        answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, request)
    (bits,) = struct.unpack_from("H", answer, NAME_BYTES)
    return InterfaceFlags(*(bool(bits & each) for each in (_UP, _RUNNING, _LOOPBACK, _MULTICAST)))
