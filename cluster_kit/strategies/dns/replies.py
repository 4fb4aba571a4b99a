"""Replies of a resolver, and what they mean for the nodes. Pure.

Four kinds are distinguished: records; a name that has none of the type; a name that doesn't exist;
and no answer at all, which takes no node away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, StrEnum, auto
from typing import Protocol

from msgspec import Struct

from cluster_kit.abc import Answer
from cluster_kit.errors import DiscoveryError
from cluster_kit.node import Node


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
    """Bytes that are no DNS answer."""
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
    """An SRV record; its weight says how to share load, which means nothing to a mesh."""

    priority: int
    target: str
    port: int


class DnsReply(Struct, frozen=True, kw_only=True):
    """The reply to one question.

    Attributes:
        said: Where there are no records, the reason in words, equal each time it happens again.
        failures: Where ``status`` is ``FAILED``, why, of each server that was asked.
        addresses: Addresses of A and AAAA records, sorted.
        services: SRV records, sorted.
        glue: Addresses of SRV targets that came along, by type and target.
        ttl_s: For how long caches keep it, where that is known.
        asked: The whole name that was answered, in lower case without the final dot, if known.
        domain: The search domain that completed the name, if one did.
    """

    status: ReplyStatus
    said: str = ""
    failures: frozenset[DnsFailure] = frozenset()
    addresses: tuple[str, ...] = ()
    services: tuple[SrvRecord, ...] = ()
    glue: Mapping[tuple[RecordType, str], tuple[str, ...]] = {}
    ttl_s: int | None = None
    asked: str = ""
    domain: str = ""


def no_answer(said: str, *failures: DnsFailure) -> DnsReply:
    """Return the reply that stands for no answer."""
    return DnsReply(status=ReplyStatus.FAILED, said=said, failures=frozenset(failures))


class Resolver(Protocol):
    """Answers questions."""

    async def ask(self, name: str, kind: RecordType) -> DnsReply:
        """Return what is known of ``name``; never raises for what the network does."""


def by_family(
    name: str, replies: Mapping[RecordType, DnsReply], node_at: Callable[[str], Node]
) -> dict[str, Answer]:
    """Return the nodes that the records of each type list.

    Most names have addresses of one family only. Lacking the other is no fault unless both are
    lacking.
    """
    nobody = not any(reply.addresses for reply in replies.values())
    return {
        f"{kind} {name}": _answer(name, kind, reply, node_at, nobody=nobody)
        for kind, reply in replies.items()
    }


def _answer(
    name: str, kind: RecordType, reply: DnsReply, node_at: Callable[[str], Node], *, nobody: bool
) -> Answer:
    if reply.status is ReplyStatus.FAILED:
        return Answer(error=failed(name, kind, reply), complete=False)
    if nobody:
        return Answer(error=empty(name, reply.said))
    return Answer(nodes=frozenset(map(node_at, reply.addresses)))


def empty(name: str, said: str) -> DiscoveryError:
    """Return the error for an answer without nodes, until it repeats and beyond."""
    cure = "check the name, and what publishes it"
    return DiscoveryError(f"dns: {name!r} lists no nodes: {said}; {cure}", strategy="dns")


def failed(name: str, kind: RecordType, reply: DnsReply) -> DiscoveryError:
    """Return the error for a question without an answer."""
    return DiscoveryError(f"dns: cannot look up {kind} of {name!r}: {reply.said}", strategy="dns")
