"""Diagnoses a hosts file: each line that can't be used, and the nodes that it lists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from cluster_kit.diagnosis import Finding, finding_of
from cluster_kit.node import Node
from cluster_kit.strategies.hosts_file.parser import FileFault, parse
from cluster_kit.strategies.hosts_file.reader import FileReader, place_of
from cluster_kit.strategies.hosts_file.session import READ_S, hanging
from cluster_kit.strategies.static import examine


async def diagnose(path: Path, local: Node, *, read_s: float = READ_S) -> AsyncIterator[Finding]:
    """Read the file once, and report what is wrong with it or which nodes it lists."""
    place = place_of(path)
    content = await _read(path, read_s)
    if isinstance(content, FileFault):
        yield finding_of(content.in_file(place))
        return
    listing = parse(content)
    if listing.faults:
        for fault in listing.faults:
            yield finding_of(fault.in_file(place))
        return
    yield Finding(asked=place, got=f"{len(content)} bytes, every line can be used")
    async for finding in examine(listing.nodes, local):
        yield finding


async def _read(path: Path, read_s: float) -> bytes | FileFault:
    try:
        async with asyncio.timeout(read_s):
            content = await asyncio.to_thread(FileReader(path).read)
    except TimeoutError:
        return hanging(read_s)
    assert content is not None  # a first read always has content
    return content
