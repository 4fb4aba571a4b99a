"""Reaps the workers of an earlier program, in whose place ``os.execv`` put this one.

The process is the same, so those workers are still its children. They notice the change and leave,
but only their parent can reap them; until it does, each of them is a zombie. This module looks for
them once, when ``child`` imports it, before this program starts workers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cluster_kit.worker.environment import COMMAND

_LEAVE_S = 7.0  # a goodbye takes less than 1 s; the kernel ends a worker that hangs after 5 s
_POLL_S = 0.02


def _children() -> Iterator[int]:
    """Yield the process ids of our children; none on systems without ``/proc``."""
    for children in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # the thread has just ended
            yield from map(int, children.read_text().split())


def _is_worker(pid: int) -> bool:
    with suppress(OSError):
        # A process may give itself a name that is not valid text.
        name = Path(f"/proc/{pid}/comm").read_text(errors="replace")
        return name.rstrip("\n") == COMMAND
    return False


_earlier = [pid for pid in _children() if _is_worker(pid)]


def reap_earlier_workers() -> None:
    """Wait until the workers of an earlier program have ended, which frees their ports, too."""
    deadline_s = time.monotonic() + _LEAVE_S
    while _earlier:
        if _has_ended(_earlier[-1]):
            _earlier.pop()
        elif time.monotonic() < deadline_s:
            time.sleep(_POLL_S)
        else:
            return


def _has_ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG) != (0, 0)
    except ChildProcessError:  # not our child, such as after a fork, or it was reaped elsewhere
        return True
