"""Asks all questions of a DNS strategy at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from cluster_kit.strategies.dns.replies import (
    DnsReply,
    RecordType,
    ReplyStatus,
    Resolver,
    targets_of,
)
from cluster_kit.strategies.dns.search import ask

AT_ONCE = 32  # targets that are located at the same time


async def ask_addresses(
    resolver: Resolver, names: Sequence[str], kinds: Sequence[RecordType]
) -> dict[str, dict[RecordType, DnsReply]]:
    """Return the replies for each name, by type of record."""
    questions = [(name, kind) for name in names for kind in kinds]
    replies = await asyncio.gather(*(ask(resolver, name, kind) for name, kind in questions))
    by_name: dict[str, dict[RecordType, DnsReply]] = {name: {} for name in names}
    for (name, kind), reply in zip(questions, replies, strict=True):
        by_name[name][kind] = reply
    return by_name


async def ask_services(
    resolver: Resolver, names: Sequence[str], kinds: Sequence[RecordType]
) -> dict[str, tuple[DnsReply, dict[str, DnsReply]]]:
    """Return the SRV records of each name, and the addresses of their targets."""
    replies = await asyncio.gather(*(ask(resolver, name, RecordType.SRV) for name in names))
    located = [await _locate(resolver, reply, kinds) for reply in replies]
    return dict(zip(names, zip(replies, located, strict=True), strict=True))


async def _locate(
    resolver: Resolver, reply: DnsReply, kinds: Sequence[RecordType]
) -> dict[str, DnsReply]:
    """Return the addresses of each target of SRV records, of the first type that it has."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def find(target: str) -> DnsReply:
        async with turn:
            return await _address_of(resolver, target, kinds, reply.glue)

    targets = targets_of(reply)
    return dict(zip(targets, await asyncio.gather(*map(find, targets)), strict=True))


async def _address_of(
    resolver: Resolver,
    target: str,
    kinds: Sequence[RecordType],
    glue: Mapping[tuple[RecordType, str], tuple[str, ...]],
) -> DnsReply:
    for kind in kinds:
        if addresses := glue.get((kind, target)):
            return DnsReply(status=ReplyStatus.FOUND, addresses=addresses)
        reply = await resolver.ask(f"{target}.", kind)
        if reply.status in (ReplyStatus.FOUND, ReplyStatus.FAILED):
            break  # after a failure too, or the family would change back later
    return reply
