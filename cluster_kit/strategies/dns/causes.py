"""Why a name may list no nodes, and what to do about it. Pure: replies in, causes and cures out."""

from __future__ import annotations

from collections.abc import Sequence

from cluster_kit.strategies.dns.replies import DnsFailure, DnsReply, RecordType, ReplyStatus

_OTHER_SERVER = (
    "the server doesn't serve this client or this name; name another one in resolver or "
    "/etc/resolv.conf"
)

# where several servers fail, the first failure in this order decides
_FAILURES = {
    DnsFailure.SERVER_FAILURE: (
        "the server can't reach the authoritative ones, or their answer is not valid; look at "
        "its log"
    ),
    DnsFailure.REFUSED: _OTHER_SERVER,
    DnsFailure.NOT_SERVED: _OTHER_SERVER,
    DnsFailure.GARBAGE: (
        "something other than a DNS server answers there; correct resolver or /etc/resolv.conf"
    ),
    DnsFailure.TRUNCATED: (
        "the server can't send a whole answer; name another one in resolver or /etc/resolv.conf"
    ),
    DnsFailure.CLOSED: (
        "the server is overloaded, or a firewall or network policy cuts TCP to its port"
    ),
    DnsFailure.UNREACHABLE: (
        "no route leads to the server, or nothing listens there; correct resolver or "
        "/etc/resolv.conf"
    ),
    DnsFailure.SILENT: (
        "the server is down, or a firewall or network policy drops its port (UDP and TCP); try dig"
    ),
    DnsFailure.OTHER: (
        "a name server doesn't answer, or answers SERVFAIL or REFUSED; try dig at each of "
        "/etc/resolv.conf"
    ),
}
_SERVICE = (
    "its Service doesn't exist in that namespace, or has no ready pods (publishNotReadyAddresses: "
    "true lists all of them), or the cluster's domain is another one (CLUSTER_DOMAIN)"
)


def why_failed(reply: DnsReply) -> str:
    """Return the likely cause of a question without an answer."""
    failure = next((each for each in _FAILURES if each in reply.failures), DnsFailure.OTHER)
    return _FAILURES[failure]


def why_half(kind: RecordType) -> str:
    """Return the likely cause where one family fails and the other one answers."""
    other = "ipv6" if kind is RecordType.A else "ipv4"
    cure = f"if nodes have no such addresses, set 'family: {other}'"
    return f"the same servers answer for the other family: {cure}"


def why_nobody(name: str, kind: RecordType, reply: DnsReply, search: Sequence[str]) -> str:
    """Return the likely cause of an answer without nodes."""
    causes = [_SERVICE] if in_kubernetes(name, search) else []
    if reply.status is ReplyStatus.NO_NAME:
        causes.append("the name is misspelt, or nothing is published under it yet")
        causes += _why_short(name, search)
    elif kind is RecordType.SRV:
        where = "" if name.startswith("_") else "they are mostly at _port._tcp.name; or "
        causes.append(f"the name has no SRV records: {where}use strategy dns for its addresses")
    elif name.startswith("_"):
        what = "the name is one for SRV records, which include ports"
        causes.append(f"{what}: use strategy dns_srv")
    else:
        causes.append("the name exists, but its records are of another type or family")
    return "; or ".join(causes)


def _why_short(name: str, search: Sequence[str]) -> list[str]:
    if name.endswith("."):
        return []
    if search:
        return [f"it is in none of the search domains {', '.join(search)}: give the whole name"]
    if "." in name:
        return []
    return ["it has no dots, and there are no search domains to complete it: give the whole name"]


def why_one(
    name: str, addresses: Sequence[str], own_host: str, search: Sequence[str]
) -> str | None:
    """Return what is suspicious about a Service with a single address."""
    if len(addresses) != 1 or own_host in addresses or not in_kubernetes(name, search):
        return None
    what = "one address, and not this node's: the Service is likely not headless"
    return f"{what}; set its clusterIP to None"


def why_late(ttl_s: int | None, interval_s: float) -> str | None:
    """Return a warning where changes are seen later than asked for."""
    if ttl_s is None or ttl_s <= interval_s:
        return None
    what = f"caches may keep it for {ttl_s} s, which delays changes by as much"
    return f"{what}; lower the records' time to live"


def in_kubernetes(name: str, search: Sequence[str]) -> bool:
    """Whether ``name`` is likely that of a Kubernetes Service."""
    is_service = ".svc." in f"{name.rstrip('.')}."
    return is_service or any(domain.startswith("svc.") for domain in search)
