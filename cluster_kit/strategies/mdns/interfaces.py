"""Which interfaces of this machine to speak and listen on, and why some can't be used. Linux.

Only those that were chosen are used: a host with many bridges would otherwise say everything on each of them. One that can't be
used doesn't stop the others. Linux also delivers what other programs joined the group for, on other interfaces; to forbid it
(IP_MULTICAST_ALL) makes kernels of 2025 give what is meant for one of several sockets that share a port to another of them, so
it is told by where it comes from.

Source: sysfs-class-net for the files; netdevice(7) for the flags.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import ifaddr

from cluster_kit.host import ip_of, is_loopback
from cluster_kit.netdevice import Flag, flags_of
from cluster_kit.resolving import resolve
from cluster_kit.strategies.mdns import IpVersion

LOOK_UP_S = 1.0  # of a host name; everything else waits for it


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface of this machine, with its addresses as text and without scope; ``prefixes`` has a length for each."""

    name: str
    index: int
    addresses: tuple[str, ...]
    prefixes: tuple[int, ...] = ()
    flags: Flag = Flag.UP | Flag.MULTICAST | Flag.RUNNING

    @property
    def carrier(self) -> bool:
        """Whether there is somebody at the other end, as far as the system can tell."""
        return Flag.RUNNING in self.flags


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """One interface, by one protocol, to speak and listen on; ``address`` is ours on it."""

    name: str
    index: int
    address: str

    @property
    def is_v6(self) -> bool:
        """Whether this speaks IPv6."""
        return ":" in self.address

    def __str__(self) -> str:
        return f"{self.address} ({self.name})"


class Nearby:
    """Tells what comes in on the interfaces in use from what other programs listen for on others. Pure.

    A source is taken to be on the interface whose network has it; one that no network has comes from outside of this machine.
    """

    def __init__(self, ways: Iterable[InterfaceAddress], known: Iterable[Interface]) -> None:
        self._used = {way.index for way in ways}
        networks = [
            (
                ipaddress.ip_network(f"{address}/{prefix}", strict=False),
                interface.index in self._used,
            )
            for interface in known
            for address, prefix in zip(interface.addresses, interface.prefixes, strict=True)
        ]
        self._networks = sorted(networks, key=lambda each: (-each[0].prefixlen, not each[1]))
        self._loops = all(is_loopback(way.address) for way in ways)

    def hears(self, source: tuple[str, int] | tuple[str, int, int, int]) -> bool:
        """Whether a datagram from ``source``, as a socket tells it, is one for us."""
        ip = ipaddress.ip_address(source[0].partition("%")[0])
        if ip.version == 6 and ip.is_link_local:
            return source[-1] in self._used
        mapped = (
            ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
        )  # heard by a socket of both protocols
        return next(
            (used for network, used in self._networks if (mapped or ip) in network), not self._loops
        )


def interfaces() -> list[Interface]:
    """Return the interfaces of this machine."""
    return [
        Interface(
            adapter.name,
            adapter.index or 0,
            tuple(ip.ip if isinstance(ip.ip, str) else ip.ip[0] for ip in adapter.ips),
            tuple(ip.network_prefix for ip in adapter.ips),
            _flags_of(adapter.name),
        )
        for adapter in ifaddr.get_adapters(include_unconfigured=True)
    ]


def _flags_of(name: str) -> Flag:
    try:
        return flags_of(name.encode())
    except OSError:  # it has just gone
        return Flag(0)


async def look_up(host: str) -> list[str]:
    """Return the addresses of ``host``, IPv4 first; itself if it is one, and nothing if they can't be had in time."""
    if _ip(host):
        return [host]
    try:
        async with asyncio.timeout(LOOK_UP_S):
            found = await resolve(host, kind=socket.SOCK_DGRAM)
    except OSError:
        return []
    return sorted(
        {str(sockaddr[0]) for *_, sockaddr in found}, key=lambda address: (":" in address, address)
    )


def choose(
    wanted: Iterable[str], known: Sequence[Interface], ip_version: IpVersion
) -> tuple[list[InterfaceAddress], list[str]]:
    """Return the ways to use, and what is wrong with those interfaces that can't be. Pure.

    Args:
        wanted: Addresses and names of interfaces.
        known: The interfaces of this machine.
        ip_version: Which protocols to use; where there are both, IPv4 comes first.
    """
    ways: dict[InterfaceAddress, None] = {}
    faults: list[str] = []
    for each in wanted:
        interface = _find(each, known)
        fault = _not_there(each, known) if interface is None else _fault(interface)
        if interface is not None and fault is None:
            found = _ways(each, interface, ip_version)
            ways |= dict.fromkeys(found)
            fault = (
                None
                if found
                else f"{interface.name} has no address of IP{ip_version}: give it one, or change ip_version"
            )
        if fault is not None:
            faults.append(fault)
    return list(ways), faults


def _find(wanted: str, known: Sequence[Interface]) -> Interface | None:
    address, _, scope = str(ip_of(wanted) or wanted).partition("%")
    for interface in known:
        if wanted == interface.name:
            return interface
        if address in interface.addresses and scope in ("", interface.name, str(interface.index)):
            return interface
        if is_loopback(wanted) and Flag.LOOPBACK in interface.flags:  # all of 127.0.0.0/8 is its
            return interface
    return None


def _not_there(wanted: str, known: Sequence[Interface]) -> str:
    there = (
        ", ".join(f"{each.name} ({', '.join(each.addresses)})" for each in known if each.addresses)
        or "none"
    )
    what = "address" if _ip(wanted) else "name or address"
    return f"no interface has the {what} {wanted!r}: correct the host in the node's name, or interfaces; this machine has {there}"


def _fault(interface: Interface) -> str | None:
    name = interface.name
    if Flag.UP not in interface.flags:
        return f"{name} is down: ip link set {name} up"
    if not interface.carrier:
        return f"{name} has no carrier: plug in its cable, or start what is at its other end"
    if not interface.flags & (
        Flag.MULTICAST | Flag.LOOPBACK
    ):  # loopback carries it without the flag
        return (
            f"{name} carries no multicast: ip link set {name} multicast on, or use another strategy"
        )
    return None


def _ways(wanted: str, interface: Interface, ip_version: IpVersion) -> list[InterfaceAddress]:
    by_family: dict[int, str] = {}
    for address in (wanted, *interface.addresses):
        if ip := _ip(address):
            by_family.setdefault(ip.version, address.partition("%")[0])
    families = {"v4": (4,), "v6": (6,), "all": (4, 6)}[ip_version]
    return [
        InterfaceAddress(interface.name, interface.index, by_family[family])
        for family in families
        if family in by_family
    ]


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
