"""Asks what a DNS strategy asks, step by step, and reports the answers and what is likely wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from importlib.util import find_spec
from typing import NamedTuple

from msgspec.structs import replace

from cluster_kit.abc import Answer
from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.errors import DiscoveryError
from cluster_kit.node import Node, join_address
from cluster_kit.strategies.dns.causes import why_failed, why_half, why_late, why_nobody, why_one
from cluster_kit.strategies.dns.lookup import ask_addresses, ask_services
from cluster_kit.strategies.dns.options import (
    DNS_PORT,
    RESOLV_CONF,
    DnsOptions,
    read_names,
    read_servers,
)
from cluster_kit.strategies.dns.replies import (
    DnsReply,
    RecordType,
    ReplyStatus,
    Resolver,
    kinds_of,
    nodes_of_services,
)
from cluster_kit.strategies.dns.search import read_settings, search_domains
from cluster_kit.strategies.dns.system import WHERE

SHOWN = 5  # records of an answer that are written out
_EMPTY = (ReplyStatus.NO_NAME, ReplyStatus.NO_DATA)


class Servers(NamedTuple):
    """The name servers that are asked, and the domains that complete short names."""

    named: Sequence[tuple[str, int]]
    search: Sequence[str]

    @property
    def listed(self) -> str:
        """The name servers, for messages."""
        return ", ".join(join_address(host, port) for host, port in self.named)


async def diagnose_addresses(
    options: DnsOptions, resolver: Resolver, local: Node
) -> AsyncIterator[Finding]:
    """Ask what strategy ``dns`` asks."""
    servers = _servers(options.resolver)
    names, kinds = read_names("query", options.query), kinds_of(options.family)
    yield await _name_servers(options.resolver, servers, names[0])
    replies_of = await ask_addresses(_detailed(options.resolver, resolver), names, kinds)
    where = WHERE if options.resolver is None else servers.listed
    for name, replies in replies_of.items():
        has_addresses = any(reply.addresses for reply in replies.values())
        for kind, reply in replies.items():
            suspicion = why_one(name, reply.addresses, local.host, servers.search) or why_late(
                reply.ttl_s, options.interval_s
            )
            yield Finding(
                asked=f"{kind} of {name!r} at {where}",
                got=_described(reply, reply.addresses),
                outcome=Outcome.OK if has_addresses and reply.status in _EMPTY else _outcome(reply),
                cause=_cause(name, kind, reply, servers, suspicion, has_addresses=has_addresses),
            )


async def diagnose_services(
    options: DnsOptions, make_resolver: Callable[[], Resolver], local: Node
) -> AsyncIterator[Finding]:
    """Ask what strategy ``dns_srv`` asks."""
    servers, names = _servers(options.resolver), read_names("query", options.query)
    yield await _name_servers(options.resolver, servers, names[0])
    try:
        resolver = make_resolver()
    except DiscoveryError:  # the first finding has reported it
        return
    replies_of = await ask_services(resolver, names, kinds_of(options.family, local.host))
    for name, (reply, located) in replies_of.items():
        targets = [f"{service.target}:{service.port}" for service in reply.services]
        cause = _why(name, RecordType.SRV, reply, servers)
        yield Finding(
            asked=f"SRV of {name!r} at {servers.listed}",
            got=_described(reply, targets),
            outcome=_outcome(reply),
            cause=cause or why_late(reply.ttl_s, options.interval_s),
        )
        if reply.services:
            basename, port = options.node_basename, options.port
            answer = nodes_of_services(name, reply, located, basename=basename, port=port)
            yield Finding(
                asked=f"nodes behind the SRV records of {name!r}",
                got=_counted("node", sorted(map(_shown, answer.nodes))),
                outcome=_outcome_of_nodes(answer),
                cause=str(answer.error) if answer.error else None,
            )


def _shown(node: Node) -> str:
    return f"{node.key} ({node.address})" if node.name else node.key


def _servers(option: str | None) -> Servers:
    settings = read_settings(RESOLV_CONF)
    listed = [words[1] for words in settings if len(words) > 1 and words[0] == "nameserver"]
    named = read_servers(option) or [(host, DNS_PORT) for host in listed]
    return Servers(named, search_domains(RESOLV_CONF))


async def _name_servers(option: str | None, servers: Servers, name: str) -> Finding:
    asked = f"which name servers {'the option resolver' if option else RESOLV_CONF} names"
    domains = f"search domains {', '.join(servers.search)}"
    search = f"; {domains if servers.search else 'no search domains'}"
    if not servers.named:
        cause = f"there is no name server to ask: set resolver, or correct {RESOLV_CONF}"
        return Finding(asked=asked, got=f"none{search}", outcome=Outcome.FAILED, cause=cause)
    return Finding(asked=asked, got=servers.listed + search, cause=await _who_fails(servers, name))


async def _who_fails(servers: Servers, name: str) -> str | None:
    """Return a warning if some of several name servers fail, which delays or changes answers."""
    if len(servers.named) == 1 or find_spec("dns") is None:
        return None
    from cluster_kit.strategies.dns.server import ServerResolver

    asking = [ServerResolver([server]).ask(name, RecordType.A) for server in servers.named]
    replies = await asyncio.gather(*asking)
    failing = [reply.reason for reply in replies if reply.status is ReplyStatus.FAILED]
    if not failing or len(failing) == len(replies):  # if all fail, the next findings show it
        return None
    what = "questions that go there first are answered late or not at all"
    return f"{', '.join(failing)}: {what}; repair it, or remove it"


class _Detailed:
    """Asks the system, and also the servers, whose replies say more: causes, and times to live."""

    def __init__(self, system: Resolver, servers: Resolver) -> None:
        self._system = system
        self._servers = servers

    async def ask(self, name: str, kind: RecordType) -> DnsReply:
        """Return the system's reply with the details that the servers add."""
        asking = self._system.ask(name, kind), self._servers.ask(name, kind)
        reply, direct = await asyncio.gather(*asking)
        if reply.status is ReplyStatus.FOUND:
            return replace(reply, ttl_s=direct.ttl_s)
        if reply.status is direct.status is ReplyStatus.FAILED:
            failures = reply.failures | direct.failures
            return replace(reply, reason=f"{reply.reason}: {direct.reason}", failures=failures)
        return reply


def _detailed(option: str | None, asked: Resolver) -> Resolver:
    if option is not None or find_spec("dns") is None:
        return asked
    from cluster_kit.strategies.dns.server import ServerResolver

    try:
        return _Detailed(asked, ServerResolver())
    except DiscoveryError:
        return asked


def _outcome(reply: DnsReply) -> Outcome:
    if reply.status is ReplyStatus.FOUND:
        return Outcome.OK
    return Outcome.FAILED if reply.status is ReplyStatus.FAILED else Outcome.EMPTY


def _outcome_of_nodes(answer: Answer) -> Outcome:
    """Return the outcome of SRV records, some of which may lead to no node."""
    if answer.error is None:
        return Outcome.OK
    return Outcome.EMPTY if answer.complete and not answer.nodes else Outcome.FAILED


def _cause(
    name: str,
    kind: RecordType,
    reply: DnsReply,
    servers: Servers,
    suspicion: str | None,
    *,
    has_addresses: bool,
) -> str | None:
    """Return what is likely wrong; one family may well lack addresses that the other has."""
    if not has_addresses:
        return _why(name, kind, reply, servers)
    return why_half(kind) if reply.status is ReplyStatus.FAILED else suspicion


def _why(name: str, kind: RecordType, reply: DnsReply, servers: Servers) -> str | None:
    match reply.status:
        case ReplyStatus.FOUND:
            return None
        case ReplyStatus.FAILED:
            return why_failed(reply)
        case _:
            return why_nobody(name, kind, reply, servers.search)


def _described(reply: DnsReply, records: Sequence[str]) -> str:
    completed = f"; completed by search domain {reply.domain!r}" if reply.domain else ""
    if reply.status is not ReplyStatus.FOUND:
        return reply.reason + completed
    ttl = f"; time to live {reply.ttl_s} s" if reply.ttl_s is not None else ""
    return _counted("record", records) + completed + ttl


def _counted(what: str, entries: Sequence[str]) -> str:
    shown = ", ".join(entries[:SHOWN]) + (", ..." if len(entries) > SHOWN else "")
    return f"{len(entries)} {what}{'s' * (len(entries) != 1)}" + (f": {shown}" if entries else "")
