"""Asks name servers directly, by dnspython: those of resolv.conf, or those of the configuration.

Garbage and answers to other questions are skipped, a truncated answer is asked for again by TCP,
and when a server fails, the next one is asked. Either way, resolv.conf gives the search domains.
"""

from __future__ import annotations

from collections.abc import Sequence

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.nameserver
import dns.rdataclass
import dns.rdatatype
import dns.resolver
from msgspec.structs import replace

from cluster_kit.errors import DiscoveryError, cause_of
from cluster_kit.node import join_address
from cluster_kit.strategies.dns.options import RESOLV_CONF
from cluster_kit.strategies.dns.replies import (
    DnsFailure,
    DnsReply,
    RecordType,
    ReplyStatus,
    SrvRecord,
    no_answer,
)

LOOKUP_S = 5.0
SERVER_S = 1.0  # for one server: in a pod, search domains make four questions of one name

_CODES = {"SERVFAIL": DnsFailure.SERVER_FAILURE, "REFUSED": DnsFailure.REFUSED}


class ServerResolver:
    """Asks ``servers``, or those of resolv.conf as it is now.

    Args:
        servers: Address and port of each.
        lookup_s: How long one question may take, all servers and repetitions together.

    Raises:
        DiscoveryError: There is no name server to ask.
    """

    def __init__(
        self, servers: Sequence[tuple[str, int]] = (), *, lookup_s: float = LOOKUP_S
    ) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.lifetime, self._resolver.timeout = lookup_s, SERVER_S
        try:
            self._resolver.read_resolv_conf(RESOLV_CONF)
        except (dns.exception.DNSException, ValueError) as exc:  # it may not even be text
            if not servers:
                is_empty = isinstance(exc, dns.resolver.NoResolverConfiguration)
                what = f"{RESOLV_CONF} names no name server{'' if is_empty else f' ({exc})'}"
                text = f"dns: {what}: set resolver, or correct the file"
                raise DiscoveryError(text, strategy="dns") from exc
        if servers:
            do53 = dns.nameserver.Do53Nameserver
            self._resolver.nameservers = [do53(host, port) for host, port in servers]

    async def ask(self, name: str, kind: RecordType) -> DnsReply:
        """Return what the servers know of ``name``."""
        try:
            resolve = self._resolver.resolve
            answer = await resolve(name, kind.value, search=True, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            return DnsReply(status=ReplyStatus.NO_NAME, reason="there is no such name (NXDOMAIN)")
        except (dns.resolver.NoNameservers, dns.resolver.LifetimeTimeout) as exc:
            return self._failed(exc.kwargs["errors"])
        except dns.exception.DNSException as exc:
            return no_answer(str(exc).lower(), DnsFailure.OTHER)
        return replace(_reply(answer, kind), asked=_host(answer.qname))

    def _failed(self, errors: Sequence[tuple[str, bool, int, Exception | str, object]]) -> DnsReply:
        """Return how each server failed last, in words that stay the same while it does."""
        last = {_address(server): (tcp, *_failure(error)) for server, tcp, _, error, _ in errors}
        if not last:
            return no_answer(f"no answer within {self._resolver.lifetime:g} s", DnsFailure.SILENT)
        by = {True: " by TCP", False: ""}
        reason = ", ".join(f"{server} {what}{by[tcp]}" for server, (tcp, what, _) in last.items())
        return no_answer(reason, *(failure for _, _, failure in last.values()))


def _reply(answer: dns.resolver.Answer, kind: RecordType) -> DnsReply:
    flags = answer.response.flags
    if flags & dns.flags.TC:  # by UDP it would have been asked for again
        reason = f"{answer.nameserver} truncates its reply even by TCP"
        return no_answer(reason, DnsFailure.TRUNCATED)
    if answer.rrset is None and not flags & (dns.flags.AA | dns.flags.RA):
        # a referral (RFC 2308, section 2.2)
        return no_answer(f"{answer.nameserver} does not serve the name", DnsFailure.NOT_SERVED)
    if answer.rrset is None:
        return DnsReply(status=ReplyStatus.NO_DATA, reason=f"it has no {kind} records")
    ttl_s = answer.chaining_result.minimum_ttl
    if kind is not RecordType.SRV:
        addresses = tuple(sorted({record.address for record in answer}))
        return DnsReply(status=ReplyStatus.FOUND, addresses=addresses, ttl_s=ttl_s)
    found = {SrvRecord(record.priority, _host(record.target), record.port) for record in answer}
    services, glue = tuple(sorted(found)), _glue(answer.response)
    return DnsReply(status=ReplyStatus.FOUND, services=services, glue=glue, ttl_s=ttl_s)


def _glue(response: dns.message.Message) -> dict[tuple[RecordType, str], tuple[str, ...]]:
    return {
        (RecordType(rrset.rdtype.name), _host(rrset.name)): tuple(
            sorted(record.address for record in rrset)
        )
        for rrset in response.additional
        if rrset.rdclass == dns.rdataclass.IN
        and rrset.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA)
    }


def _host(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if len(name) > 1 else ""


def _failure(error: Exception | str) -> tuple[str, DnsFailure]:
    if isinstance(error, str):  # the name of a response code
        return f"answers {error}", _CODES.get(error, DnsFailure.OTHER)
    if isinstance(error, dns.exception.Timeout):
        return "does not answer", DnsFailure.SILENT
    if isinstance(error, EOFError):
        return "closes the connection", DnsFailure.CLOSED
    if isinstance(error, OSError):
        return f"can't be asked ({cause_of(error)})", DnsFailure.UNREACHABLE
    return "answers with garbage", DnsFailure.GARBAGE


def _address(server: str) -> str:
    """Return ``host:port`` of what dnspython writes as ``Do53:host@port``."""
    host, _, port = server.removeprefix("Do53:").rpartition("@")
    return join_address(host, int(port))
