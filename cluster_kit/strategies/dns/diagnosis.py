"""Asks what a DNS strategy asks, step by step, and says what came of it and what is likely wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.errors import DiscoveryError
from cluster_kit.node import Node, join_address
from cluster_kit.strategies.dns.causes import why_failed, why_late, why_nobody, why_one
from cluster_kit.strategies.dns.checks import DNS_PORT, RESOLV_CONF, read_names, read_servers
from cluster_kit.strategies.dns.lookup import ask_addresses, ask_services, resolver_of
from cluster_kit.strategies.dns.replies import Kind, Reply, Resolver, Status, kinds_of
from cluster_kit.strategies.dns.services import who_serves
from cluster_kit.strategies.dns.system import WHERE

if TYPE_CHECKING:
    from cluster_kit.strategies.dns import DnsStrategy
    from cluster_kit.strategies.dns_srv import DnsSrvStrategy

SHOWN = 5  # records of an answer that are written out
_EMPTY = (Status.NO_NAME, Status.NO_DATA)


class Servers(NamedTuple):
    """Who is asked in the end, and the domains that complete short names."""

    addresses: list[str]
    search: list[str]


async def diagnose_addresses(options: DnsStrategy, local: Node) -> AsyncIterator[Finding]:
    """Find out what strategy ``dns`` gets to hear."""
    servers = _servers(options.resolver)
    yield _whom(options.resolver, servers)
    names, kinds = read_names("query", options.query), kinds_of(options.family)
    said = await ask_addresses(_detailed(options.resolver), names, kinds)
    where = WHERE if options.resolver is None else ", ".join(servers.addresses)
    for name, replies in said.items():
        somebody = any(reply.addresses for reply in replies.values())
        for kind, reply in replies.items():
            suspicion = why_one(name, reply.addresses, local.host, servers.search) or why_late(reply.ttl_s, options.interval_s)
            yield Finding(
                asked=f"{kind} of {name!r} at {where}",
                got=_told(reply, reply.addresses),
                outcome=Outcome.OK if somebody and reply.status in _EMPTY else _outcome(reply),
                cause=suspicion if somebody and reply.status is not Status.FAILED else _why(name, kind, reply, servers),
            )


async def diagnose_services(options: DnsSrvStrategy, local: Node) -> AsyncIterator[Finding]:
    """Find out what strategy ``dns_srv`` gets to hear."""
    from cluster_kit.strategies.dns.server import ServerResolver

    servers = _servers(options.resolver)
    yield _whom(options.resolver, servers)
    try:
        resolver = ServerResolver(read_servers(options.resolver))
    except DiscoveryError:  # the first finding has said so
        return
    said = await ask_services(resolver, read_names("query", options.query), kinds_of(options.family, local.host))
    for name, (reply, located) in said.items():
        yield Finding(
            asked=f"SRV of {name!r} at {', '.join(servers.addresses)}",
            got=_told(reply, [f"{service.target}:{service.port}" for service in reply.services]),
            outcome=_outcome(reply),
            cause=_why(name, Kind.SRV, reply, servers) or why_late(reply.ttl_s, options.interval_s),
        )
        if reply.services:
            answer = who_serves(name, reply, located, basename=options.node_basename, port=options.port)
            yield Finding(
                asked=f"which nodes the SRV records of {name!r} stand for",
                got=_list("node", sorted(f"{node.key} ({node.address})" if node.name else node.key for node in answer.nodes)),
                outcome=Outcome.OK if answer.nodes else Outcome.EMPTY if answer.complete else Outcome.FAILED,
                cause=str(answer.error) if answer.error else None,
            )


def _servers(option: str | None) -> Servers:
    path = Path(RESOLV_CONF)
    lines = [line.split() for line in path.read_text().splitlines()] if path.is_file() else []
    named = read_servers(option) or [(line[1], DNS_PORT) for line in lines if len(line) > 1 and line[0] == "nameserver"]
    searches = [line[1:] for line in lines if line[:1] in (["search"], ["domain"])]
    return Servers([join_address(host, port) for host, port in named], searches[-1] if searches else [])


def _whom(option: str | None, servers: Servers) -> Finding:
    search = f"; search domains {', '.join(servers.search)}" if servers.search else "; no search domains"
    return Finding(
        asked=f"which name servers {'the option resolver' if option else RESOLV_CONF} names",
        got=(", ".join(servers.addresses) or "none") + search,
        outcome=Outcome.OK if servers.addresses else Outcome.FAILED,
        cause=None if servers.addresses else f"there is nobody to ask: set resolver, or mend {RESOLV_CONF}",
    )


class _Detailed:
    """Asks the system, and beside it the servers themselves, which say why they fail and how long their answers last."""

    def __init__(self, system: Resolver, servers: Resolver) -> None:
        self._system = system
        self._servers = servers

    async def ask(self, name: str, kind: Kind) -> Reply:
        """Return what the system says, with what the servers have to add."""
        reply, direct = await asyncio.gather(self._system.ask(name, kind), self._servers.ask(name, kind))
        if reply.status is Status.FOUND:
            return replace(reply, ttl_s=direct.ttl_s)
        return replace(reply, said=f"{reply.said}: {direct.said}") if reply.status is direct.status is Status.FAILED else reply


def _detailed(option: str | None) -> Resolver:
    asked = resolver_of(option)
    if option is not None or find_spec("dns") is None:
        return asked
    from cluster_kit.strategies.dns.server import ServerResolver

    try:
        return _Detailed(asked, ServerResolver())
    except DiscoveryError:
        return asked


def _outcome(reply: Reply) -> Outcome:
    if reply.status is Status.FOUND:
        return Outcome.OK
    return Outcome.FAILED if reply.status is Status.FAILED else Outcome.EMPTY


def _why(name: str, kind: Kind, reply: Reply, servers: Servers) -> str | None:
    if reply.status is Status.FOUND:
        return None
    return why_failed(reply) if reply.status is Status.FAILED else why_nobody(name, kind, reply, servers.search)


def _told(reply: Reply, records: Sequence[str]) -> str:
    if reply.status is not Status.FOUND:
        return reply.said
    return _list("record", records) + (f"; time to live {reply.ttl_s} s" if reply.ttl_s is not None else "")


def _list(what: str, entries: Sequence[str]) -> str:
    shown = ", ".join(entries[:SHOWN]) + (", ..." if len(entries) > SHOWN else "")
    return f"{len(entries)} {what}{'s' * (len(entries) != 1)}" + (f": {shown}" if entries else "")
