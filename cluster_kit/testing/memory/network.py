"""``MemoryNetwork``: hosts on one local network, and the faults between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from hashlib import blake2b
from ipaddress import ip_address
from math import ceil
from random import Random
from typing import NamedTuple

from cluster_kit.network import Datagram, Endpoint
from cluster_kit.testing.memory.datagrams import (
    Arrival,
    Audience,
    MemoryDatagrams,
    deliver,
    moments,
)
from cluster_kit.testing.memory.faults import Fault, Path, path_with
from cluster_kit.testing.memory.host import GroupKey, MemoryHost, plain
from cluster_kit.testing.virtual_time.loop import VirtualLoop
from cluster_kit.testing.virtual_time.timeline import Timeline

LATENCY_S = 0.0005
LOOPBACK_LATENCY_S = 0.00005

Hosts = MemoryHost | Collection[MemoryHost] | None
"""One host, several, or ``None`` for all."""


class Placed(NamedTuple):
    """A fault on some paths: ``MemoryNetwork.add`` returns it, and ``remove`` accepts it."""

    fault: Fault
    applies_to: Callable[[MemoryHost, MemoryHost], bool] | None


class WatchedPacket(NamedTuple):
    """One packet from one host to another, as ``MemoryNetwork.watch`` receives it."""

    at_s: float
    source: MemoryHost
    target: MemoryHost
    kind: str
    size_bytes: int
    is_lost: bool


class MemoryNetwork:
    """A network in virtual time.

    Its users run in a ``VirtualLoop``: all in one, or each process in its own on a common timeline.
    Callbacks run in the loop that asked for them.

    Args:
        seed: The seed of all randomness, both losses and what hosts draw.
        timeline: The timeline of all loops; by default that of the first loop to use the network.
        latency_s: The latency from one host to another.
        grain_s: Datagrams to a group arrive at multiples of this: the coarser, the more of them a
            process receives at once.

    Attributes:
        hosts: The hosts, in the order in which they were added.
        is_bound: Whether its timeline is settled.
        watch: Called with each packet, for a trace; slow. ``None`` by default.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        timeline: Timeline | None = None,
        latency_s: float = LATENCY_S,
        grain_s: float = 0.0,
    ) -> None:
        self.seed = seed
        self.timeline = timeline or Timeline()
        self.is_bound = timeline is not None
        self.hosts: list[MemoryHost] = []
        self.watch: Callable[[WatchedPacket], object] | None = None
        self._latency_s = latency_s
        self._grain_s = grain_s
        self._host_at: dict[str, MemoryHost] = {}
        self._addresses_of: dict[str, list[str]] = {}
        self._in_flight: dict[float, list[Arrival]] = {}  # datagrams by when they arrive
        self._groups: dict[GroupKey, tuple[MemoryDatagrams, ...]] = {}
        self._plans: dict[tuple[MemoryHost, bool, GroupKey], list[tuple[Path, Audience]]] = {}
        self._placed: list[Placed] = []
        self._loopback = Path(LOOPBACK_LATENCY_S)
        self._paths: dict[tuple[MemoryHost, MemoryHost], Path] = {}
        self._uniform: Path | None = Path(latency_s)  # if all paths are equal
        self._draws: dict[str, Callable[[], float]] = {}

    def bind(self) -> None:
        """Adopt the timeline of the running loop; a network serves one timeline only."""
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualLoop):
            raise RuntimeError(
                "memory network: needs virtual time; use run_virtually() or a VirtualLoop"
            )
        if not self.is_bound:
            self.is_bound = True
            self.timeline = loop.timeline
        elif self.timeline is not loop.timeline:
            raise RuntimeError(
                "memory network: already bound to another timeline; make a new one for each run"
            )

    @property
    def now_s(self) -> float:
        """The virtual time."""
        if not self.is_bound and asyncio._get_running_loop() is not None:
            self.bind()
        return self.timeline.now_s

    # Hosts

    def host(self, *addresses: str, names: Iterable[str] = ()) -> MemoryHost:
        """Add a machine, and return the network as that machine sees it.

        Args:
            addresses: At least one, IPv4 or IPv6, that no other host has.
            names: The names that resolve to these addresses.
        """
        own = tuple(plain(address) for address in addresses)
        taken = [
            address
            for address in own
            if address in self._host_at or ip_address(address).is_loopback
        ]
        if taken or not own:
            raise ValueError(
                "memory network: a host needs unique addresses, not "
                f"{', '.join(taken) or 'none at all'}"
            )
        added = MemoryHost(self, own, random=partial(self.random, own[0]))
        self.hosts.append(added)
        for address in own:
            self._host_at[address] = added
        for name in names:
            self._addresses_of.setdefault(name.rstrip(".").lower(), []).extend(own)
        return added

    def host_at(self, address: str, asker: MemoryHost) -> MemoryHost | None:
        """Return the host with an address, as ``asker`` sees it."""
        address = plain(address)
        return asker if ip_address(address).is_loopback else self._host_at.get(address)

    def addresses_of(self, name: str) -> list[str]:
        """Return what a host name resolves to."""
        return list(self._addresses_of.get(name.rstrip(".").lower(), ()))

    def random(self, *concern: str) -> Random:
        """Return a source of randomness for ``concern``, which is the same in each run."""
        digest = blake2b(repr((self.seed, *concern)).encode(), digest_size=16).digest()
        return Random(int.from_bytes(digest))

    # Faults

    def add(
        self,
        fault: Fault,
        source: Hosts = None,
        target: Hosts = None,
        *,
        both_ways: bool = False,
        where: Callable[[MemoryHost, MemoryHost], bool] | None = None,
    ) -> Placed:
        """Place a fault on all paths from ``source`` to ``target``, until it is removed.

        Nothing goes wrong within a host. Faults on the same path add up.

        Args:
            fault: What goes wrong.
            source: The hosts that send; by default all.
            target: The hosts that receive; by default all.
            both_ways: Whether to place it on the paths from ``target`` to ``source``, too.
            where: Returns whether to place it on one of these paths.
        """
        applies_to = None
        if source is not None or target is not None or where is not None:
            applies_to = partial(_applies_to, _all_of(source), _all_of(target), both_ways, where)
        placed = Placed(fault, applies_to)
        self._placed.append(placed)
        self._review()
        return placed

    def remove(self, placed: Placed) -> None:
        """Undo ``add``. Idempotent."""
        self._placed = [each for each in self._placed if each is not placed]
        self._review()

    def partition(self, *groups: Collection[MemoryHost], fault: Fault) -> Placed:
        """Place a fault, such as ``Cut``, between groups; all other hosts are one more group."""
        group_of = {host: number for number, group in enumerate(groups) for host in group}
        return self.add(
            fault, where=lambda source, target: group_of.get(source) != group_of.get(target)
        )

    def _review(self) -> None:
        self._paths.clear()
        self._plans.clear()
        self._uniform = None
        if all(placed.applies_to is None for placed in self._placed):
            self._uniform = path_with(self._latency_s, [placed.fault for placed in self._placed])

    def path(self, source: MemoryHost, target: MemoryHost) -> Path:
        """Return the path from one host to another, with its faults."""
        if source is target:
            return self._loopback
        if self._uniform is not None:
            return self._uniform
        path = self._paths.get((source, target))
        if path is None:
            faults = [
                placed.fault
                for placed in self._placed
                if placed.applies_to is None or placed.applies_to(source, target)
            ]
            path = self._paths[source, target] = path_with(self._latency_s, faults)
        return path

    def draw(self, concern: str) -> float:
        """Return a random number from 0 to 1, from the source of ``concern``."""
        return self._source(concern)()

    def _source(self, concern: str) -> Callable[[], float]:
        draw = self._draws.get(concern)
        if draw is None:
            draw = self._draws[concern] = self.random("network", concern).random
        return draw

    # Packets

    def loses(
        self, source: MemoryHost, target: MemoryHost, size_bytes: int, kind: str = "stream"
    ) -> bool:
        """Return whether a packet that is sent now is lost."""
        return self._loses(self.path(source, target), source, target, size_bytes, kind)

    def _loses(
        self, path: Path, source: MemoryHost, target: MemoryHost, size_bytes: int, kind: str
    ) -> bool:
        is_lost = path.is_cut or (path.drop > 0 and self.draw("drop") < path.drop)
        if self.watch is not None:
            self.watch(
                WatchedPacket(self.timeline.now_s, source, target, kind, size_bytes, is_lost)
            )
        return is_lost

    def send_to_one(self, sender: MemoryDatagrams, data: bytes, to: Endpoint) -> None:
        """Send a datagram to one address."""
        target = self.host_at(to.host, sender.host)
        if target is None or self.loses(sender.host, target, len(data), "datagram"):
            return
        member = target.datagrams_at(to)
        if member is not None:
            for at_s in self._arrivals(self.path(sender.host, target), member, sender.here):
                self._arrive(at_s, Arrival(Audience((member,)), Datagram(data, sender.here)))

    def send_to_group(self, sender: MemoryDatagrams, data: bytes) -> None:
        """Send a datagram to all members of the group."""
        now_s, datagram = self.timeline.now_s, Datagram(data, sender.here)
        for path, audience in self._plan(sender):
            reached = self._reached(path, audience, sender.host, len(data))
            if path.is_steady:
                self._arrive(self._on_grid(now_s + path.latency_s), Arrival(reached, datagram))
                continue
            for at_s, together in self._by_moment(path, reached, sender.here).items():
                self._arrive(self._on_grid(at_s), Arrival(Audience(together), datagram))

    def _arrive(self, at_s: float, arrival: Arrival) -> None:
        """Deliver a datagram at ``at_s``, together with all others at that moment."""
        arrivals = self._in_flight.get(at_s)
        if arrivals is None:
            arrivals = self._in_flight[at_s] = []
            self.timeline.call_at(at_s, self._deliver, at_s)
        arrivals.append(arrival)

    def _deliver(self, at_s: float) -> None:
        deliver(self._in_flight.pop(at_s))

    def _on_grid(self, at_s: float) -> float:
        return ceil(at_s / self._grain_s) * self._grain_s if self._grain_s else at_s

    def _reached(
        self, path: Path, audience: Audience, host: MemoryHost, size_bytes: int
    ) -> Audience:
        """Return the members at which a datagram from ``host`` arrives."""
        if self.watch is not None:
            loses = partial(self._loses, path, host, size_bytes=size_bytes, kind="datagram")
            return Audience([each for each in audience.each() if not loses(each.host)])
        if path.is_cut:
            return Audience(())
        if not path.drop:
            return audience
        draw, drop = self._source("drop"), path.drop
        return Audience([each for each in audience.each() if draw() >= drop])

    def _plan(self, sender: MemoryDatagrams) -> list[tuple[Path, Audience]]:
        """Return the members of the sender's group, by the path to them."""
        source, has_hops = sender.host, sender.group.hops > 0
        key = source.key_of(sender.group, sender.group.via)
        plan = self._plans.get((source, has_hops, key))
        if plan is None:
            plan = self._plans[source, has_hops, key] = [
                *self._audiences(source, self._groups.get(key, ()), has_hops=has_hops)
            ]
        return plan

    def _audiences(
        self, source: MemoryHost, group: tuple[MemoryDatagrams, ...], *, has_hops: bool
    ) -> Iterator[tuple[Path, Audience]]:
        own = tuple(member for member in group if member.host is source)
        yield self._loopback, Audience(own)
        if not has_hops:
            return
        if self._uniform is not None:
            yield self._uniform, Audience(group, frozenset(own))
            return
        alike: dict[Path, list[MemoryDatagrams]] = {}
        for member in group:
            if member.host is not source:
                alike.setdefault(self.path(source, member.host), []).append(member)
        for path, members in alike.items():
            yield path, Audience(tuple(members))

    def _by_moment(
        self, path: Path, audience: Audience, source: Endpoint
    ) -> dict[float, list[MemoryDatagrams]]:
        """Return the receivers of a datagram, by when it arrives."""
        found: dict[float, list[MemoryDatagrams]] = {}
        for member in audience.each():
            for at_s in self._arrivals(path, member, source):
                found.setdefault(at_s, []).append(member)
        return found

    def _arrivals(self, path: Path, member: MemoryDatagrams, source: Endpoint) -> list[float]:
        arrivals = moments(path, self.timeline.now_s, self.draw)
        return [
            member.in_order(source, when_s) if is_in_order else when_s
            for when_s, is_in_order in arrivals
        ]

    def joined(self, datagrams: MemoryDatagrams, key: GroupKey) -> None:
        """Record a new member of a group."""
        self._groups[key] = (*self._groups.get(key, ()), datagrams)
        self._plans.clear()

    def left(self, datagrams: MemoryDatagrams, key: GroupKey) -> None:
        """Record that a member has left."""
        self._groups[key] = tuple(each for each in self._groups[key] if each is not datagrams)
        self._plans.clear()


def _all_of(hosts: Hosts) -> frozenset[MemoryHost] | None:
    if hosts is None:
        return None
    return frozenset([hosts] if isinstance(hosts, MemoryHost) else hosts)


def _applies_to(
    sources: frozenset[MemoryHost] | None,
    targets: frozenset[MemoryHost] | None,
    both_ways: bool,
    where: Callable[[MemoryHost, MemoryHost], bool] | None,
    /,
    *ends: MemoryHost,
) -> bool:
    def leads(source: MemoryHost, target: MemoryHost) -> bool:
        return (sources is None or source in sources) and (targets is None or target in targets)

    source, target = ends
    return (leads(source, target) or (both_ways and leads(target, source))) and (
        where is None or where(source, target)
    )
