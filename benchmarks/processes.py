"""What Linux knows about processes: their descendants, and what they use."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

PROC = Path("/proc")
PR_SET_CHILD_SUBREAPER = 36
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def adopt_orphans() -> None:
    """Become the parent of orphaned descendants, so that ``kill_descendants`` finds them all."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def family(pid: int) -> list[int]:
    """Return ``pid`` and all its descendants."""
    return [pid, *_descendants(pid)]


def _descendants(pid: int) -> Iterator[int]:
    for task in PROC.glob(f"{pid}/task/*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                yield child
                yield from _descendants(child)


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each; one that has ended is no matter."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_descendants() -> None:
    """Kill and reap whatever this process has started and adopted."""
    while pids := list(_descendants(os.getpid())):
        signal_all(pids, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


def cpu_s(pids: Iterable[int]) -> float:
    """Return the user and system seconds that the processes have used since they began."""
    return sum(_cpu_ticks(pid) for pid in pids) / TICKS_PER_S


def _cpu_ticks(pid: int) -> int:
    fields = PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def pss_mib(pids: Iterable[int]) -> float:
    """Return the memory of the processes, shared pages divided among those who share them."""
    return sum(_pss_kib(pid) for pid in pids) / 1024


def _pss_kib(pid: int) -> int:
    lines = PROC.joinpath(str(pid), "smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
