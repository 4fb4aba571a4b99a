"""Strategy ``dns``: every address that a DNS name resolves to is a node.

``run`` polls; ``lookup`` asks, by ``system`` or ``server``; ``search`` finds out which search domain
answered; ``replies`` and ``services`` decide what the replies mean, and know no network.
This module declares the options and loads the rest when it runs, since the application imports it, too.

Source: libcluster ``Cluster.Strategy.DNSPoll``, lib/strategy/dns_poll.ex.
Differs: only an answer takes nodes away, and not before it repeats itself; several names; nodes without a basename tell their
names themselves; ``resolver`` names servers instead of a function.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from cluster_kit.abc import Discovery, Observation, Strategy
from cluster_kit.errors import faults_of, raise_all
from cluster_kit.node import Node, join_address
from cluster_kit.strategies.dns.options import (
    faults_of_addresses,
    faults_of_identity,
    faults_of_polling,
    read_names,
)

if TYPE_CHECKING:
    from cluster_kit.diagnosis import Finding
    from cluster_kit.strategies.dns.polling import Answers, Questions

Family = Literal["any", "ipv4", "ipv6"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsStrategy(Strategy):
    """Vouches for the addresses behind one or more names.

    Args:
        query: The name, or several separated by commas.
        port: Where every node serves; may be left out where the connector dials by name.
        node_basename: First part of the nodes' names, whose second part is the address. Without it nodes are asked for theirs.
        family: Which addresses count.
        resolver: Addresses of name servers, as ``ip`` or ``ip:port``, separated by commas; by default the system resolves.
        interval_s: Seconds from one answer to the next question.
        confirmations: How many answers in a row must lack a node before it is gone.
    """

    query: str
    port: int | None = None
    node_basename: str | None = None
    family: Family = "any"
    resolver: str | None = None
    interval_s: float = 5.0
    confirmations: int = 2

    def __post_init__(self) -> None:
        raise_all(_faults(self))

    def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Ask for each name and kind of address, again and again."""
        from cluster_kit.strategies.dns.polling import Run

        return Run(self.interval_s, self.confirmations, self._questions).observe(ctx)

    def _questions(self) -> Questions:
        from cluster_kit.strategies.dns.lookup import ask_addresses, resolver_of
        from cluster_kit.strategies.dns.replies import by_family, kinds_of

        resolver, kinds = resolver_of(self.resolver), kinds_of(self.family)

        async def ask(name: str) -> Answers:
            said = await ask_addresses(resolver, [name], kinds)
            return by_family(name, said[name], self._node_at)

        return {name: partial(ask, name) for name in read_names("query", self.query)}

    def diagnose(self, ctx: Discovery) -> AsyncIterator[Finding]:
        """Say whom it asks, and what each name gives."""
        from cluster_kit.strategies.dns.diagnosis import diagnose_addresses

        return diagnose_addresses(self, ctx.local)

    def _node_at(self, address: str) -> Node:
        name = f"{self.node_basename}@{address}" if self.node_basename else None
        return Node(name=name, address=join_address(address, self.port) if self.port else None)


def _faults(options: DnsStrategy) -> Iterator[str]:
    yield from faults_of(read_names, "query", options.query)
    yield from faults_of_identity("node_basename", options.node_basename, options.port)
    yield from faults_of_polling("interval_s", options.interval_s, options.confirmations)
    yield from faults_of_addresses(
        "node_basename", options.node_basename, options.port, options.resolver
    )
