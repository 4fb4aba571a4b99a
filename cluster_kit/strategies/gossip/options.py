"""The options of strategy ``gossip``, and their checks.

The application imports this module too, so it loads neither an event loop nor another package.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from cluster_kit.abc import Strategy
from cluster_kit.config.bounds import Bounds, faults_of_bounds
from cluster_kit.errors import raise_all
from cluster_kit.fault import Fault
from cluster_kit.host import ip_of, is_interface, is_unspecified, is_v6

MIN_INTERVAL_S = 0.05
MIN_INTERVALS = 3
MAX_TTL_S = 86_400.0
GROUP_V4 = "230.1.1.251"
GROUP_V6 = "ff12::e601:1fb"  # link-local, numbered as the IPv4 group (RFC 4291 2.7, RFC 3307 4.3)
ANY = "0.0.0.0"  # noqa: S104 - libcluster's default; it means the interface that is sent on
NO_LOOPBACK = (
    "Linux carries no IPv6 multicast on loopback; use an IPv4 host such as 127.0.0.1, or another "
    "interface"
)

_PORT = Bounds(ge=1, le=65535, cure="give all nodes the same")
_TTL = Bounds(ge=0, le=255, cure="1 stays in the local network")


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipOptions(Strategy):
    """Multicasts a heartbeat, and vouches for those whose heartbeats it hears.

    Args:
        port: UDP port; the same on all nodes, shared by all processes of a host.
        if_addr: Address or name of the interface to listen on; 0.0.0.0 for the one that is used for
            sending.
        multicast_addr: Group to send to, of IPv4 or IPv6; with ``broadcast_only`` the broadcast
            address. The default means ff12::e601:1fb where the interface is given by an IPv6
            address.
        multicast_if: Address or name of the interface to send on; by default that of the host part
            of the node's name.
        multicast_ttl: How many routers a datagram may pass, plus one.
        broadcast_only: Broadcast, where the network has no multicast.
        interval_s: Seconds between two heartbeats.
        ttl_s: For how many seconds a node counts as alive after it was heard; at least three
            intervals.
    """

    port: Annotated[int, _PORT] = 45892
    if_addr: str = ANY
    multicast_addr: str = GROUP_V4
    multicast_if: str | None = None
    multicast_ttl: Annotated[int, _TTL] = 1
    broadcast_only: bool = False
    interval_s: Annotated[float, Bounds(ge=MIN_INTERVAL_S, le=MAX_TTL_S)] = 1.5
    ttl_s: float = 10.0

    def __post_init__(self) -> None:
        raise_all(_faults(self))


def _faults(options: GossipOptions) -> Iterator[Fault]:
    out_of_bounds = list(faults_of_bounds(options))
    yield from out_of_bounds
    if not any(fault.where == ("interval_s",) for fault in out_of_bounds):
        yield from _faults_of_ttl(options)
    yield from _faults_of_addresses(options)


def _faults_of_ttl(options: GossipOptions) -> Iterator[Fault]:
    intervals = round(options.ttl_s / options.interval_s, 6)  # three times 0.2 is more than 0.6
    if not (intervals >= MIN_INTERVALS and options.ttl_s <= MAX_TTL_S):
        what = (
            f"invalid value {options.ttl_s:g}: expected at least {MIN_INTERVALS} intervals, "
            f"each of {options.interval_s:g} seconds, and at most {MAX_TTL_S:g}"
        )
        yield Fault(("ttl_s",), what, "with fewer, one lost datagram would look like silence")


def _faults_of_addresses(options: GossipOptions) -> Iterator[Fault]:
    group, where = ip_of(options.multicast_addr), ("multicast_addr",)
    invalid = f"invalid value {options.multicast_addr!r}"
    if group is None or "%" in options.multicast_addr:
        what = f"{invalid}: expected an IP address"
        yield Fault(where, what, "multicast_if chooses the interface")
    elif options.broadcast_only and group.version == 6:
        what = f"{invalid}: IPv6 has no broadcast"
        yield Fault(where, what, "give an IPv4 address, or a group without broadcast_only")
    elif group.is_multicast == options.broadcast_only:
        wanted = (
            "a broadcast address with broadcast_only"
            if options.broadcast_only
            else "224.0.0.0 to 239.255.255.255, or ff00::/8"
        )
        yield Fault(where, f"{invalid}: expected {wanted}")
    if options.broadcast_only and not is_unspecified(options.if_addr):
        what = f"invalid value {options.if_addr!r}: a broadcast is heard on any interface"
        yield Fault(("if_addr",), what, f"leave it out: the default is {ANY}")
    yield from _faults_of_interfaces(options)


def _faults_of_interfaces(options: GossipOptions) -> Iterator[Fault]:
    v6 = None if options.multicast_addr == GROUP_V4 else is_v6(options.multicast_addr)
    for option, value in (("multicast_if", options.multicast_if), ("if_addr", options.if_addr)):
        if value is None or (option == "if_addr" and is_unspecified(value)):
            continue
        where, invalid = (option,), f"invalid value {value!r}"
        if (ip := ip_of(value)) is None:
            if not is_interface(value):
                yield Fault(where, f"{invalid}: expected an IP address or the name of an interface")
        elif v6 is None:
            v6 = ip.version == 6
        elif v6 != (ip.version == 6):
            wanted = f"an IPv{6 if v6 else 4} address, as the other option is one, or an interface"
            yield Fault(where, f"{invalid}: expected {wanted}")
