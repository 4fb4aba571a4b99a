"""What a resolver said, and what that means for the nodes. Pure: replies in, answers of the source out.

Told apart: records; a name that has none of the kind; a name that doesn't exist; and no answer at all, which takes nobody away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
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


_KINDS = {
    "any": (RecordType.A, RecordType.AAAA),
    "ipv4": (RecordType.A,),
    "ipv6": (RecordType.AAAA,),
}


def kinds_of(family: str, own_host: str = "") -> tuple[RecordType, ...]:
    """Return the kinds of addresses that the option ``family`` means, that of this node's own host first."""
    kinds = _KINDS[family]
    return kinds[::-1] if ":" in own_host else kinds


class Status(StrEnum):
    """What became of a question."""

    FOUND = "found"
    NO_DATA = "no data"
    NO_NAME = "no name"
    FAILED = "failed"


class SrvRecord(Struct, frozen=True, order=True):
    """An SRV record; its weight says how to share load, which means nothing to a mesh."""

    priority: int
    target: str
    port: int


class Reply(Struct, frozen=True, kw_only=True):
    """What came of one question.

    Attributes:
        said: That in words where there are no records, the same each time it happens again.
        addresses: Of A and AAAA, sorted.
        services: Of SRV, sorted.
        glue: Addresses of SRV targets that came along, by kind and target.
        ttl_s: For how long caches keep it, where that is known.
        asked: The whole name that was answered, in lower case without the final dot, if known.
        domain: The search domain that completed the name, where one did.
    """

    status: Status
    said: str = ""
    addresses: tuple[str, ...] = ()
    services: tuple[SrvRecord, ...] = ()
    glue: Mapping[tuple[RecordType, str], tuple[str, ...]] = {}
    ttl_s: int | None = None
    asked: str = ""
    domain: str = ""


class Resolver(Protocol):
    """Whom to ask."""

    async def ask(self, name: str, kind: RecordType) -> Reply:
        """Return what is known of ``name``; never raises for what the network does."""


def by_family(
    name: str, replies: Mapping[RecordType, Reply], node_at: Callable[[str], Node]
) -> dict[str, Answer]:
    """Return what the records of each kind say about who is there.

    Most names have addresses of one family only: that the other has none is no fault unless both have none.
    """
    nobody = not any(reply.addresses for reply in replies.values())
    return {
        f"{kind} {name}": _answer(name, kind, reply, node_at, nobody=nobody)
        for kind, reply in replies.items()
    }


def _answer(
    name: str, kind: RecordType, reply: Reply, node_at: Callable[[str], Node], *, nobody: bool
) -> Answer:
    if reply.status is Status.FAILED:
        return Answer(error=failed(name, kind, reply), complete=False)
    if nobody:
        return Answer(error=empty(name, reply.said))
    return Answer(nodes=frozenset(map(node_at, reply.addresses)))


def empty(name: str, said: str) -> DiscoveryError:
    """Return the error that an answer with nobody in it is, until it repeats and beyond."""
    return DiscoveryError(
        f"dns: nobody is in {name!r}: {said}; check the name, and what publishes it", strategy="dns"
    )


def failed(name: str, kind: RecordType, reply: Reply) -> DiscoveryError:
    """Return the error that a question without an answer is."""
    return DiscoveryError(f"dns: cannot look up {kind} of {name!r}: {reply.said}", strategy="dns")
