"""Replies of a resolver, and what they mean for the nodes. Pure.

There are four kinds: records; a name that has none of the type; a name that doesn't exist; and no
answer at all, which removes no node.

Each address is a node. So is each SRV record, which serves at its target's address and its own
port. SRV records of every priority count, since a mesh has no second choice.

Source: RFC 2782 (SRV).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, StrEnum, auto
from typing import Protocol

from msgspec import Struct

from cluster_kit.abc import Answer
from cluster_kit.errors import DiscoveryError
from cluster_kit.node import Node, join_address
from cluster_kit.strategies.dns.options import is_host_name

UNAVAILABLE = ""  # a target "." without its dot: the service is not available at this domain


class RecordType(StrEnum):
    """A type of DNS record."""

    A = "A"
    AAAA = "AAAA"
    SRV = "SRV"


_TYPES = {
    "any": (RecordType.A, RecordType.AAAA),
    "ipv4": (RecordType.A,),
    "ipv6": (RecordType.AAAA,),
}


def kinds_of(family: str, own_host: str = "") -> tuple[RecordType, ...]:
    """Return the types of address that the option ``family`` means, this node's own first."""
    kinds = _TYPES[family]
    return kinds[::-1] if ":" in own_host else kinds


class ReplyStatus(StrEnum):
    """The outcome of a question."""

    FOUND = "found"
    NO_DATA = "no data"
    NO_NAME = "no name"
    FAILED = "failed"


class DnsFailure(Enum):
    """Why a question has no answer; ``causes`` has the cures."""

    SERVER_FAILURE = auto()
    """SERVFAIL."""
    REFUSED = auto()
    """REFUSED."""
    NOT_SERVED = auto()
    """A referral: the server doesn't serve the name."""
    GARBAGE = auto()
    """Bytes that aren't a DNS answer."""
    TRUNCATED = auto()
    """An answer that is cut short even by TCP."""
    CLOSED = auto()
    """The server closed the connection."""
    UNREACHABLE = auto()
    """The question could not be sent."""
    SILENT = auto()
    """Nothing came in time."""
    OTHER = auto()
    """Anything else, such as what the system's resolver keeps to itself."""


class SrvRecord(Struct, frozen=True, order=True):
    """An SRV record; its weight says how to share load, which has no meaning for a mesh."""

    priority: int
    target: str
    port: int


class DnsReply(Struct, frozen=True, kw_only=True):
    """The reply to one question.

    Attributes:
        reason: Why there are no records, in words that stay the same while the reason does.
        failures: Where ``status`` is ``FAILED``, why, of each server that was asked.
        addresses: Addresses of A and AAAA records, sorted.
        services: SRV records, sorted.
        glue: Addresses of SRV targets that came along, by type and target.
        ttl_s: For how long caches keep it, if that is known.
        asked: The whole name that was answered, in lower case without the final dot, if known.
        domain: The search domain that completed the name, if one did.
    """

    status: ReplyStatus
    reason: str = ""
    failures: frozenset[DnsFailure] = frozenset()
    addresses: tuple[str, ...] = ()
    services: tuple[SrvRecord, ...] = ()
    glue: Mapping[tuple[RecordType, str], tuple[str, ...]] = {}
    ttl_s: int | None = None
    asked: str = ""
    domain: str = ""


def no_answer(reason: str, *failures: DnsFailure) -> DnsReply:
    """Return the reply for a question that got no answer."""
    return DnsReply(status=ReplyStatus.FAILED, reason=reason, failures=frozenset(failures))


class Resolver(Protocol):
    """Answers questions."""

    async def ask(self, name: str, kind: RecordType) -> DnsReply:
        """Return what is known of ``name``; never raises for what the network does."""


def by_family(
    name: str, replies: Mapping[RecordType, DnsReply], node_at: Callable[[str], Node]
) -> dict[str, Answer]:
    """Return the nodes that the records of each type list.

    Most names have addresses of one family only, so that the lack of the other isn't a fault.
    """
    is_empty = not any(reply.addresses for reply in replies.values())
    return {
        f"{kind} {name}": _answer(name, kind, reply, node_at, is_empty=is_empty)
        for kind, reply in replies.items()
    }


def _answer(
    name: str, kind: RecordType, reply: DnsReply, node_at: Callable[[str], Node], *, is_empty: bool
) -> Answer:
    if reply.status is ReplyStatus.FAILED:
        return Answer(error=failed(name, kind, reply), complete=False)
    if is_empty:
        return Answer(error=empty(name, reply.reason))
    return Answer(nodes=frozenset(map(node_at, reply.addresses)))


def targets_of(reply: DnsReply) -> list[str]:
    """Return the hosts to locate, each once."""
    return sorted({service.target for service in reply.services if is_host_name(service.target)})


def nodes_of_services(
    name: str,
    reply: DnsReply,
    located: Mapping[str, DnsReply],
    *,
    basename: str | None = None,
    port: int | None = None,
) -> Answer:
    """Return the nodes that the records of ``name`` list.

    Args:
        name: The name that was asked for.
        reply: Its SRV records.
        located: The addresses of each target.
        basename: First part of the nodes' names, whose second part is the target; ``None`` if
            nodes introduce themselves.
        port: The port of every node, in place of the records' ports.
    """
    if reply.status is ReplyStatus.FAILED:
        return Answer(error=failed(name, RecordType.SRV, reply), complete=False)
    offered = [service for service in reply.services if service.target != UNAVAILABLE]
    if not offered:
        reason = "it is declared as not available" if reply.services else reply.reason
        return Answer(error=empty(name, reason))
    nodes: dict[str, Node] = {}
    faults: list[str] = []
    for service in offered:
        try:
            node = _node(service, located, basename, port)
            if nodes.setdefault(node.key, node) != node:
                other = "" if name.startswith("_") else f", or ask for _port._tcp.{name}"
                raise ValueError(f"{node.key} is listed with several ports: set port{other}")
        except ValueError as exc:
            faults.append(str(exc))
    return Answer(
        nodes=frozenset(nodes.values()),
        error=_useless(name, len(offered), faults) if faults else None,
        complete=all(place.status is not ReplyStatus.FAILED for place in located.values()),
    )


def _node(
    service: SrvRecord, located: Mapping[str, DnsReply], basename: str | None, port: int | None
) -> Node:
    """Return the node at the target of a record.

    Raises:
        ValueError: The record leads to no node.
    """
    place = located.get(service.target)
    if place is None:
        raise ValueError(f"its target {service.target[:80]!r} is not a host name")
    if not place.addresses:
        raise ValueError(f"its target {service.target!r} has no address: {place.reason}")
    if not (port or service.port):
        raise ValueError(f"its target {service.target!r} has port 0: set port")
    name = f"{basename}@{service.target}" if basename else None
    return Node(name=name, address=join_address(place.addresses[0], port or service.port))


def _useless(name: str, offered: int, faults: list[str]) -> DiscoveryError:
    what = f"{len(faults)} of {offered} SRV records of {name!r} are unusable"
    return DiscoveryError(f"dns: {what}: {faults[0]}", strategy="dns")


def empty(name: str, reason: str) -> DiscoveryError:
    """Return the error for an answer without nodes."""
    cure = "check the name, and what publishes it"
    return DiscoveryError(f"dns: {name!r} lists no nodes: {reason}; {cure}", strategy="dns")


def failed(name: str, kind: RecordType, reply: DnsReply) -> DiscoveryError:
    """Return the error for a question without an answer."""
    return DiscoveryError(f"dns: cannot look up {kind} of {name!r}: {reply.reason}", strategy="dns")
