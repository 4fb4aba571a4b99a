"""Finds the programs that hold a UDP port: on Linux; elsewhere none.

Source: proc_net(5) for ``/proc/net/udp``; proc_pid_fd(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def holders(port: int) -> list[str]:
    """Return the programs that hold UDP port ``port`` and that we may see, as ``name (pid)``."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    return sorted(set(_programs_with(sockets))) if sockets else []


def _inodes(port: int) -> Iterator[str]:
    for table in (Path("/proc/net/udp"), Path("/proc/net/udp6")):
        with suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _programs_with(sockets: set[str]) -> Iterator[str]:
    for process in Path("/proc").iterdir():
        if re.fullmatch(r"\d+", process.name):
            with suppress(OSError):  # it has ended, or is another user's
                if any(str(fd.readlink()) in sockets for fd in (process / "fd").iterdir()):
                    yield (
                        f"{(process / 'comm').read_text(errors='replace').strip()} ({process.name})"
                    )
