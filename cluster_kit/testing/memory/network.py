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
    """A fault that is placed on some ways; what ``MemoryNetwork.add`` returns and ``remove``
    takes.
    """

    fault: Fault
    lies_on: Callable[[MemoryHost, MemoryHost], bool] | None


class Packet(NamedTuple):
    """What ``MemoryNetwork.watch`` is told of: one packet on its way from one host to another."""

    at_s: float
    source: MemoryHost
    target: MemoryHost
    kind: str
    size_bytes: int
    is_lost: bool


class MemoryNetwork:
    """A network in virtual time.

    Whatever uses it runs in a ``VirtualLoop``: all in one, or each process in its own on a common
    timeline. What comes in is handed over in the loop in which it was asked for.

    Args:
        seed: Of all that is random: what is lost, and what hosts draw.
        timeline: Of the loops; by default that of the first to use the network.
        latency_s: From one host to another.
        grain_s: Datagrams to a group are heard at multiples of this: the coarser, the more of them
            a process hears at once.

    Attributes:
        hosts: In the order in which they were added.
        is_bound: Whether it has its timeline for good.
        watch: Called with each packet, if it is set; for a trace. Slows everything down.
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
        self.watch: Callable[[Packet], object] | None = None
        self._latency_s = latency_s
        self._grain_s = grain_s
        self._host_at: dict[str, MemoryHost] = {}
        self._addresses_of: dict[str, list[str]] = {}
        self._under_way: dict[float, list[Arrival]] = {}  # datagrams by when they arrive
        self._groups: dict[GroupKey, tuple[MemoryDatagrams, ...]] = {}
        self._plans: dict[tuple[MemoryHost, bool, GroupKey], list[tuple[Path, Audience]]] = {}
        self._placed: list[Placed] = []
        self._loopback = Path(LOOPBACK_LATENCY_S)
        self._paths: dict[tuple[MemoryHost, MemoryHost], Path] = {}
        self._uniform: Path | None = Path(latency_s)  # where all ways are alike
        self._draws: dict[str, Callable[[], float]] = {}

    def bind(self) -> None:
        """Take the timeline of the loop that runs; a network serves one timeline only."""
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualLoop):
            raise RuntimeError(
                "memory network: it needs virtual time; use run_virtually(), or a VirtualLoop"
            )
        if not self.is_bound:
            self.is_bound = True
            self.timeline = loop.timeline
        elif self.timeline is not loop.timeline:
            raise RuntimeError(
                "memory network: it has served another timeline; make a new one for each run"
            )

    @property
    def now_s(self) -> float:
        """The time."""
        if not self.is_bound and asyncio._get_running_loop() is not None:
            self.bind()
        return self.timeline.now_s

    # Hosts

    def host(self, *addresses: str, names: Iterable[str] = ()) -> MemoryHost:
        """Add a machine, and return the network as it sees it.

        Args:
            addresses: At least one, IPv4 or IPv6, that no other host has.
            names: What resolves to its addresses.
        """
        own = tuple(plain(address) for address in addresses)
        taken = [
            address
            for address in own
            if address in self._host_at or ip_address(address).is_loopback
        ]
        if taken or not own:
            raise ValueError(
                "memory network: a host needs addresses of its own, not "
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
        """Return the host of an address, as ``asker`` sees it."""
        address = plain(address)
        return asker if ip_address(address).is_loopback else self._host_at.get(address)

    def addresses_of(self, name: str) -> list[str]:
        """Return what a host name resolves to."""
        return list(self._addresses_of.get(name.rstrip(".").lower(), ()))

    def random(self, *concern: str) -> Random:
        """Return a source of randomness for ``concern``: the same in each run, another one for each
        concern.
        """
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
        """Place a fault on all ways from ``source`` to ``target``, until it is removed.

        Within a host nothing goes wrong. Faults on the same way add up.

        Args:
            fault: What goes wrong.
            source: Who sends; by default all.
            target: Who is sent to; by default all.
            both_ways: Also from ``target`` to ``source``.
            where: Tells of the ways that are left whether to place it there.
        """
        if source is None and target is None and where is None:
            placed = Placed(fault, None)
        else:
            placed = Placed(
                fault, partial(_lies_on, _all_of(source), _all_of(target), both_ways, where)
            )
        self._placed.append(placed)
        self._review()
        return placed

    def remove(self, placed: Placed) -> None:
        """Undo ``add``. Idempotent."""
        self._placed = [each for each in self._placed if each is not placed]
        self._review()

    def partition(self, *groups: Collection[MemoryHost], fault: Fault) -> Placed:
        """Place a fault, such as a ``Cut``, between groups; hosts in none of them are one more
        group.
        """
        group_of = {host: number for number, group in enumerate(groups) for host in group}
        return self.add(
            fault, where=lambda source, target: group_of.get(source) != group_of.get(target)
        )

    def _review(self) -> None:
        self._paths.clear()
        self._plans.clear()
        is_uniform = all(placed.lies_on is None for placed in self._placed)
        self._uniform = (
            path_with(self._latency_s, [placed.fault for placed in self._placed])
            if is_uniform
            else None
        )

    def path(self, source: MemoryHost, target: MemoryHost) -> Path:
        """Return the way from one host to another, with what goes wrong on it."""
        if source is target:
            return self._loopback
        if self._uniform is not None:
            return self._uniform
        path = self._paths.get((source, target))
        if path is None:
            faults = [
                placed.fault
                for placed in self._placed
                if placed.lies_on is None or placed.lies_on(source, target)
            ]
            path = self._paths[source, target] = path_with(self._latency_s, faults)
        return path

    def draw(self, concern: str) -> float:
        """Return a number from 0 to 1, from the source of ``concern``."""
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
        """Tell whether a packet that is sent now is lost."""
        return self._loses(self.path(source, target), source, target, size_bytes, kind)

    def _loses(
        self, path: Path, source: MemoryHost, target: MemoryHost, size_bytes: int, kind: str
    ) -> bool:
        is_lost = path.is_cut or (path.drop > 0 and self.draw("drop") < path.drop)
        if self.watch is not None:
            self.watch(Packet(self.timeline.now_s, source, target, kind, size_bytes, is_lost))
        return is_lost

    def send_to_one(self, sender: MemoryDatagrams, data: bytes, to: Endpoint) -> None:
        """Send a datagram to one address."""
        target = self.host_at(to.host, sender.host)
        if target is None or self.loses(sender.host, target, len(data), "datagram"):
            return
        hearer = target.hearer_at(to)
        if hearer is not None:
            for at_s in self._arrivals(self.path(sender.host, target), hearer, sender.here):
                self._arrive(at_s, Arrival(Audience((hearer,)), Datagram(data, sender.here)))

    def send_to_group(self, sender: MemoryDatagrams, data: bytes) -> None:
        """Send a datagram to all who hear its group."""
        now_s, datagram = self.timeline.now_s, Datagram(data, sender.here)
        for path, audience in self._plan(sender):
            reached = self._reached(path, audience, sender.host, len(data))
            if path.is_steady:
                self._arrive(self._on_grid(now_s + path.latency_s), Arrival(reached, datagram))
                continue
            for at_s, together in self._by_moment(path, reached, sender.here).items():
                self._arrive(self._on_grid(at_s), Arrival(Audience(together), datagram))

    def _arrive(self, at_s: float, arrival: Arrival) -> None:
        """Have a datagram arrive, together with all others at that moment."""
        arrivals = self._under_way.get(at_s)
        if arrivals is None:
            arrivals = self._under_way[at_s] = []
            self.timeline.call_at(at_s, self._deliver, at_s)
        arrivals.append(arrival)

    def _deliver(self, at_s: float) -> None:
        deliver(self._under_way.pop(at_s))

    def _on_grid(self, at_s: float) -> float:
        return ceil(at_s / self._grain_s) * self._grain_s if self._grain_s else at_s

    def _reached(
        self, path: Path, audience: Audience, host: MemoryHost, size_bytes: int
    ) -> Audience:
        """Return for whom a datagram from ``host`` isn't lost."""
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
        """Return who hears the group of ``sender``, together with those who are reached by a way
        alike.
        """
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
        own = tuple(hearer for hearer in group if hearer.host is source)
        yield self._loopback, Audience(own)
        if not has_hops:
            return
        if self._uniform is not None:
            yield self._uniform, Audience(group, frozenset(own))
            return
        alike: dict[Path, list[MemoryDatagrams]] = {}
        for hearer in group:
            if hearer.host is not source:
                alike.setdefault(self.path(source, hearer.host), []).append(hearer)
        for path, hearers in alike.items():
            yield path, Audience(tuple(hearers))

    def _by_moment(
        self, path: Path, audience: Audience, source: Endpoint
    ) -> dict[float, list[MemoryDatagrams]]:
        """Return who hears a datagram that is on its way by when, where that differs."""
        found: dict[float, list[MemoryDatagrams]] = {}
        for hearer in audience.each():
            for at_s in self._arrivals(path, hearer, source):
                found.setdefault(at_s, []).append(hearer)
        return found

    def _arrivals(self, path: Path, hearer: MemoryDatagrams, source: Endpoint) -> list[float]:
        arrivals = moments(path, self.timeline.now_s, self.draw)
        return [
            hearer.in_order(source, when_s) if is_in_order else when_s
            for when_s, is_in_order in arrivals
        ]

    def joined(self, datagrams: MemoryDatagrams, key: GroupKey) -> None:
        """Note a new member of a group."""
        self._groups[key] = (*self._groups.get(key, ()), datagrams)
        self._plans.clear()

    def left(self, datagrams: MemoryDatagrams, key: GroupKey) -> None:
        """Note that a member has left."""
        self._groups[key] = tuple(each for each in self._groups[key] if each is not datagrams)
        self._plans.clear()


def _all_of(hosts: Hosts) -> frozenset[MemoryHost] | None:
    return (
        frozenset([hosts])
        if isinstance(hosts, MemoryHost)
        else None
        if hosts is None
        else frozenset(hosts)
    )


def _lies_on(
    sources: frozenset[MemoryHost] | None,
    targets: frozenset[MemoryHost] | None,
    both_ways: bool,
    where: Callable[[MemoryHost, MemoryHost], bool] | None,
    /,
    *way: MemoryHost,
) -> bool:
    def leads(source: MemoryHost, target: MemoryHost) -> bool:
        return (sources is None or source in sources) and (targets is None or target in targets)

    source, target = way
    return (leads(source, target) or (both_ways and leads(target, source))) and (
        where is None or where(source, target)
    )
