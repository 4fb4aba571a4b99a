"""Which interface to gossip on, by which protocol and to which group: from the options and the host in the node's name.

An IPv4 address stands for an interface by itself. With IPv6 the kernel wants the interface's index, and link-local addresses
are ambiguous without, so that it is looked up among those of this machine.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import NamedTuple

from cluster_kit.errors import ConfigError
from cluster_kit.host import is_loopback, is_of_link, is_unspecified
from cluster_kit.resolving import resolve
from cluster_kit.strategies.gossip import GROUP_V4, GROUP_V6, NO_LOOPBACK, GossipStrategy, is_v6
from cluster_kit.strategies.gossip.machine import Interface, interface_with, interfaces


class Way(NamedTuple):
    """An interface to speak on, and the group to speak to; ``ifindex`` is 0 for IPv4, where the address says it all."""

    address: str
    ifindex: int
    name: str
    group: str

    @property
    def is_v6(self) -> bool:
        """Whether it goes by IPv6."""
        return is_v6(self.address)

    @property
    def family(self) -> socket.AddressFamily:
        """The family of its sockets."""
        return socket.AF_INET6 if self.is_v6 else socket.AF_INET


async def way_of(options: GossipStrategy, host: str) -> Way:
    """Return the way of a node on ``host``.

    Raises:
        ConfigError: ``host``, or the interface that the options choose, can't be used.
    """
    wanted = options.multicast_if or host
    known = interfaces()
    v6 = _protocol(options, wanted)
    if _is_ip(wanted):
        address = wanted
    elif options.multicast_if:
        address = _address_of(wanted, known, v6=bool(v6))
    else:
        address = await _look_up(wanted, v6=v6)
    v6 = is_v6(address) if v6 is None else v6
    group = GROUP_V6 if v6 and options.multicast_addr == GROUP_V4 else options.multicast_addr
    if v6 != is_v6(address):  # the group decides, the address only says on which interface
        address = _address_of(_interface(address, known).name, known, v6=v6)
    if not v6:
        return Way(address, 0, "", group)
    interface = _interface(address, known)
    if is_loopback(interface.address):
        raise ConfigError(f"gossip: cannot use {wanted!r}: {NO_LOOPBACK}")
    return Way(interface.address, socket.if_nametoindex(interface.name), interface.name, group)


def heard_on(options: GossipStrategy, way: Way) -> Way:
    """Return the way to hear on: that which is spoken on, unless the options choose another.

    Raises:
        ConfigError: It can't be used.
    """
    if is_unspecified(options.if_addr):
        return way
    if not way.is_v6 and _is_ip(options.if_addr):
        return way._replace(address=options.if_addr)
    known = interfaces()
    address = options.if_addr if _is_ip(options.if_addr) else _address_of(options.if_addr, known, v6=way.is_v6)
    interface = _interface(address, known)
    return way._replace(
        address=interface.address, name=interface.name, ifindex=way.ifindex and socket.if_nametoindex(interface.name)
    )


def _protocol(options: GossipStrategy, wanted: str) -> bool | None:
    """Return whether to speak IPv6, ``None`` where that hangs on what ``wanted`` is found to be."""
    if options.multicast_addr != GROUP_V4:
        return is_v6(options.multicast_addr)
    return is_v6(wanted) if _is_ip(wanted) or options.multicast_if else None


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return True


def _interface(address: str, known: Sequence[Interface]) -> Interface:
    interface = interface_with(address, known)
    if interface is None:
        raise ConfigError(f"gossip: cannot use {address!r}: no interface has that address; {not_there(known)}")
    return interface


def _address_of(name: str, known: Sequence[Interface], *, v6: bool) -> str:
    """Return an address of the interface ``name``; one that is valid everywhere rather than on the link alone."""
    there = [each.address for each in known if each.name == name]
    if not there:
        raise ConfigError(f"gossip: cannot use {name!r}: there is no such interface; {not_there(known)}")
    fit = sorted((address for address in there if is_v6(address) == v6), key=is_of_link)
    if not fit:
        protocol = "IPv6" if v6 else "IPv4"
        raise ConfigError(f"gossip: cannot use {name!r}: it has no {protocol} address: give it one, or use another group")
    return f"{fit[0]}%{name}" if v6 else fit[0]


def not_there(known: Sequence[Interface]) -> str:
    """Return what to do about an interface that isn't there."""
    there = ", ".join(f"{each.address} ({each.name})" for each in known) or "none"
    return f"correct the host in the node's name, multicast_if or if_addr: this machine has {there}"


async def _look_up(host: str, *, v6: bool | None) -> str:
    """Return an address of ``host``, of IPv4 if there is any and the protocol doesn't matter."""
    for family in (socket.AF_INET6,) if v6 else (socket.AF_INET, socket.AF_INET6):
        try:
            found = await resolve(host, family=family, kind=socket.SOCK_DGRAM)
        except OSError as exc:
            cause = exc
            continue
        return str(found[0][4][0])
    protocol = "IPv6 " if v6 else ""
    raise ConfigError(
        f"gossip: cannot use {host!r}: it has no {protocol}address; correct the host in the node's name, or set multicast_if"
    ) from cause
