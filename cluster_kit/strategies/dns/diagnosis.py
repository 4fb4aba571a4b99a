"""Asks what a DNS strategy asks, step by step, and says what came of it and what is likely wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from cluster_kit.abc import Answer
from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.errors import DiscoveryError
from cluster_kit.node import Node, join_address
from cluster_kit.strategies.dns.causes import why_failed, why_half, why_late, why_nobody, why_one
from cluster_kit.strategies.dns.lookup import ask_addresses, ask_services, resolver_of
from cluster_kit.strategies.dns.options import DNS_PORT, RESOLV_CONF, read_names, read_servers
from cluster_kit.strategies.dns.replies import RecordType, Reply, Resolver, Status, kinds_of
from cluster_kit.strategies.dns.search import read_settings, search_domains
from cluster_kit.strategies.dns.services import who_serves
from cluster_kit.strategies.dns.system import WHERE

if TYPE_CHECKING:
    from cluster_kit.strategies.dns import DnsStrategy
    from cluster_kit.strategies.dns_srv import DnsSrvStrategy

SHOWN = 5  # records of an answer that are written out
_EMPTY = (Status.NO_NAME, Status.NO_DATA)


class Servers(NamedTuple):
    """Who is asked in the end, and the domains that complete short names."""

    named: Sequence[tuple[str, int]]
    search: Sequence[str]

    @property
    def told(self) -> str:
        """The servers, for messages."""
        return ", ".join(join_address(host, port) for host, port in self.named)


async def diagnose_addresses(options: DnsStrategy, local: Node) -> AsyncIterator[Finding]:
    """Find out what strategy ``dns`` gets to hear."""
    servers = _servers(options.resolver)
    names, kinds = read_names("query", options.query), kinds_of(options.family)
    yield await _whom(options.resolver, servers, names[0])
    said = await ask_addresses(_detailed(options.resolver), names, kinds)
    where = WHERE if options.resolver is None else servers.told
    for name, replies in said.items():
        somebody = any(reply.addresses for reply in replies.values())
        for kind, reply in replies.items():
            suspicion = why_one(name, reply.addresses, local.host, servers.search) or why_late(
                reply.ttl_s, options.interval_s
            )
            yield Finding(
                asked=f"{kind} of {name!r} at {where}",
                got=_told(reply, reply.addresses),
                outcome=Outcome.OK if somebody and reply.status in _EMPTY else _outcome(reply),
                cause=_cause(name, kind, reply, servers, suspicion, somebody=somebody),
            )


async def diagnose_services(options: DnsSrvStrategy, local: Node) -> AsyncIterator[Finding]:
    """Find out what strategy ``dns_srv`` gets to hear."""
    from cluster_kit.strategies.dns.server import ServerResolver

    servers, names = _servers(options.resolver), read_names("query", options.query)
    yield await _whom(options.resolver, servers, names[0])
    try:
        resolver = ServerResolver(read_servers(options.resolver))
    except DiscoveryError:  # the first finding has said so
        return
    said = await ask_services(resolver, names, kinds_of(options.family, local.host))
    for name, (reply, located) in said.items():
        yield Finding(
            asked=f"SRV of {name!r} at {servers.told}",
            got=_told(reply, [f"{service.target}:{service.port}" for service in reply.services]),
            outcome=_outcome(reply),
            cause=_why(name, RecordType.SRV, reply, servers)
            or why_late(reply.ttl_s, options.interval_s),
        )
        if reply.services:
            answer = who_serves(
                name, reply, located, basename=options.node_basename, port=options.port
            )
            yield Finding(
                asked=f"which nodes the SRV records of {name!r} stand for",
                got=_list(
                    "node",
                    sorted(
                        f"{node.key} ({node.address})" if node.name else node.key
                        for node in answer.nodes
                    ),
                ),
                outcome=_worth(answer),
                cause=str(answer.error) if answer.error else None,
            )


def _servers(option: str | None) -> Servers:
    settings = read_settings(RESOLV_CONF)
    listed = [words[1] for words in settings if len(words) > 1 and words[0] == "nameserver"]
    named = read_servers(option) or [(host, DNS_PORT) for host in listed]
    return Servers(named, search_domains(RESOLV_CONF))


async def _whom(option: str | None, servers: Servers, name: str) -> Finding:
    asked = f"which name servers {'the option resolver' if option else RESOLV_CONF} names"
    search = (
        f"; search domains {', '.join(servers.search)}" if servers.search else "; no search domains"
    )
    if not servers.named:
        cause = f"there is nobody to ask: set resolver, or mend {RESOLV_CONF}"
        return Finding(asked=asked, got=f"none{search}", outcome=Outcome.FAILED, cause=cause)
    return Finding(asked=asked, got=servers.told + search, cause=await _who_fails(servers, name))


async def _who_fails(servers: Servers, name: str) -> str | None:
    """Return a warning where some of several name servers don't answer: the others are asked late, or answer otherwise."""
    if len(servers.named) == 1 or find_spec("dns") is None:
        return None
    from cluster_kit.strategies.dns.server import ServerResolver

    replies = await asyncio.gather(
        *(ServerResolver([server]).ask(name, RecordType.A) for server in servers.named)
    )
    failing = [reply.said for reply in replies if reply.status is Status.FAILED]
    if not failing or len(failing) == len(replies):  # of all of them the next findings tell
        return None
    return f"{', '.join(failing)}: questions that go there first are answered late or not at all; mend it, or take it out"


class _Detailed:
    """Asks the system, and beside it the servers themselves, which say why they fail and how long their answers last."""

    def __init__(self, system: Resolver, servers: Resolver) -> None:
        self._system = system
        self._servers = servers

    async def ask(self, name: str, kind: RecordType) -> Reply:
        """Return what the system says, with what the servers have to add."""
        reply, direct = await asyncio.gather(
            self._system.ask(name, kind), self._servers.ask(name, kind)
        )
        if reply.status is Status.FOUND:
            return replace(reply, ttl_s=direct.ttl_s)
        return (
            replace(reply, said=f"{reply.said}: {direct.said}")
            if reply.status is direct.status is Status.FAILED
            else reply
        )


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


def _worth(answer: Answer) -> Outcome:
    """Return what SRV records are worth: some that are of no use, beside others, are a fault of whoever publishes them."""
    if answer.error is None:
        return Outcome.OK
    return Outcome.EMPTY if answer.complete and not answer.nodes else Outcome.FAILED


def _cause(
    name: str,
    kind: RecordType,
    reply: Reply,
    servers: Servers,
    suspicion: str | None,
    *,
    somebody: bool,
) -> str | None:
    """Return what is likely wrong with an answer; ``somebody``: there are addresses, of the one family or the other."""
    if not somebody:
        return _why(name, kind, reply, servers)
    return why_half(kind) if reply.status is Status.FAILED else suspicion


def _why(name: str, kind: RecordType, reply: Reply, servers: Servers) -> str | None:
    if reply.status is Status.FOUND:
        return None
    return (
        why_failed(reply)
        if reply.status is Status.FAILED
        else why_nobody(name, kind, reply, servers.search)
    )


def _told(reply: Reply, records: Sequence[str]) -> str:
    completed = f"; completed by search domain {reply.domain!r}" if reply.domain else ""
    if reply.status is not Status.FOUND:
        return reply.said + completed
    ttl = f"; time to live {reply.ttl_s} s" if reply.ttl_s is not None else ""
    return _list("record", records) + completed + ttl


def _list(what: str, entries: Sequence[str]) -> str:
    shown = ", ".join(entries[:SHOWN]) + (", ..." if len(entries) > SHOWN else "")
    return f"{len(entries)} {what}{'s' * (len(entries) != 1)}" + (f": {shown}" if entries else "")
