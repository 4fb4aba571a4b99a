"""Chooses the group and the interface, and explains why a group can't be used.

The choice depends on the options and on the host in the node's name. An IPv4 address identifies an
interface. A link-local IPv6 address is ambiguous without its interface, so that is looked up among
those of this machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Literal

from cluster_kit.errors import ConfigError, NetworkError, NetworkFault
from cluster_kit.fault import Fault
from cluster_kit.host import ip_of, is_link_local, is_loopback, is_unspecified, is_v6
from cluster_kit.network import Group, Interface, Network
from cluster_kit.node import join_address
from cluster_kit.strategies.gossip.options import GROUP_V4, GROUP_V6, NO_LOOPBACK, GossipOptions

_Causes = Mapping[NetworkFault, tuple[str, str]]

_JOINING: _Causes = {
    NetworkFault.IN_USE: (
        "the port is in use by a program that doesn't share it",
        "stop that, or choose another port on all nodes",
    ),
    NetworkFault.FORBIDDEN: ("no permission", "choose a port above 1023, on all nodes"),
    NetworkFault.NOT_OURS: (
        "no interface of this machine has that address",
        "correct the host in the node's name, or multicast_if, if_addr or the broadcast address",
    ),
    NetworkFault.UNSUPPORTED: ("this machine has no IPv6", "use a host with an IPv4 address"),
}

_INTERFACE_GONE = ("its interface is down or gone", "bring it back")
_SENDING: _Causes = {
    NetworkFault.FORBIDDEN: ("a firewall forbids it", "allow UDP to that port"),
    NetworkFault.UNREACHABLE: _INTERFACE_GONE,
    NetworkFault.DOWN: _INTERFACE_GONE,
    NetworkFault.NOT_OURS: _INTERFACE_GONE,
}
_BROADCASTING: _Causes = {
    **_SENDING,
    NetworkFault.FORBIDDEN: (
        "a firewall forbids it, or it is no broadcast address of this network",
        "allow UDP to that port, or correct multicast_addr",
    ),
}


async def group_of(options: GossipOptions, host: str, network: Network) -> Group:
    """Return the group of a node on ``host``, and the interface that leads to it.

    Raises:
        ConfigError: ``host``, or an interface that the options choose, can't be used.
    """
    wanted = options.multicast_if or host
    known = network.interfaces()
    v6 = _protocol(options, wanted)
    if ip_of(wanted):
        address = wanted
    elif options.multicast_if:
        address = _address_of(wanted, known, v6=bool(v6))
    else:
        address = await _look_up(wanted, network, v6=v6)
    v6 = is_v6(address) if v6 is None else v6
    if v6 != is_v6(address):  # the group decides, the address only says on which interface
        address = _address_of(_interface(address, known).name, known, v6=v6)
    if v6:
        address = _scoped(_interface(address, known))
        if is_loopback(address):
            raise ConfigError(f"gossip: cannot use {wanted!r}: {NO_LOOPBACK}")
    return Group(
        address=GROUP_V6 if v6 and options.multicast_addr == GROUP_V4 else options.multicast_addr,
        port=options.port,
        via=address,
        heard_on=_heard_on(options, address, known),
        hops=options.multicast_ttl,
        is_broadcast=options.broadcast_only,
    )


def _heard_on(options: GossipOptions, via: str, known: Sequence[Interface]) -> str:
    """Return the address to listen on: the sending one, unless the options choose another."""
    address, v6 = options.if_addr, is_v6(via)
    if is_unspecified(address):
        return via
    if not ip_of(address):
        address = _address_of(address, known, v6=v6)
    elif not v6:
        return address
    interface = _interface(address, known)
    return _scoped(interface) if v6 else interface.address


def _protocol(options: GossipOptions, wanted: str) -> bool | None:
    """Return whether to use IPv6; ``None`` where that depends on what ``wanted`` resolves to."""
    if options.multicast_addr != GROUP_V4:
        return is_v6(options.multicast_addr)
    return is_v6(wanted) if ip_of(wanted) or options.multicast_if else None


def interface_with(address: str, known: Sequence[Interface]) -> Interface | None:
    """Return the interface with ``address``, with or without scope; loopback has 127.0.0.0/8."""
    wanted, _, scope = address.partition("%")
    for interface in known:
        if scope not in ("", interface.name):
            continue
        # not by ip_of: an IPv4-mapped address must not match an IPv4 interface
        if ip_address(interface.address) == ip_address(wanted):
            return interface
        if is_loopback(wanted) and not is_v6(wanted) and interface.is_loopback:
            return interface
    return None


def _interface(address: str, known: Sequence[Interface]) -> Interface:
    interface = interface_with(address, known)
    if interface is None:
        cause = f"no interface has that address; {not_there(known)}"
        raise ConfigError(f"gossip: cannot use {address!r}: {cause}")
    return interface


def _scoped(interface: Interface) -> str:
    return f"{interface.address}%{interface.name}"


def _address_of(name: str, known: Sequence[Interface], *, v6: bool) -> str:
    """Return an address of the interface ``name``, preferably one that is not link-local."""
    there = [each for each in known if each.name == name]
    if not there:
        cause = f"there is no such interface; {not_there(known)}"
        raise ConfigError(f"gossip: cannot use {name!r}: {cause}")
    fit = [each for each in there if is_v6(each.address) == v6]
    if not fit:
        cause = f"it has no IPv{6 if v6 else 4} address: give it one, or use another group"
        raise ConfigError(f"gossip: cannot use {name!r}: {cause}")
    best = min(fit, key=lambda each: is_link_local(each.address))
    return _scoped(best) if v6 else best.address


def not_there(known: Sequence[Interface]) -> str:
    """Return the cure for an interface that isn't there."""
    there = ", ".join(f"{each.address} ({each.name})" for each in known) or "none"
    return f"correct the host in the node's name, multicast_if or if_addr: this machine has {there}"


async def _look_up(host: str, network: Network, *, v6: bool | None) -> str:
    """Return an address of ``host``, an IPv4 one if possible and the protocol doesn't matter."""
    versions: tuple[Literal[4, 6], ...] = (6,) if v6 else (4, 6)
    for version in versions:
        try:
            return (await network.resolve(host, version=version))[0]
        except NetworkError as exc:
            cause = exc
    what = f"it has no {'IPv6 ' if v6 else ''}address"
    cure = "correct the host in the node's name, or set multicast_if"
    raise ConfigError(f"gossip: cannot use {host!r}: {what}; {cure}") from cause


def not_joined(group: Group, error: NetworkError) -> Fault:
    """Return why a group can't be joined."""
    return _fault("cannot use", group, error, _JOINING)


def not_sent(group: Group, error: NetworkError) -> Fault:
    """Return why nothing can be sent to a group."""
    return _fault("cannot send to", group, error, _BROADCASTING if group.is_broadcast else _SENDING)


def _fault(what: str, group: Group, error: NetworkError, causes: _Causes) -> Fault:
    cause, cure = causes.get(error.fault, (str(error), ""))
    place = f"{what} {join_address(group.address, group.port)} on {group.via.partition('%')[0]!r}"
    return Fault((), cause, cure, place=place)
