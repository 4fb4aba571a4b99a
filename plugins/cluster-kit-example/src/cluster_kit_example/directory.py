"""Discover peers in a directory that every node can write to, on one machine or on a shared file system.

Each node keeps one small file there, writes it anew every ``interval_s`` and removes it when it leaves; a file older than
``ttl_s`` was left by a node that crashed. Unknown is not empty: a directory that can't be read is a failure, and one from
which our own file has vanished as well says nothing about anybody else.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from cluster_kit import (
    BootId,
    Discovery,
    DiscoveryError,
    Failed,
    Fence,
    Finding,
    Gone,
    Node,
    Observation,
    Outcome,
    Reason,
    Seen,
    Strategy,
)

SUFFIX = ".node"
CURE = "create or mount it, writable for this user"
MAX_FILE_BYTES = 4096  # a name, an address and metadata at their bounds take less


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryStrategy(Strategy):
    """Meet in ``path``, which must exist; a node that is silent for ``ttl_s`` seconds is forgotten."""

    announces: ClassVar[bool] = True

    path: Path
    interval_s: float = 1.0
    ttl_s: float = 5.0

    async def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Write our file and read the others', again and again; remove ours at the end."""
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        loop = asyncio.get_running_loop()
        present: dict[Path, Node] = {}
        with ThreadPoolExecutor(1, "directory") as disk:  # a slow disk must not hold up the links; one thread keeps the order
            try:
                while True:
                    try:
                        same, nodes = await loop.run_in_executor(disk, self._visit, ctx.local, ctx.fence, ctx.announce)
                    except OSError as exc:
                        yield Failed(_unusable(self.path, exc))
                    else:
                        ctx.announced()
                        for node in nodes.values():
                            yield Seen(node, self.ttl_s)
                        for file in sorted(present.keys() - nodes.keys()) if same else ():
                            yield Gone(present[file].key, Reason.LEFT, present[file].boot_id)
                        present = nodes
                    with suppress(TimeoutError):
                        await asyncio.wait_for(ctx.changed(), self.interval_s * ctx.random.uniform(0.9, 1.1))
            finally:
                with suppress(OSError):
                    await loop.run_in_executor(disk, self._file_of(ctx.local).unlink)

    async def diagnose(self, ctx: Discovery) -> AsyncIterator[Finding]:
        """Tell whether the directory can be used, and whose files are in it; write nothing."""
        import asyncio

        asked = f"node files in {str(self.path)!r}"
        try:
            files, names = await asyncio.to_thread(self._survey, ctx.local, ctx.fence)
        except OSError as exc:
            yield Finding(asked=asked, got=f"{exc.strerror}".lower(), outcome=Outcome.FAILED, cause=CURE)
            return
        got = f"{files} in all; of other nodes in this cluster and group: {', '.join(names) or 'none'}"
        if names:
            yield Finding(asked=asked, got=got)
        else:
            cause = (
                "no other node runs, or it uses another directory, cluster or group; a file that grows old was left by a crash"
            )
            yield Finding(asked=asked, got=got, outcome=Outcome.EMPTY, cause=cause)

    def _survey(self, local: Node, fence: Fence) -> tuple[int, list[str]]:
        """Return how many files there are, and the names of the other nodes that keep one."""
        files = sorted(path for path in self.path.iterdir() if path.suffix == SUFFIX)
        if not os.access(self.path, os.W_OK):
            raise PermissionError(errno.EACCES, "not writable")
        nodes = [_read(path, fence, oldest_s=time.time() - self.ttl_s) for path in files]
        return len(files), [node.key for node in nodes if node is not None and node.name != local.name]

    def _visit(self, local: Node, fence: Fence, announce: bool) -> tuple[bool, dict[Path, Node]]:
        """Return whether this is the directory of the last visit, and the nodes in it by file."""
        own = self._file_of(local)
        same = own.exists() or not announce
        if announce:
            _write(own, local, fence)
        now_s = own.stat().st_mtime if announce else time.time()  # the file server's clock, if we can
        others = sorted(path for path in self.path.iterdir() if path.suffix == SUFFIX and path != own)
        nodes = {path: _read(path, fence, oldest_s=now_s - self.ttl_s) for path in others}
        return same, {path: node for path, node in nodes.items() if node is not None}

    def _file_of(self, node: Node) -> Path:
        return self.path / f"{node.boot_id}{SUFFIX}"


def _write(path: Path, node: Node, fence: Fence) -> None:
    boot = (node.boot_id.started_ms, node.boot_id.nonce) if node.boot_id else None
    fields = {"name": node.name, "address": node.address, "metadata": dict(node.metadata), "boot": boot}
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps({"cluster": fence.cluster, "group": fence.group, **fields}))
    unfinished.replace(path)  # readers see all of it or the one before


def _read(path: Path, fence: Fence, oldest_s: float) -> Node | None:
    """Return the node that keeps the file; ``None`` if it is old, foreign, or no such file at all."""
    try:
        with path.open("rb") as file:
            fields = json.loads(file.read(MAX_FILE_BYTES))
            fresh = os.fstat(file.fileno()).st_mtime > oldest_s
        if not fresh or Fence(fields["cluster"], fields["group"]) != fence:
            return None
        return Node(fields["name"], fields["address"], fields["metadata"], BootId(*fields["boot"]))
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return None


def _unusable(path: Path, error: OSError) -> DiscoveryError:
    message = f"directory: cannot use {str(path)!r}: {error.strerror}; {CURE}"
    return DiscoveryError(message, strategy="directory")
