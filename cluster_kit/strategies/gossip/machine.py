"""What this machine tells about its interfaces, and about who holds a UDP port: on Linux; elsewhere nothing.

Source: netdevice(7) for the ioctls and flags; proc_net(5) for ``/proc/net/udp`` and ``/proc/net/if_inet6``.
"""

from __future__ import annotations

import array
import fcntl
import re
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple

from cluster_kit.host import is_loopback
from cluster_kit.netdevice import IFREQ_BYTES, NAME_BYTES, Flag, flags_of

_SIOCGIFCONF = 0x8912
_MAX_ADDRESSES = 1024


class Interface(NamedTuple):
    """One address of an interface."""

    name: str
    address: str
    flags: Flag


def interfaces() -> list[Interface]:
    """Return a line for each address of this machine, IPv4 first; an interface without one is missing."""
    if sys.platform != "linux":
        return []
    return [*_of_ipv4(), *_of_ipv6()]


def _of_ipv4() -> list[Interface]:
    buffer = array.array("B", bytes(IFREQ_BYTES * _MAX_ADDRESSES))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        wanted = struct.pack("iL", len(buffer), buffer.buffer_info()[0])
        (filled, _) = struct.unpack("iL", fcntl.ioctl(sock, _SIOCGIFCONF, wanted))
        entries = [buffer[at : at + IFREQ_BYTES].tobytes() for at in range(0, filled, IFREQ_BYTES)]
        return [_interface(entry) for entry in entries]


def _interface(entry: bytes) -> Interface:
    label = entry[:NAME_BYTES].partition(b"\0")[0]
    name = label.partition(b":")[0]  # of an alias such as eth0:1
    return Interface(name.decode(errors="replace"), socket.inet_ntoa(entry[NAME_BYTES + 4 : NAME_BYTES + 8]), flags_of(name))


def _of_ipv6() -> list[Interface]:
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:  # a kernel without IPv6
        return []
    found = []
    for line in lines:
        digits, *_, name = line.split()
        with suppress(OSError):  # it has just gone
            found.append(Interface(name, str(IPv6Address(bytes.fromhex(digits))), flags_of(name.encode())))
    return sorted(found)


def interface_with(address: str, known: Sequence[Interface]) -> Interface | None:
    """Return that one of ``known`` that has ``address``, with or without scope; loopback has all of 127.0.0.0/8."""
    wanted, _, scope = address.partition("%")
    for interface in known:
        if scope not in ("", interface.name):
            continue
        if _same(interface.address, wanted) or (is_loopback(wanted) and ":" not in wanted and Flag.LOOPBACK in interface.flags):
            return interface
    return None


def _same(one: str, other: str) -> bool:
    return ip_address(one) == ip_address(other)


def holders(port: int) -> list[str]:
    """Return the programs that hold UDP port ``port``, as ``name (pid)``, as far as this user may know."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    return sorted(set(_programs_with(sockets))) if sockets else []


def _inodes(port: int) -> Iterator[str]:
    for table in (Path("/proc/net/udp"), Path("/proc/net/udp6")):
        with suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _programs_with(sockets: set[str]) -> Iterator[str]:
    for process in Path("/proc").iterdir():
        if re.fullmatch(r"\d+", process.name):
            with suppress(OSError):  # it has ended, or is another user's
                if any(str(fd.readlink()) in sockets for fd in (process / "fd").iterdir()):
                    yield f"{(process / 'comm').read_text().strip()} ({process.name})"
