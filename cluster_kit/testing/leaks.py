"""Finds what a piece of code leaves behind: tasks, threads, processes, descriptors and files.

Descriptors of ordinary files don't count: they come and go with imports, logs and caches. Child
processes are found on Linux only, and files only if this process created them.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cluster_kit.testing.auditing import created_files

GRACE_S = 5.0  # transports, threads and processes take a while to close
_POLL_S = 0.01
_KINDS = {stat.S_IFSOCK: "socket file", stat.S_IFDIR: "directory"}
_FDS = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")


def held() -> frozenset[str]:
    """Return a line for each thread, child process and descriptor of this process."""
    return frozenset(_threads() | _children() | _descriptors())


def wait_released(before: frozenset[str], grace_s: float = GRACE_S) -> list[str]:
    """Return what is held beyond ``before`` after ``grace_s``, or at once if nothing is."""
    deadline_s = time.monotonic() + grace_s
    while (left := held() - before) and time.monotonic() < deadline_s:
        time.sleep(_POLL_S)
    return sorted(left)


@asynccontextmanager
async def leaves_nothing(grace_s: float = GRACE_S, *, files: bool = True) -> AsyncIterator[None]:
    """Fail if the block leaves tasks, threads, processes, sockets, pipes or new files behind.

    The event loop's default executor is shut down at the end, so use this as the last thing in a
    loop.

    Args:
        grace_s: How long to wait until all is released.
        files: Whether new files count; pass False if nodes communicate by files, in which the block
            may have to leave a goodbye.

    Raises:
        AssertionError: Something is still there after ``grace_s``; the message lists it.
    """
    before = held() | _tasks()
    with created_files() as made:
        yield
        loop = asyncio.get_running_loop()
        await loop.shutdown_default_executor()
        deadline_s = loop.time() + grace_s
        counted = made if files else set()
        while (left := (held() | _tasks()) - before | _there(counted)) and loop.time() < deadline_s:  # noqa: ASYNC110 - no event
            await asyncio.sleep(_POLL_S)
    if left:
        raise AssertionError("left behind: " + "; ".join(sorted(left)))


async def close_server(server: asyncio.Server) -> None:
    """Close a server of asyncio without leaking a connection that it is just accepting.

    asyncio accepts a connection in two turns of the event loop. A server that is closed between
    them drops it: on Python 3.11 its socket then stays open until the next garbage collection.
    """
    loop = asyncio.get_running_loop()
    for each in server.sockets:
        loop.remove_reader(each.fileno())
    await asyncio.sleep(0)  # the second turn, in which accepted connections get their transports
    server.close()


def _there(paths: set[str]) -> set[str]:
    return {
        f"{_KINDS.get(stat.S_IFMT(os.lstat(path).st_mode), 'file')} {path}"
        for path in paths
        if os.path.lexists(path)
    }


def _tasks() -> frozenset[str]:
    return frozenset(f"task {task.get_name()} {task.get_coro()!r}" for task in asyncio.all_tasks())


def _threads() -> set[str]:
    return {f"thread {thread.name} ({thread.ident})" for thread in threading.enumerate()}


def _children() -> set[str]:
    found = set()
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in _read(children).split():
            command = _read(Path(f"/proc/{pid}/cmdline")).replace("\0", " ").strip()
            # the one of this interpreter, which ends with it
            if "multiprocessing.resource_tracker" not in command:
                found.add(f"process {pid} {command or '(defunct)'}")
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the thread or process has just ended
        return ""


def _descriptors() -> set[str]:
    found = set()
    for entry in _FDS.iterdir():
        try:
            kind = stat.S_IFMT(os.fstat(int(entry.name)).st_mode)
        except OSError:  # the descriptor of this very scan
            continue
        if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFCHR, stat.S_IFBLK):
            found.add(f"descriptor {entry.name} {_target(entry, kind)}")
    return found


def _target(entry: Path, kind: int) -> str:
    try:
        return str(entry.readlink())
    except OSError:  # not on Linux
        return {stat.S_IFSOCK: "socket", stat.S_IFIFO: "pipe"}.get(kind, "of another kind")
