"""What is found out about a hosts file when it is diagnosed: each line that can't be used, and who is in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.node import Node
from cluster_kit.strategies.hosts_file.parser import Fault, parse
from cluster_kit.strategies.hosts_file.reader import Reader, place_of
from cluster_kit.strategies.hosts_file.session import READ_S, hanging
from cluster_kit.strategies.static import examine


async def findings(path: Path, local: Node) -> AsyncIterator[Finding]:
    """Read the file once, and tell what is wrong with it or who is in it."""
    place = place_of(path)
    content = await _read(path)
    if isinstance(content, Fault):
        yield _finding(content, place)
        return
    listing = parse(content)
    if listing.faults:
        for fault in listing.faults:
            yield _finding(fault, place)
        return
    yield Finding(asked=place, got=f"{len(content)} bytes, every line can be used")
    async for finding in examine(listing.nodes, local):
        yield finding


async def _read(path: Path) -> bytes | Fault:
    try:
        async with asyncio.timeout(READ_S):
            content = await asyncio.to_thread(Reader(path).read)
    except TimeoutError:
        return hanging()
    assert content is not None  # it was never read before
    return content


def _finding(fault: Fault, place: str) -> Finding:
    return Finding(asked=fault.at(place), got=fault.what, outcome=Outcome.FAILED, cause=fault.cure)
