"""A machine on a network in memory: its addresses, clock and ports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from random import Random
from typing import TYPE_CHECKING, Literal

from cluster_kit.errors import NetworkError, NetworkFault
from cluster_kit.network import (
    MAX_PORT,
    Clock,
    Datagrams,
    Endpoint,
    Group,
    Interface,
    Listener,
    Network,
    Stream,
)
from cluster_kit.testing.memory.datagrams import MemoryDatagrams
from cluster_kit.testing.memory.dialing import DialAttempt, MemoryListener
from cluster_kit.testing.virtual_time.loop import VirtualLoop

if TYPE_CHECKING:
    from cluster_kit.testing.memory.network import MemoryNetwork

WALL_S = 1_767_225_600.0  # 2026-01-01, at the start of a timeline
MOST_STREAMS = 1024
FIRST_FREE_PORT = 32_768
LAST_FREE_PORT = 60_999
LOOPBACK = ("127.0.0.1", "::1")

GroupKey = tuple["MemoryHost | None", str, int]
"""A group's host if it is on loopback, else ``None``; its address and port."""


@lru_cache(maxsize=65_536)
def plain(address: str) -> str:
    """Return the canonical form of an IP address, without a scope.

    Raises:
        ValueError: It is not an address.
    """
    return str(ip_address(address.partition("%")[0]))


def version_of(address: str) -> int:
    """Return 4 or 6."""
    return ip_address(plain(address)).version


class MemoryClock(Clock):
    """The clocks of a host.

    Attributes:
        offset_s: How far its wall clock is ahead; a test may change it at any time.
    """

    def __init__(self, network: MemoryNetwork) -> None:
        self.offset_s = 0.0
        self._network = network

    def monotonic_s(self) -> float:
        """Return the time of the event loop."""
        network = self._network
        return network.timeline.now_s if network.is_bound else network.now_s

    def wall_s(self) -> float:
        """Return the time of day, which begins in 2026."""
        return WALL_S + self.offset_s + self.monotonic_s()


@dataclass(slots=True)
class Traffic:
    """The packets that a host has sent and received, and the bytes in them without headers.

    Lost packets count as sent, each time that they are sent again. Opening and closing a connection
    takes packets without bytes; acknowledgements aren't counted.
    """

    packets_sent: int = 0
    bytes_sent: int = 0
    packets_received: int = 0
    bytes_received: int = 0


class MemoryHost(Network):
    """The network as one machine sees it, for any number of processes.

    ``MemoryNetwork.host`` makes it.

    Attributes:
        network: The network of all hosts.
        addresses: Its addresses, without loopback addresses.
        clock: Its clock; the wall clock can be moved.
        traffic: What it sent and received.
    """

    clock: MemoryClock

    def __init__(
        self, network: MemoryNetwork, addresses: tuple[str, ...], random: Callable[[str], Random]
    ) -> None:
        self.network = network
        self.addresses = addresses
        self.clock = MemoryClock(network)
        self.most_streams = MOST_STREAMS
        self.traffic = Traffic()
        self.listeners: list[MemoryListener] = []
        self._datagrams: dict[Endpoint, MemoryDatagrams] = {}
        self._new_random = random
        self._randoms: dict[str, Random] = {}
        self._last_port = LAST_FREE_PORT

    def __repr__(self) -> str:
        return f"<MemoryHost {self.addresses[0]}>"

    def random(self, concern: str) -> Random:
        """Return the source of ``concern``, which a restarted process continues to draw from."""
        found = self._randoms.get(concern)
        if found is None:
            found = self._randoms[concern] = self._new_random(concern)
        return found

    async def resolve(self, host: str, *, version: Literal[4, 6] | None = None) -> Sequence[str]:
        """Return the addresses of a host name."""
        try:
            found = [plain(host) if "%" not in host else host]
        except ValueError:
            is_local = host.rstrip(".").lower() == "localhost"
            found = list(LOOPBACK) if is_local else self.network.addresses_of(host)
        wanted = [address for address in found if version in (None, version_of(address))]
        if not wanted:
            raise NetworkError("name or service not known", fault=NetworkFault.NO_SUCH_NAME)
        return list(dict.fromkeys(wanted))

    def interfaces(self) -> Sequence[Interface]:
        """Return loopback, and one interface with all addresses."""
        found = [
            Interface("lo", address, is_loopback=True, has_multicast=False) for address in LOOPBACK
        ]
        found += [Interface("eth0", address) for address in self.addresses]
        return sorted(found, key=lambda interface: version_of(interface.address))

    def has_address(self, address: str) -> bool:
        """Return whether it is an address of this host."""
        try:
            address = plain(address)
        except ValueError:
            return False
        ip = ip_address(address)
        return address in self.addresses or ip.is_loopback or ip.is_unspecified

    def source_of(self, address: str) -> str | None:
        """Return the address from which another address is reached."""
        if self.has_address(address):
            return plain(address)
        return next((own for own in self.addresses if version_of(own) == version_of(address)), None)

    def free_port(self) -> int:
        """Return a port that is not in use."""
        taken = {listener.here.port for listener in self.listeners}
        taken |= {here.port for here in self._datagrams}
        while True:
            is_last = self._last_port == LAST_FREE_PORT
            self._last_port = FIRST_FREE_PORT if is_last else self._last_port + 1
            if self._last_port not in taken:
                return self._last_port

    # Streams

    async def listen(self, at: Endpoint) -> Listener:
        """Listen at one address of this host, or at all."""
        loop = self._loop()
        self._check_ours(at.host)
        _check_port(at.port)
        if self.listener_at(at) is not None:
            raise NetworkError("address already in use", fault=NetworkFault.IN_USE)
        here = Endpoint(plain(at.host), at.port or self.free_port())
        listener = MemoryListener(self, loop, here)
        self.listeners.append(listener)
        return listener

    def listener_at(self, at: Endpoint) -> MemoryListener | None:
        """Return the listener at an address."""
        address = plain(at.host)
        for listener in self.listeners:
            if listener.here.port == at.port and _overlap(listener.here.host, address):
                return listener
        return None

    async def dial(self, to: Endpoint) -> Stream:
        """Open a stream to a host of the network."""
        _check_address(to.host)
        _check_port(to.port)
        return await DialAttempt(self, self._loop(), to).stream()

    # Datagrams

    async def join(self, group: Group, *, max_bytes: int) -> Datagrams:
        """Join a group, on loopback or on the network."""
        loop = self._loop()
        for address in (group.via, group.heard_on):
            self._check_ours(address)
        _check_port(group.port)
        here = Endpoint(group.via, self.free_port())
        datagrams = MemoryDatagrams(self, loop, group, max_bytes, here)
        self._datagrams[here._replace(host=plain(here.host))] = datagrams
        self.network.joined(datagrams, self.key_of(group, group.heard_on))
        return datagrams

    def left(self, datagrams: MemoryDatagrams) -> None:
        """Record that datagrams were closed."""
        del self._datagrams[datagrams.here._replace(host=plain(datagrams.here.host))]
        self.network.left(datagrams, self.key_of(datagrams.group, datagrams.group.heard_on))

    def key_of(self, group: Group, address: str) -> GroupKey:
        """Return the key of a group on the interface of ``address``."""
        is_loopback = ip_address(plain(address)).is_loopback
        return self if is_loopback else None, plain(group.address), group.port

    def datagrams_at(self, at: Endpoint) -> MemoryDatagrams | None:
        """Return the datagrams with that own address."""
        return self._datagrams.get(Endpoint(plain(at.host), at.port))

    def _check_ours(self, address: str) -> None:
        _check_address(address)
        if not self.has_address(address):
            raise NetworkError("cannot assign requested address", fault=NetworkFault.NOT_OURS)

    def _loop(self) -> VirtualLoop:
        self.network.bind()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        return loop


def _check_port(port: int) -> None:
    if not 0 <= port <= MAX_PORT:
        raise NetworkError("no such port, expected 0 to 65535", fault=NetworkFault.FAILED)


def _check_address(text: str) -> None:
    try:
        plain(text)
    except ValueError:
        raise NetworkError("name or service not known", fault=NetworkFault.NO_SUCH_NAME) from None


def _overlap(one: str, other: str) -> bool:
    """Return whether listeners at both addresses collide; IPv6's wildcard includes IPv4."""
    for wildcard, address in ((one, other), (other, one)):
        if ip_address(wildcard).is_unspecified and version_of(wildcard) in (6, version_of(address)):
            return True
    return one == other
