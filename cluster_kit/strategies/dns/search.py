"""Finds out which search domain completed a name, and whether it is only a wildcard.

A resolver completes a name without a final dot by its search domains, in a pod even before it asks
for the name as it is. A domain with a wildcard record answers for every name: it may hide the name
that is meant, or answer for one that does not exist. Two more questions show that:

- The name with a final dot. If that has records, it wins, unless the name has no other dot: then it
  would be a top-level domain.
- A made-up neighbour of the completed name, which can exist only by a wildcard. If the answers for
  several such names differ, the wildcard rotates its addresses, and any answer may be its own.

Source: resolv.conf(5), "search" and "ndots"; RFC 4592 (wildcards).
"""

from __future__ import annotations

import asyncio
import logging
from functools import lru_cache
from pathlib import Path

from msgspec.structs import replace

from cluster_kit.strategies.dns.options import RESOLV_CONF
from cluster_kit.strategies.dns.replies import DnsReply, RecordType, ReplyStatus, Resolver

log = logging.getLogger("cluster_kit.dns")

SECOND_OPINION_S = 1.0  # slow servers must not delay for long the answer that is there already
MADE_UP = "cluster-kit-asks-for-wildcards"  # always the same, so that caches answer
MORE_MADE_UP = 7  # with two addresses in turn, all seven equal the first one once in 128 times

_EXISTS = (ReplyStatus.FOUND, ReplyStatus.NO_DATA)


async def ask(resolver: Resolver, name: str, kind: RecordType) -> DnsReply:
    """Return the records of ``name``, never those of a search domain's wildcard.

    Returns:
        A reply whose ``domain`` is the search domain that completed the name, if one did.
    """
    reply = await resolver.ask(name, kind)
    if name.endswith(".") or reply.status not in _EXISTS or reply.asked in ("", name.lower()):
        return reply
    domain = _domain_of(name, reply.asked)
    if domain is not None and _is_of_services(domain):
        return replace(reply, domain=domain)
    whole = await _second_opinion(resolver, f"{name}.", kind)
    if whole.status is ReplyStatus.FOUND and "." in name:
        return whole
    domain = domain or await _find_domain(resolver, name, kind)
    if domain is None:
        return reply
    if await _is_wildcard(resolver, f"{name}.{domain}".partition(".")[2], kind, reply):
        missing = DnsReply(status=ReplyStatus.NO_NAME, reason=_only_a_wildcard(domain))
        return whole if whole.status in _EXISTS else missing
    _log_once(name, domain)
    return replace(reply, domain=domain)


def search_domains(resolv_conf: str) -> list[str]:
    """Return the domains of a resolv.conf that complete names."""
    settings = read_settings(resolv_conf)
    searches = [words[1:] for words in settings if words[0] in ("search", "domain")]
    return searches[-1] if searches else []


def read_settings(resolv_conf: str) -> list[list[str]]:
    """Return the lines of a resolv.conf as words; none where it can't be read."""
    try:
        text = Path(resolv_conf).read_text(errors="replace")
    except OSError:
        return []
    return [words for line in text.splitlines() if (words := line.split())]


async def _second_opinion(resolver: Resolver, name: str, kind: RecordType) -> DnsReply:
    try:
        async with asyncio.timeout(SECOND_OPINION_S):
            return await resolver.ask(name, kind)
    except TimeoutError:
        return DnsReply(status=ReplyStatus.FAILED, reason="no answer")


async def _find_domain(resolver: Resolver, name: str, kind: RecordType) -> str | None:
    """Return the domain that completed the name, where an alias (CNAME) hides it."""
    domains = [domain.strip(".").lower() for domain in search_domains(RESOLV_CONF)]
    replies = [_second_opinion(resolver, f"{name}.{domain}.", kind) for domain in domains]
    found = zip(domains, await asyncio.gather(*replies), strict=True)
    return next((domain for domain, reply in found if reply.status in _EXISTS), None)


async def _is_wildcard(resolver: Resolver, domain: str, kind: RecordType, reply: DnsReply) -> bool:
    """Whether ``reply`` may be that of a wildcard of ``domain``."""
    first = await _second_opinion(resolver, f"{MADE_UP}.{domain}.", kind)
    if _records(first) == _records(reply):
        return True
    if not first.status is reply.status is ReplyStatus.FOUND:
        return False
    names = [f"{MADE_UP}-{number}.{domain}." for number in range(MORE_MADE_UP)]
    others = await asyncio.gather(*(_second_opinion(resolver, name, kind) for name in names))
    found = [other for other in others if other.status is ReplyStatus.FOUND]
    return any(_records(other) != _records(first) for other in found)


def _records(reply: DnsReply) -> tuple[object, ...]:
    return reply.status, reply.addresses, reply.services


def _domain_of(name: str, asked: str) -> str | None:
    """Return what was appended to ``name``."""
    prefix = f"{name.lower()}."
    return asked.removeprefix(prefix) if asked.startswith(prefix) else None


def _is_of_services(domain: str) -> bool:
    """Whether it is a domain of Kubernetes Services, which has no wildcards."""
    return domain.startswith("svc.") or ".svc." in domain


def _only_a_wildcard(domain: str) -> str:
    what = f"search domain {domain!r} answers for every name (a wildcard)"
    cure = "if that answer is meant, give the whole name with a final dot"
    return f"there is no such name, and {what}; {cure}"


@lru_cache(maxsize=256)  # so that it logs each pair once
def _log_once(name: str, domain: str) -> None:
    log.info("dns: %r is answered by search domain %r", name, domain)
