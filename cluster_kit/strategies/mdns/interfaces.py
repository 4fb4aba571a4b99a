"""The interfaces of this machine that mdns speaks and listens on, and why some can't be used.

Only the chosen interfaces are used: a host with many bridges would otherwise send everything on
each of them. One that can't be used doesn't stop the others.

Linux also delivers datagrams from interfaces where other programs joined the group. Forbidding that
(IP_MULTICAST_ALL) makes kernels of 2025 deliver datagrams to the wrong one of several sockets that
share a port, so ``Nearby`` goes by the source address instead.

Source: netdevice(7) for the flags.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network

import ifaddr

from cluster_kit.fault import Fault
from cluster_kit.host import ip_of, is_loopback, is_v6
from cluster_kit.netdevice import InterfaceFlags, NetDevice, flags_of
from cluster_kit.resolving import addresses_of, resolve
from cluster_kit.strategies.mdns.options import IpVersion
from cluster_kit.strategies.multicast import why_unusable

LOOK_UP_S = 1.0  # of a host name; everything else waits for it


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An interface and our address on it: the place of one pair of sockets."""

    name: str
    index: int
    address: str

    @property
    def is_v6(self) -> bool:
        """Whether it is used by IPv6."""
        return is_v6(self.address)

    def __str__(self) -> str:
        return f"{self.address} ({self.name})"


class Nearby:
    """Recognizes datagrams that came in on the interfaces in use, rather than on others. Pure.

    A source belongs to the interface whose network has it; a source in no network of this machine
    comes from beyond a router.
    """

    def __init__(self, used: Iterable[InterfaceAddress], known: Iterable[NetDevice]) -> None:
        places = list(used)
        self._used = {place.index for place in places}
        self._loops = all(is_loopback(place.address) for place in places)
        networks = [
            (ip_network(f"{address}/{prefix}", strict=False), device.index in self._used)
            for device in known
            for address, prefix in zip(device.addresses, device.prefixes, strict=True)
        ]
        self._networks = sorted(networks, key=lambda each: (-each[0].prefixlen, not each[1]))

    def hears(self, source: tuple[str, int] | tuple[str, int, int, int]) -> bool:
        """Whether a datagram from ``source``, in a socket's form, came in where we listen."""
        ip = ip_of(source[0].partition("%")[0])  # IPv4 also where a socket serves both protocols
        assert ip is not None
        if ip.version == 6 and ip.is_link_local:
            return source[-1] in self._used
        return next((used for network, used in self._networks if ip in network), not self._loops)


def devices() -> list[NetDevice]:
    """Return the interfaces of this machine."""
    return [
        NetDevice(
            adapter.name,
            adapter.index or 0,
            tuple(ip.ip if isinstance(ip.ip, str) else ip.ip[0] for ip in adapter.ips),
            tuple(ip.network_prefix for ip in adapter.ips),
            *_flags_of(adapter.name),
        )
        for adapter in ifaddr.get_adapters(include_unconfigured=True)
    ]


def _flags_of(name: str) -> InterfaceFlags:
    try:
        return flags_of(name.encode())
    except OSError:  # it has just gone
        return InterfaceFlags(False, False, False, False)


async def look_up(host: str) -> list[str]:
    """Return the addresses of ``host``, IPv4 first; none if it can't be looked up in time."""
    if ip_of(host):
        return [host]
    try:
        async with asyncio.timeout(LOOK_UP_S):
            found = await resolve(host, kind=socket.SOCK_DGRAM)
    except OSError:
        return []
    return sorted(addresses_of(found), key=lambda address: (is_v6(address), address))


def choose(
    wanted: Iterable[str], known: Sequence[NetDevice], ip_version: IpVersion
) -> tuple[list[InterfaceAddress], list[Fault]]:
    """Return the addresses to use, and why some of the wanted interfaces can't be used. Pure.

    Args:
        wanted: Addresses and names of interfaces.
        known: The interfaces of this machine.
        ip_version: Which protocols to use; where there are both, IPv4 comes first.
    """
    chosen: dict[InterfaceAddress, None] = {}
    faults: list[Fault] = []
    for each in wanted:
        found = _usable(each, known, ip_version)
        if isinstance(found, Fault):
            faults.append(found)
        else:
            chosen |= dict.fromkeys(found)
    return list(chosen), faults


def _usable(
    wanted: str, known: Sequence[NetDevice], ip_version: IpVersion
) -> list[InterfaceAddress] | Fault:
    device = _find(wanted, known)
    if device is None:
        return _not_there(wanted, known)
    fault = why_unusable(device)
    return fault or _addresses(wanted, device, ip_version) or _no_address(device, ip_version)


def _find(wanted: str, known: Sequence[NetDevice]) -> NetDevice | None:
    address, _, scope = str(ip_of(wanted) or wanted).partition("%")
    for device in known:
        if wanted == device.name:
            return device
        if address in device.addresses and scope in ("", device.name, str(device.index)):
            return device
        if is_loopback(wanted) and device.is_loopback:  # it has all of 127.0.0.0/8
            return device
    return None


def _not_there(wanted: str, known: Sequence[NetDevice]) -> Fault:
    there = (f"{each.name} ({', '.join(each.addresses)})" for each in known if each.addresses)
    what = f"no interface has {'that address' if ip_of(wanted) else 'that name or address'}"
    cure = "correct the host in the node's name, or interfaces"
    known_here = f"this machine has {', '.join(there) or 'none'}"
    return Fault((), what, f"{cure}; {known_here}", place=f"interface {wanted!r}")


def _no_address(device: NetDevice, ip_version: IpVersion) -> Fault:
    what, cure = f"it has no address of IP{ip_version}", "give it one, or change ip_version"
    return Fault((), what, cure, place=f"interface {device.name}")


def _addresses(wanted: str, device: NetDevice, ip_version: IpVersion) -> list[InterfaceAddress]:
    by_version: dict[int, str] = {}
    for address in (wanted, *device.addresses):
        if ip := ip_of(address):
            by_version.setdefault(ip.version, address.partition("%")[0])
    versions = {"v4": (4,), "v6": (6,), "all": (4, 6)}[ip_version]
    return [
        InterfaceAddress(device.name, device.index, by_version[version])
        for version in versions
        if version in by_version
    ]
