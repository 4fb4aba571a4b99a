"""Strategy ``gossip``: nodes of one network find each other by UDP multicast, with nothing to configure.

``engine`` decides what to send and what to make of what is heard, ``sockets`` has the network, ``session`` puts the two
together; ``diagnosis`` finds out why nobody is heard. This module declares the options and loads the rest when it runs, since
the application imports it, too. Datagrams are neither sealed nor authenticated: gossip on loopback, or on a network that you
trust.

Source: libcluster ``Cluster.Strategy.Gossip``, lib/strategy/gossip.ex.
Differs: a goodbye and a time to live, so that nodes also leave; each process is answered at a socket of its own; the default
group is that of libcluster before 3.3.
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cluster_kit.abc import Discovery, Observation, Strategy
from cluster_kit.errors import ConfigError
from cluster_kit.node import is_loopback

if TYPE_CHECKING:
    from cluster_kit.diagnosis import Finding

MIN_INTERVAL_S = 0.05
MIN_INTERVALS = 3
MAX_TTL_S = 86_400.0
ANY = "0.0.0.0"  # noqa: S104 - libcluster's default; it means the interface that is sent on


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipStrategy(Strategy):
    """Multicasts a heartbeat, and vouches for those whose heartbeats it hears.

    Args:
        port: UDP port; the same on all nodes, shared by all processes of a host.
        if_addr: Address of the interface to hear on; 0.0.0.0 for the one that is sent on.
        multicast_addr: Group to send to; with ``broadcast_only`` the broadcast address.
        multicast_if: Address of the interface to send on; by default that of the host part of the node's name.
        multicast_ttl: How many routers a datagram may pass, plus one.
        broadcast_only: Broadcast, where the network has no multicast.
        interval_s: Seconds between two heartbeats.
        ttl_s: For how long a node counts as alive after it was heard.
    """

    announces: ClassVar[bool] = True

    port: int = 45892
    if_addr: str = ANY
    multicast_addr: str = "230.1.1.251"
    multicast_if: str | None = None
    multicast_ttl: int = 1
    broadcast_only: bool = False
    interval_s: float = 1.5
    ttl_s: float = 10.0

    def __post_init__(self) -> None:
        _check(self)

    def serves_on(self, host: str) -> str:
        """Return the address that lets in most of those it hears and sends on."""
        sending = self.multicast_if or host
        used = [sending, *([] if self.if_addr == ANY else [self.if_addr]), *([self.multicast_addr] * self.broadcast_only)]
        return next((address for address in used if not is_loopback(address)), sending)

    def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Gossip until closed, then say goodbye."""
        from cluster_kit.strategies.gossip.session import Session

        return Session(self, ctx).observe()

    def diagnose(self, ctx: Discovery) -> AsyncIterator[Finding]:
        """Look at interface and port, hear ourselves, listen to two heartbeats of the others."""
        from cluster_kit.strategies.gossip.diagnosis import diagnose

        return diagnose(self, ctx)


def _check(options: GossipStrategy) -> None:
    if not 1 <= options.port <= 65535:
        raise ConfigError(f"port {options.port}: expected 1 to 65535, the same on all nodes")
    if not 0 <= options.multicast_ttl <= 255:
        raise ConfigError(f"multicast_ttl {options.multicast_ttl}: expected 0 to 255; 1 stays in the local network")
    if not MIN_INTERVAL_S <= options.interval_s <= MAX_TTL_S:
        raise ConfigError(f"interval_s {options.interval_s:g}: expected {MIN_INTERVAL_S:g} to {MAX_TTL_S:g}")
    intervals = round(options.ttl_s / options.interval_s, 6)  # three times 0.2 is more than 0.6
    if not (intervals >= MIN_INTERVALS and options.ttl_s <= MAX_TTL_S):
        raise ConfigError(
            f"ttl_s {options.ttl_s:g}: expected at least {MIN_INTERVALS} intervals, so that one lost datagram is no silence, "
            f"and at most {MAX_TTL_S:g}; interval_s is {options.interval_s:g}"
        )
    _check_addresses(options)


def _check_addresses(options: GossipStrategy) -> None:
    group = _ipv4("multicast_addr", options.multicast_addr)
    if group.is_multicast == options.broadcast_only:
        wanted = "a broadcast address with broadcast_only" if options.broadcast_only else "224.0.0.0 to 239.255.255.255"
        raise ConfigError(f"multicast_addr {options.multicast_addr!r}: expected {wanted}")
    if options.broadcast_only and options.if_addr != ANY:
        raise ConfigError(f"if_addr {options.if_addr!r}: a broadcast is heard on any interface; leave it out, it is {ANY}")
    _ipv4("if_addr", options.if_addr)
    if options.multicast_if is not None:
        _ipv4("multicast_if", options.multicast_if)


def _ipv4(option: str, address: str) -> ipaddress.IPv4Address:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError as exc:
        raise ConfigError(f"{option} {address!r}: expected an IPv4 address") from exc
    if not isinstance(parsed, ipaddress.IPv4Address):
        raise ConfigError(f"{option} {address!r}: gossip doesn't speak IPv6 yet; give an IPv4 address")
    return parsed
