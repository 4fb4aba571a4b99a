"""The options of strategy ``gossip``, and what is wrong with those that can't work.

The application imports this module too, so it loads neither an event loop nor another package.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cluster_kit.abc import Strategy
from cluster_kit.errors import raise_all
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


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipOptions(Strategy):
    """Multicasts a heartbeat, and vouches for those whose heartbeats it hears.

    Args:
        port: UDP port; the same on all nodes, shared by all processes of a host.
        if_addr: Address or name of the interface to listen on; 0.0.0.0 for the one that is used for
            sending.
        multicast_addr: Group to send to, of IPv4 or IPv6; with ``broadcast_only`` the broadcast
            address. The default stands for ff12::e601:1fb where the interface is given by an IPv6
            address.
        multicast_if: Address or name of the interface to send on; by default that of the host part
            of the node's name.
        multicast_ttl: How many routers a datagram may pass, plus one.
        broadcast_only: Broadcast, where the network has no multicast.
        interval_s: Seconds between two heartbeats.
        ttl_s: For how many seconds a node counts as alive after it was heard.
    """

    port: int = 45892
    if_addr: str = ANY
    multicast_addr: str = GROUP_V4
    multicast_if: str | None = None
    multicast_ttl: int = 1
    broadcast_only: bool = False
    interval_s: float = 1.5
    ttl_s: float = 10.0

    def __post_init__(self) -> None:
        raise_all(_faults(self))


def _faults(options: GossipOptions) -> Iterator[str]:
    if not 1 <= options.port <= 65535:
        yield f"port {options.port}: expected 1 to 65535, the same on all nodes"
    if not 0 <= options.multicast_ttl <= 255:
        yield (
            f"multicast_ttl {options.multicast_ttl}: expected 0 to 255; 1 stays in the local "
            "network"
        )
    if not MIN_INTERVAL_S <= options.interval_s <= MAX_TTL_S:
        yield f"interval_s {options.interval_s:g}: expected {MIN_INTERVAL_S:g} to {MAX_TTL_S:g}"
    elif not (_intervals(options) >= MIN_INTERVALS and options.ttl_s <= MAX_TTL_S):
        yield (
            f"ttl_s {options.ttl_s:g}: expected at least {MIN_INTERVALS} intervals, so that one "
            "lost datagram is no silence, "
            f"and at most {MAX_TTL_S:g}; interval_s is {options.interval_s:g}"
        )
    yield from _faults_of_addresses(options)


def _intervals(options: GossipOptions) -> float:
    return round(options.ttl_s / options.interval_s, 6)  # three times 0.2 is more than 0.6


def _faults_of_addresses(options: GossipOptions) -> Iterator[str]:
    group = ip_of(options.multicast_addr)
    if group is None or "%" in options.multicast_addr:
        yield (
            f"multicast_addr {options.multicast_addr!r}: expected an IP address; multicast_if "
            "chooses the interface"
        )
    elif options.broadcast_only and group.version == 6:
        yield (
            f"multicast_addr {options.multicast_addr!r}: IPv6 has no broadcast; give an IPv4 "
            "address, or a group alone"
        )
    elif group.is_multicast == options.broadcast_only:
        wanted = (
            "a broadcast address with broadcast_only"
            if options.broadcast_only
            else "224.0.0.0 to 239.255.255.255, or ff00::/8"
        )
        yield f"multicast_addr {options.multicast_addr!r}: expected {wanted}"
    if options.broadcast_only and not is_unspecified(options.if_addr):
        yield (
            f"if_addr {options.if_addr!r}: a broadcast is heard on any interface; leave it out, it "
            f"is {ANY}"
        )
    yield from _faults_of_interfaces(options)


def _faults_of_interfaces(options: GossipOptions) -> Iterator[str]:
    v6 = None if options.multicast_addr == GROUP_V4 else is_v6(options.multicast_addr)
    for option, value in (("multicast_if", options.multicast_if), ("if_addr", options.if_addr)):
        if value is None or (option == "if_addr" and is_unspecified(value)):
            continue
        if (ip := ip_of(value)) is None:
            if not is_interface(value):
                yield f"{option} {value!r}: expected an IP address or the name of an interface"
        elif v6 is None:
            v6 = ip.version == 6
        elif v6 != (ip.version == 6):
            yield (
                f"{option} {value!r}: expected an IPv{6 if v6 else 4} address, as the other option "
                "is one, or an interface"
            )
