"""Tells a process that was started as a worker from an application, wherever its code comes to run.

Whoever starts a worker puts the mark into its environment. A process removes it as it becomes a
worker, so programs that a plugin starts there don't inherit it, and may be applications. Where the
mark is still there, what was started did not become a worker: it is a program that runs from its
beginning once more, such as a frozen one. If it started workers in turn, there would be no end.

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
"""What the kernel calls a worker, in ``ps`` and ``top`` for instance; not as it calls a
``cluster-kit`` that was started.
"""

_MARK = "CLUSTER_KIT_WORKER"

_worker_pid: int | None = None


def marked(environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``environ`` with the mark of a worker, and without the cluster's secret, of which a
    worker gets the keys only.
    """
    return {
        **{name: value for name, value in environ.items() if name != SECRET_VARIABLE},
        _MARK: "1",
    }


def become_worker() -> None:
    """Note that this very process is a worker; its children may be what they like."""
    global _worker_pid
    _worker_pid = os.getpid()
    os.environ.pop(_MARK, None)
    with suppress(OSError):  # there is no /proc, or none to write to
        Path("/proc/self/comm").write_text(COMMAND)


def is_worker() -> bool:
    """Whether this very process became a worker."""
    return _worker_pid == os.getpid()


def is_marked() -> bool:
    """Whether this process was started as a worker, or by something that was, and did not become
    one.
    """
    return _MARK in os.environ
