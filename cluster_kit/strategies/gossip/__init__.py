"""Strategy ``gossip``: nodes of one network find each other by UDP multicast, with nothing to configure.

``engine`` decides what to send and what to make of what is heard. Where the cluster has a secret, ``sealed`` stands before it,
and lets in only what is proved to be said now; without one, datagrams are neither sealed nor authenticated: gossip on loopback
then, or on a network that you trust. ``session`` puts these together with the network; ``diagnosis`` finds out why nobody is
heard. This module declares the options and loads the rest when it runs, since the application imports it, too.

Source: libcluster ``Cluster.Strategy.Gossip``, lib/strategy/gossip.ex.
Differs: a goodbye and a time to live, so that nodes also leave; each process is answered at a socket of its own; the default
group is that of libcluster before 3.3. What is sealed is authentic, and no recording.
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cluster_kit.abc import Discovery, Observation, Strategy
from cluster_kit.errors import raise_all
from cluster_kit.host import is_interface, is_loopback, is_unspecified

if TYPE_CHECKING:
    from cluster_kit.diagnosis import Finding

MIN_INTERVAL_S = 0.05
MIN_INTERVALS = 3
MAX_TTL_S = 86_400.0
GROUP_V4 = "230.1.1.251"
GROUP_V6 = "ff12::e601:1fb"  # transient, of the link; the number is that of the IPv4 group (RFC 4291 2.7, RFC 3307 4.3)
ANY = "0.0.0.0"  # noqa: S104 - libcluster's default; it means the interface that is sent on
NO_LOOPBACK = "Linux carries no IPv6 multicast on loopback; use an IPv4 host such as 127.0.0.1, or another interface"


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipStrategy(Strategy):
    """Multicasts a heartbeat, and vouches for those whose heartbeats it hears.

    Args:
        port: UDP port; the same on all nodes, shared by all processes of a host.
        if_addr: Address or name of the interface to hear on; 0.0.0.0 for the one that is sent on.
        multicast_addr: Group to send to, of IPv4 or IPv6; with ``broadcast_only`` the broadcast address. The default stands
            for ff12::e601:1fb where the interface is given by an IPv6 address.
        multicast_if: Address or name of the interface to send on; by default that of the host part of the node's name.
        multicast_ttl: How many routers a datagram may pass, plus one.
        broadcast_only: Broadcast, where the network has no multicast.
        interval_s: Seconds between two heartbeats.
        ttl_s: For how long a node counts as alive after it was heard.
    """

    announces: ClassVar[bool] = True
    needs_secret: ClassVar[bool] = True

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

    def serves_on(self, host: str) -> str:
        """Return the address that lets in most of those it hears and sends on.

        Raises:
            ValueError: It can't be used for multicast.
        """
        sending = self.multicast_if or host
        v6 = is_v6(sending if self.multicast_addr == GROUP_V4 else self.multicast_addr)
        if v6 and is_loopback(sending):
            raise ValueError(f"{sending!r}: {NO_LOOPBACK}")
        used = [
            sending,
            *([] if is_unspecified(self.if_addr) else [self.if_addr]),
            *([self.multicast_addr] * self.broadcast_only),
        ]
        return next((address for address in used if not is_loopback(address)), sending)

    def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Gossip until closed, then say goodbye."""
        from cluster_kit.strategies.gossip.session import GossipSession

        return GossipSession(self, ctx).observe()

    def diagnose(self, ctx: Discovery) -> AsyncIterator[Finding]:
        """Look at interface and port, hear ourselves, listen to two heartbeats of the others."""
        from cluster_kit.strategies.gossip.diagnosis import diagnose

        return diagnose(self, ctx)


def _faults(options: GossipStrategy) -> Iterator[str]:
    if not 1 <= options.port <= 65535:
        yield f"port {options.port}: expected 1 to 65535, the same on all nodes"
    if not 0 <= options.multicast_ttl <= 255:
        yield f"multicast_ttl {options.multicast_ttl}: expected 0 to 255; 1 stays in the local network"
    if not MIN_INTERVAL_S <= options.interval_s <= MAX_TTL_S:
        yield f"interval_s {options.interval_s:g}: expected {MIN_INTERVAL_S:g} to {MAX_TTL_S:g}"
    elif not (_intervals(options) >= MIN_INTERVALS and options.ttl_s <= MAX_TTL_S):
        yield (
            f"ttl_s {options.ttl_s:g}: expected at least {MIN_INTERVALS} intervals, so that one lost datagram is no silence, "
            f"and at most {MAX_TTL_S:g}; interval_s is {options.interval_s:g}"
        )
    yield from _faults_of_addresses(options)


def _intervals(options: GossipStrategy) -> float:
    return round(options.ttl_s / options.interval_s, 6)  # three times 0.2 is more than 0.6


def _faults_of_addresses(options: GossipStrategy) -> Iterator[str]:
    group = _ip(options.multicast_addr)
    if group is None or "%" in options.multicast_addr:
        yield f"multicast_addr {options.multicast_addr!r}: expected an IP address; multicast_if chooses the interface"
    elif options.broadcast_only and group.version == 6:
        yield f"multicast_addr {options.multicast_addr!r}: IPv6 has no broadcast; give an IPv4 address, or a group alone"
    elif group.is_multicast == options.broadcast_only:
        wanted = (
            "a broadcast address with broadcast_only"
            if options.broadcast_only
            else "224.0.0.0 to 239.255.255.255, or ff00::/8"
        )
        yield f"multicast_addr {options.multicast_addr!r}: expected {wanted}"
    if options.broadcast_only and not is_unspecified(options.if_addr):
        yield f"if_addr {options.if_addr!r}: a broadcast is heard on any interface; leave it out, it is {ANY}"
    yield from _faults_of_interfaces(options)


def _faults_of_interfaces(options: GossipStrategy) -> Iterator[str]:
    v6 = None if options.multicast_addr == GROUP_V4 else is_v6(options.multicast_addr)
    for option, value in (("multicast_if", options.multicast_if), ("if_addr", options.if_addr)):
        if value is None or (option == "if_addr" and is_unspecified(value)):
            continue
        if (ip := _ip(value)) is None:
            if not is_interface(value):
                yield f"{option} {value!r}: expected an IP address or the name of an interface"
        elif v6 is None:
            v6 = ip.version == 6
        elif v6 != (ip.version == 6):
            yield f"{option} {value!r}: expected an IPv{6 if v6 else 4} address, as the other option is one, or an interface"


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def is_v6(address: str) -> bool:
    """Whether an address is one of IPv6, by its form."""
    return ":" in address
