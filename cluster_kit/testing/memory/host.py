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
"""Who hears a group: on one host where it is heard on loopback, else on all; its address and port.
"""


@lru_cache(maxsize=65_536)
def plain(address: str) -> str:
    """Return an IP address in the one form that it is kept in, without an interface.

    Raises:
        ValueError: It is none.
    """
    return str(ip_address(address.partition("%")[0]))


def version_of(address: str) -> int:
    """Return 4 or 6."""
    return ip_address(plain(address)).version


class MemoryClock(Clock):
    """The clocks of a host.

    Attributes:
        offset_s: By how much its wall clock is ahead; a test may change it at any time.
    """

    def __init__(self, network: MemoryNetwork) -> None:
        self.offset_s = 0.0
        self._network = network

    def monotonic_s(self) -> float:
        """Return the time of the event loop."""
        network = self._network
        return network.timeline.now_s if network.is_bound else network.now_s

    def wall_s(self) -> float:
        """Return the time of day, which is that of 2026 unless it is moved."""
        return WALL_S + self.offset_s + self.monotonic_s()


@dataclass(slots=True)
class Traffic:
    """What a host has sent and received: packets, and the bytes in them without any header.

    What is lost counts as sent, and each time that it is sent again. A connection is opened and
    closed by packets without bytes; those that only acknowledge aren't counted.
    """

    packets_sent: int = 0
    bytes_sent: int = 0
    packets_received: int = 0
    bytes_received: int = 0


class MemoryHost(Network):
    """The network as one machine sees it; ``MemoryNetwork.host`` makes it. Any number of processes
    may use it.

    Attributes:
        network: All hosts together.
        addresses: Without those of loopback.
        clock: Of this machine; its wall clock can be moved.
        traffic: What was sent and received.
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
        self._hearers: dict[Endpoint, MemoryDatagrams] = {}
        self._new_random = random
        self._randoms: dict[str, Random] = {}
        self._last_port = LAST_FREE_PORT

    def __repr__(self) -> str:
        return f"<MemoryHost {self.addresses[0]}>"

    def random(self, concern: str) -> Random:
        """Return the source of ``concern``, which processes of this host share, so that a restarted
        one draws something new.
        """
        found = self._randoms.get(concern)
        if found is None:
            found = self._randoms[concern] = self._new_random(concern)
        return found

    async def resolve(self, host: str, *, version: Literal[4, 6] | None = None) -> Sequence[str]:
        """Return the addresses of a host that has that name."""
        try:
            found = [plain(host) if "%" not in host else host]
        except ValueError:
            found = (
                list(LOOPBACK)
                if host.rstrip(".").lower() == "localhost"
                else self.network.addresses_of(host)
            )
        wanted = [address for address in found if version in (None, version_of(address))]
        if not wanted:
            raise NetworkError("name or service not known", fault=NetworkFault.NO_SUCH_NAME)
        return list(dict.fromkeys(wanted))

    def interfaces(self) -> Sequence[Interface]:
        """Return loopback and one interface with all addresses."""
        found = [
            Interface("lo", address, is_loopback=True, has_multicast=False) for address in LOOPBACK
        ]
        found += [Interface("eth0", address) for address in self.addresses]
        return sorted(found, key=lambda interface: version_of(interface.address))

    def has_address(self, address: str) -> bool:
        """Whether it is one of the addresses, or of loopback."""
        try:
            address = plain(address)
        except ValueError:
            return False
        return (
            address in self.addresses
            or ip_address(address).is_loopback
            or ip_address(address).is_unspecified
        )

    def source_of(self, address: str) -> str | None:
        """Return from which address another one is reached."""
        if self.has_address(address):
            return plain(address)
        return next((own for own in self.addresses if version_of(own) == version_of(address)), None)

    def free_port(self) -> int:
        """Return a port that nobody listens on."""
        taken = {listener.here.port for listener in self.listeners} | {
            here.port for here in self._hearers
        }
        while True:
            self._last_port = (
                FIRST_FREE_PORT if self._last_port == LAST_FREE_PORT else self._last_port + 1
            )
            if self._last_port not in taken:
                return self._last_port

    # Streams

    async def listen(self, at: Endpoint) -> Listener:
        """Listen at an address of this host, or at all."""
        loop = self._loop()
        self._check_ours(at.host)
        _check_port(at.port)
        address = plain(at.host)
        if any(
            listener.here.port == at.port and _overlap(listener.here.host, address)
            for listener in self.listeners
        ):
            raise NetworkError("address already in use", fault=NetworkFault.IN_USE)
        listener = MemoryListener(self, loop, Endpoint(address, at.port or self.free_port()))
        self.listeners.append(listener)
        return listener

    def listener_at(self, at: Endpoint) -> MemoryListener | None:
        """Return who listens there."""
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
        self._hearers[here._replace(host=plain(here.host))] = datagrams
        self.network.joined(datagrams, self.key_of(group, group.heard_on))
        return datagrams

    def left(self, datagrams: MemoryDatagrams) -> None:
        """Note that datagrams are closed."""
        del self._hearers[datagrams.here._replace(host=plain(datagrams.here.host))]
        self.network.left(datagrams, self.key_of(datagrams.group, datagrams.group.heard_on))

    def key_of(self, group: Group, address: str) -> GroupKey:
        """Return who hears a group, or is heard, on the interface of ``address``."""
        is_loopback = ip_address(plain(address)).is_loopback
        return self if is_loopback else None, plain(group.address), group.port

    def hearer_at(self, at: Endpoint) -> MemoryDatagrams | None:
        """Return whose own address that is."""
        return self._hearers.get(Endpoint(plain(at.host), at.port))

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
    """Whether somebody who listens at one address is found at the other; IPv6's wildcard serves
    IPv4 as well.
    """
    for wildcard, address in ((one, other), (other, one)):
        if ip_address(wildcard).is_unspecified and version_of(wildcard) in (6, version_of(address)):
            return True
    return one == other
