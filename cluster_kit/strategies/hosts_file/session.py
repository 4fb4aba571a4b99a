"""One run of the strategy: reads the file again and again, and reports what is new.

A change that removes a node counts once the file has stopped changing: a file that is written in
place, line by line, looks complete after each line.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from cluster_kit.abc import Discovery, Found, Observation
from cluster_kit.errors import DiscoveryError
from cluster_kit.reporter import Reporter
from cluster_kit.strategies.hosts_file.parser import FileFault, parse
from cluster_kit.strategies.hosts_file.reader import FileReader, place_of

STILL_S = 0.25
READ_S = 10.0  # a file system that takes longer hangs, as one whose server is gone

_RESTLESS = FileFault("changes all the time", "write a copy of it, and rename that over it")
_MAX_LOOKS = 20


class HostsFileSession:
    """Looks at the file at ``path`` every ``interval_s`` seconds; gives up after ``read_s``."""

    def __init__(
        self, path: Path, interval_s: float, ctx: Discovery, *, read_s: float = READ_S
    ) -> None:
        self._place = place_of(path)
        self._interval_s = interval_s
        self._read_s = read_s
        self._reader = FileReader(path)
        self._reading: asyncio.Future[bytes | FileFault | None] | None = None
        self._last = Found(ctx.found)
        self._reporter = Reporter(ctx.announced)

    async def observe(self) -> AsyncIterator[Observation]:
        """Look at the file until closed."""
        try:
            while True:
                match await self._answer():
                    case Found() as found:
                        self._reporter.answer(found, None)
                    case DiscoveryError() as error:
                        self._reporter.failed(error, again=True)  # as a polled source does
                for observation in self._reporter.take():
                    yield observation
                await asyncio.sleep(self._interval_s)
        finally:
            if self._reading is not None:
                self._reading.cancel()

    async def _answer(self) -> Found | DiscoveryError | None:
        """Return what the file says now; ``None`` where it has not changed."""
        content = await self._read()
        if content is None:
            return None
        answer = await self._judge(content)
        if isinstance(answer, Found) and self._removes_nodes(answer):
            answer = await self._judge(await self._settled(content))
        if isinstance(answer, Found):
            self._last = answer
        return answer

    def _removes_nodes(self, answer: Found) -> bool:
        return not {node.key for node in self._last.nodes} <= {node.key for node in answer.nodes}

    async def _judge(self, content: bytes | FileFault) -> Found | DiscoveryError:
        if isinstance(content, FileFault):
            return self._error(content)
        listing = await asyncio.to_thread(parse, content)
        if listing.faults:
            return self._error(listing.faults[0], more=len(listing.faults) - 1)
        return Found(listing.nodes)

    def _error(self, fault: FileFault, more: int = 0) -> DiscoveryError:
        others = f" (and {more} more faults)" if more else ""
        fault = replace(fault, what=fault.what + others)
        return DiscoveryError(f"hosts_file: {fault.in_file(self._place)}", strategy="hosts_file")

    async def _settled(self, content: bytes | FileFault) -> bytes | FileFault:
        """Return the content of the file once it has not changed for a moment."""
        for _ in range(_MAX_LOOKS):
            await asyncio.sleep(STILL_S)
            again = await self._read()
            if again is None or again == content:
                return content
            content = again
        return _RESTLESS

    async def _read(self) -> bytes | FileFault | None:
        """Read in a thread, one at a time: a file that hangs must not use up all threads."""
        if self._reading is None:
            self._reading = asyncio.get_running_loop().run_in_executor(None, self._reader.read)
        done, _ = await asyncio.wait([self._reading], timeout=self._read_s)
        if not done:
            return hanging(self._read_s)
        reading, self._reading = self._reading, None
        return reading.result()


def hanging(read_s: float) -> FileFault:
    """Return the fault of a file that can't be read in ``read_s``."""
    cure = "its file system hangs: see whether its server can be reached"
    return FileFault(f"cannot be read: no answer within {read_s:g} s", cure)
