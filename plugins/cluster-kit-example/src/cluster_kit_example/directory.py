"""Discovers peers in a directory that all nodes can write to, such as one on a shared file system.

Each node keeps one small file there and rewrites it every ``interval_s``, the last time to say
goodbye; a file older than ``ttl_s`` belongs to a node that has gone or crashed. Ages are relative
to the newest file, so only the file server's clock matters. ``RegistryStrategy`` does the rest.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cluster_kit import DiscoveryError, RegistryStrategy

SUFFIX = ".node"
MAX_FILE_BYTES = 16_384  # what a node writes of itself takes less
REMOVED_AFTER_TTLS = 100  # other nodes may have a longer time to live than this one


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryStrategy(RegistryStrategy):
    """Meet in ``path``, which must exist; a node is forgotten after ``ttl_s`` of silence."""

    path: Path
    interval_s: float = 1.0
    ttl_s: float = 5.0

    async def put(self, key: str, value: str, ttl_s: float) -> None:
        """Write our file; in a thread, since a slow disk must not hold up the links."""
        await asyncio.to_thread(self._write, self.path / f"{quote(key, safe='')}{SUFFIX}", value)

    async def values(self, prefix: str) -> list[bytes]:
        """Read all files that are young enough."""
        return await asyncio.to_thread(self._read)

    def _write(self, file: Path, value: str) -> None:
        unfinished = file.with_suffix(".new")
        try:
            unfinished.write_text(value)
            unfinished.replace(file)  # readers see this file or the one before, never a part
            ages = self._ages()
        except OSError as exc:
            raise self._unusable(exc) from exc
        for each, age_s in ages.items():
            if age_s > REMOVED_AFTER_TTLS * self.ttl_s:
                each.unlink(missing_ok=True)

    def _read(self) -> list[bytes]:
        contents = []
        try:
            young = sorted(file for file, age_s in self._ages().items() if age_s <= self.ttl_s)
            for path in young:
                with suppress(FileNotFoundError), path.open("rb") as file:
                    contents.append(file.read(MAX_FILE_BYTES))
        except OSError as exc:
            raise self._unusable(exc) from exc
        return contents

    def _ages(self) -> dict[Path, float]:
        """Return by how many seconds each file is older than the newest one."""
        written_s = {}
        for file in self.path.iterdir():
            with suppress(FileNotFoundError):  # another node has just removed it
                if file.suffix == SUFFIX:
                    written_s[file] = file.stat().st_mtime
        newest_s = max(written_s.values(), default=0.0)
        return {file: newest_s - at_s for file, at_s in written_s.items()}

    def _unusable(self, error: OSError) -> DiscoveryError:
        why = f"{error.strerror}".lower()
        cure = "create or mount it, writable for this user"
        message = f"directory: cannot use {str(self.path)!r}: {why}; {cure}"
        return DiscoveryError(message, strategy="directory")
