"""The environment variable that marks a process as started to become a worker.

The supervisor sets the mark in a worker's environment. The process removes it once it has become a
worker, so a program that a plugin starts there doesn't inherit it, and may itself be an
application. A process that still has the mark did not become a worker: it is a program that runs
from its beginning once more, such as a frozen one. If it started workers in turn, that would go on
without end.

A launcher may clean the environment (``env -i``). What it can't take away is the pipe to the
supervisor: see ``cluster_kit.supervisor.recursion_guard``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from cluster_kit.config.secret import SECRET_VARIABLE

COMMAND = "ckit-worker"
"""The kernel's name for a worker, as in ``ps`` and ``top``; differs from ``cluster-kit``."""

_MARK = "CLUSTER_KIT_WORKER"

_worker_pid: int | None = None


def worker_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``environ`` with the mark, and without the secret: a worker gets only its keys."""
    kept = {name: value for name, value in environ.items() if name != SECRET_VARIABLE}
    return {**kept, _MARK: "1"}


def become_worker() -> None:
    """Note that this very process is a worker; its children may be anything."""
    global _worker_pid
    _worker_pid = os.getpid()
    os.environ.pop(_MARK, None)
    with suppress(OSError):  # no /proc, or a read-only one
        Path("/proc/self/comm").write_text(COMMAND)


def is_worker() -> bool:
    """Whether this very process became a worker."""
    return _worker_pid == os.getpid()


def is_marked() -> bool:
    """Whether this process or an ancestor was started as a worker and did not become one."""
    return _MARK in os.environ
