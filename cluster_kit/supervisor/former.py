"""Reaps the workers of a program that ``os.execv`` replaced in the middle of its life.

The process goes on as another program, and the workers stay its children. They notice and leave, but
only their parent can take their exit codes; until then each of them is a zombie. They are looked for
once, when this module is imported, which ``child`` does: before this program has workers of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cluster_kit.worker.mark import COMMAND

_LEAVE_S = 7.0  # a goodbye takes less than a second; the kernel ends those who can't take their leave after five
_LOOK_S = 0.02


def _children() -> Iterator[int]:
    """Yield the process ids of this process' children; where there is no ``/proc``, nobody knows."""
    for children in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # the thread has just ended
            yield from map(int, children.read_text().split())


def _is_worker(pid: int) -> bool:
    with suppress(OSError):
        called = Path(f"/proc/{pid}/comm").read_text(errors="replace")  # a process may call itself what is no text
        return called.rstrip("\n") == COMMAND
    return False


_left = [pid for pid in _children() if _is_worker(pid)]


def wait_for_former_workers() -> None:
    """Wait until the workers of a former program in this process have ended; their ports are free then, too."""
    deadline_s = time.monotonic() + _LEAVE_S
    while _left:
        if _has_ended(_left[-1]):
            _left.pop()
        elif time.monotonic() < deadline_s:
            time.sleep(_LOOK_S)
        else:
            return


def _has_ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG) != (0, 0)
    except ChildProcessError:  # it is not ours, such as after a fork, or somebody else has seen to it
        return True
