"""Asks name servers directly, by dnspython: those of resolv.conf, or those that the configuration names.

Garbage and answers to other questions are skipped, a truncated answer is asked for again by TCP, and a server that fails gives
way to the next one. Search domains are those of resolv.conf in both cases.
"""

from __future__ import annotations

import os
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

from cluster_kit.errors import DiscoveryError
from cluster_kit.node import join_address
from cluster_kit.strategies.dns.options import RESOLV_CONF
from cluster_kit.strategies.dns.replies import RecordType, Reply, SrvRecord, Status

LOOKUP_S = 5.0  # for one question, all servers and repetitions together
SERVER_S = 1.0  # for one server: by then the next one has its turn, though a pod's search domains make four names of one


class ServerResolver:
    """Asks ``servers``, or those of resolv.conf as it is now.

    Raises:
        DiscoveryError: There is nobody to ask.
    """

    def __init__(self, servers: Sequence[tuple[str, int]] = ()) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.lifetime, self._resolver.timeout = LOOKUP_S, SERVER_S
        try:
            self._resolver.read_resolv_conf(RESOLV_CONF)
        except (
            dns.exception.DNSException,
            ValueError,
        ) as exc:  # not even that it is text is certain
            if not servers:
                cause = "" if isinstance(exc, dns.resolver.NoResolverConfiguration) else f" ({exc})"
                raise DiscoveryError(
                    f"dns: no name server to be had from {RESOLV_CONF}{cause}: set resolver, or mend the file",
                    strategy="dns",
                ) from exc
        if servers:
            self._resolver.nameservers = [
                dns.nameserver.Do53Nameserver(host, port) for host, port in servers
            ]

    async def ask(self, name: str, kind: RecordType) -> Reply:
        """Return what the servers know of ``name``."""
        try:
            answer = await self._resolver.resolve(
                name, kind.value, search=True, raise_on_no_answer=False
            )
        except dns.resolver.NXDOMAIN:
            return Reply(status=Status.NO_NAME, said="there is no such name (NXDOMAIN)")
        except (dns.resolver.NoNameservers, dns.resolver.LifetimeTimeout) as exc:
            return Reply(status=Status.FAILED, said=_faults(exc.kwargs["errors"]))
        except dns.exception.DNSException as exc:
            return Reply(status=Status.FAILED, said=str(exc).lower())
        return replace(_reply(answer, kind), asked=_host(answer.qname))


def _reply(answer: dns.resolver.Answer, kind: RecordType) -> Reply:
    if answer.response.flags & dns.flags.TC:  # by UDP it would have been asked for again
        return Reply(
            status=Status.FAILED, said=f"{answer.nameserver} cuts its reply short by TCP, too"
        )
    if answer.rrset is None and not answer.response.flags & (
        dns.flags.AA | dns.flags.RA
    ):  # RFC 2308, section 2.2: a referral
        return Reply(status=Status.FAILED, said=f"{answer.nameserver} does not serve the name")
    if answer.rrset is None:
        return Reply(status=Status.NO_DATA, said=f"it has no {kind} records")
    ttl_s = answer.chaining_result.minimum_ttl
    if kind is not RecordType.SRV:
        return Reply(
            status=Status.FOUND,
            addresses=tuple(sorted({record.address for record in answer})),
            ttl_s=ttl_s,
        )
    services = tuple(
        sorted({SrvRecord(record.priority, _host(record.target), record.port) for record in answer})
    )
    return Reply(status=Status.FOUND, services=services, glue=_glue(answer.response), ttl_s=ttl_s)


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


def _faults(errors: Sequence[tuple[str, bool, int, Exception | str, object]]) -> str:
    """Return what each server did at last, in words that stay the same while it does the same."""
    last = {
        _address(server): _fault(error) + " by TCP" * tcp for server, tcp, _, error, _ in errors
    }
    return (
        ", ".join(f"{server} {fault}" for server, fault in last.items())
        or f"no answer within {LOOKUP_S:g} s"
    )


def _fault(error: Exception | str) -> str:
    if isinstance(error, str):
        return f"answers {error}"
    if isinstance(error, dns.exception.Timeout):
        return "does not answer"
    if isinstance(error, EOFError):
        return "closes the connection"
    if isinstance(error, OSError):
        return f"can't be asked ({os.strerror(error.errno) if error.errno else error})".lower()
    return "answers with garbage"


def _address(server: str) -> str:
    """Return ``host:port`` of what dnspython writes as ``Do53:host@port``."""
    host, _, port = server.removeprefix("Do53:").rpartition("@")
    return join_address(host, int(port))
