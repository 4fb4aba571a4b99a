"""Strategy ``dns``: every address that a DNS name resolves to is a node.

``options`` declares and checks the options. ``polling`` asks again and again, ``lookup`` once, by
``system`` or ``server``; ``search`` finds out which search domain answered. ``replies`` turns
replies into nodes, ``causes`` into causes and cures. All but the options are loaded when the
strategy runs, since the application imports it too.

Source: libcluster ``Cluster.Strategy.DNSPoll``, lib/strategy/dns_poll.ex.
Differs: only an answer removes nodes, and only once it repeats; several names; without a basename,
nodes introduce themselves; ``resolver`` names servers instead of a function.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from cluster_kit.abc import Discovery, Observation
from cluster_kit.config.bounds import faults_of_bounds
from cluster_kit.errors import faults_of, raise_all
from cluster_kit.fault import Fault
from cluster_kit.node import Node, join_address
from cluster_kit.strategies.dns.options import (
    DnsOptions,
    faults_of_addresses,
    faults_of_basename,
    read_names,
    read_servers,
)

if TYPE_CHECKING:
    from cluster_kit.diagnosis import Finding
    from cluster_kit.strategies.dns.polling import Answers, Questions
    from cluster_kit.strategies.dns.replies import Resolver


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsStrategy(DnsOptions):
    """Vouches for the addresses behind one or more names.

    Args:
        port: The port of every node; may be left out where the connector dials by name.
        node_basename: First part of the nodes' names, whose second part is the address. Without it,
            nodes are asked for their names.
        resolver: Addresses of name servers, as ``ip`` or ``ip:port``, separated by commas; by
            default the system resolves.
    """

    def __post_init__(self) -> None:
        raise_all(_faults(self))

    def make_resolver(self) -> Resolver:
        """Return the name servers of the option ``resolver``, else the system's resolver."""
        if self.resolver is None:
            from cluster_kit.strategies.dns.system import SystemResolver

            return SystemResolver()
        from cluster_kit.strategies.dns.server import ServerResolver

        return ServerResolver(read_servers(self.resolver))

    def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Ask for the addresses of each name, again and again."""
        from cluster_kit.strategies.dns.polling import DnsPolling

        return DnsPolling(self.interval_s, self.confirmations, self._questions).observe(ctx)

    def _questions(self) -> Questions:
        from cluster_kit.strategies.dns.lookup import ask_addresses
        from cluster_kit.strategies.dns.replies import by_family, kinds_of

        resolver, kinds = self.make_resolver(), kinds_of(self.family)

        async def ask(name: str) -> Answers:
            replies = await ask_addresses(resolver, [name], kinds)
            return by_family(name, replies[name], self._node_at)

        return {name: partial(ask, name) for name in read_names("query", self.query)}

    def diagnose(self, ctx: Discovery) -> AsyncIterator[Finding]:
        """Report which name servers it asks, and what each name gives."""
        from cluster_kit.strategies.dns.diagnosis import diagnose_addresses

        return diagnose_addresses(self, self.make_resolver(), ctx.local)

    def _node_at(self, address: str) -> Node:
        name = f"{self.node_basename}@{address}" if self.node_basename else None
        return Node(name=name, address=join_address(address, self.port) if self.port else None)


def _faults(options: DnsOptions) -> Iterator[Fault]:
    basename = options.node_basename
    yield from faults_of(read_names, "query", options.query)
    yield from faults_of_bounds(options)
    yield from faults_of_basename("node_basename", basename)
    yield from faults_of_addresses("node_basename", basename, options.port, options.resolver)
