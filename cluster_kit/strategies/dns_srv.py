"""Strategy ``dns_srv``: every SRV record of a name is a node.

Each serves at the address of its record's target, and at the record's port.

Source: RFC 2782.
Differs: priority and weight are ignored, since a cluster has all of its nodes as members.
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
from cluster_kit.strategies.dns.options import (
    DnsOptions,
    faults_of_basename,
    faults_of_services,
    read_names,
    read_servers,
)

if TYPE_CHECKING:
    from cluster_kit.diagnosis import Finding
    from cluster_kit.strategies.dns.polling import Answers, Questions
    from cluster_kit.strategies.dns.replies import Resolver


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsSrvStrategy(DnsOptions):
    """Vouches for the services that one or more names list.

    Args:
        query: The name, such as ``_web._tcp.shop.example``, or several separated by commas.
        port: The port of every node, in place of the records' ports.
        node_basename: First part of the nodes' names, whose second part is the target. Without it,
            nodes are asked for their names.
        family: Which addresses of targets count; where a target has several, one is taken, and one
            of this node's own family is preferred.
        resolver: Addresses of name servers, as ``ip`` or ``ip:port``, separated by commas; by
            default those of resolv.conf.
    """

    def __post_init__(self) -> None:
        raise_all(_faults(self))

    def make_resolver(self) -> Resolver:
        """Return the name servers of the option ``resolver``, else those of resolv.conf."""
        from cluster_kit.strategies.dns.server import ServerResolver

        return ServerResolver(read_servers(self.resolver))

    def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Ask for the records of each name and the addresses of their targets, again and again."""
        from cluster_kit.strategies.dns.polling import DnsPolling

        questions = partial(self._questions, ctx)
        return DnsPolling(self.interval_s, self.confirmations, questions).observe(ctx)

    def _questions(self, ctx: Discovery) -> Questions:
        from cluster_kit.strategies.dns.lookup import ask_services
        from cluster_kit.strategies.dns.replies import kinds_of, nodes_of_services

        resolver = self.make_resolver()
        kinds = kinds_of(self.family, ctx.local.host)

        async def ask(name: str) -> Answers:
            reply, located = (await ask_services(resolver, [name], kinds))[name]
            answer = nodes_of_services(
                name, reply, located, basename=self.node_basename, port=self.port
            )
            return {name: answer}

        return {name: partial(ask, name) for name in read_names("query", self.query)}

    def diagnose(self, ctx: Discovery) -> AsyncIterator[Finding]:
        """Report which name servers it asks, and what each name gives."""
        from cluster_kit.strategies.dns.diagnosis import diagnose_services

        return diagnose_services(self, self.make_resolver, ctx.local)


def _faults(options: DnsOptions) -> Iterator[Fault]:
    yield from faults_of(read_names, "query", options.query)
    yield from faults_of_bounds(options)
    yield from faults_of_basename("node_basename", options.node_basename)
    yield from faults_of_services("dns_srv", options.resolver)
