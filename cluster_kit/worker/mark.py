"""Tells a process that was started as a worker from an application, wherever its code comes to run.

Whoever starts a worker puts the mark into its environment. A process removes it as it becomes a
worker, so programs that a plugin starts there don't inherit it, and may be applications. Where the
mark is still there, what was started did not become a worker: it is a program that runs from its
beginning once more, such as a frozen one. If it started workers in turn, there would be no end.

A launcher may clean the environment (``env -i``). What it can't take away is the pipe to the
supervisor, in which the supervisor's first words still wait to be read.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from cluster_kit.errors import ClusterKitError
from cluster_kit.worker.__main__ import SUMMONS

COMMAND = "ckit-worker"
"""What the kernel calls a worker, in ``ps`` and ``top`` for instance; not as it calls a ``cluster-kit`` that was started."""

_MARK = "CLUSTER_KIT_WORKER"

_MOST_FDS = 256  # to look at; a launcher hands on what it was given, under the same number

_worker_pid: int | None = None


def marked(environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``environ`` with the mark of a worker."""
    return {**environ, _MARK: "1"}


def become_worker() -> None:
    """Note that this very process is a worker; its children may be what they like."""
    global _worker_pid
    _worker_pid = os.getpid()
    os.environ.pop(_MARK, None)
    with suppress(OSError):  # there is no /proc, or none to write to
        Path("/proc/self/comm").write_text(COMMAND)


def refuse_in_worker(what: str) -> None:
    """Check that this process may have workers.

    Raises:
        ClusterKitError: It was started as a worker itself.
    """
    if _worker_pid == os.getpid():
        raise ClusterKitError(
            f"{what}: this process is a worker, and can't be an application as well: start another process for that"
        )
    if _MARK in os.environ or any(map(_is_summoned_by, range(3, _MOST_FDS))):
        raise ClusterKitError(
            f"{what}: this process was started as a worker, and runs the program from its beginning "
            "instead: a frozen program calls multiprocessing.freeze_support() first of all; any other "
            "names its Python interpreter with multiprocessing.set_executable('/path/to/python')"
        )


def _is_summoned_by(fd: int) -> bool:
    """Whether a supervisor's first words wait in this descriptor; they stay there."""
    with suppress(OSError):
        sock = socket.socket(fileno=fd)
        try:
            if sock.family == socket.AF_UNIX:  # reading from another one could take an error from its owner
                return sock.recv(len(SUMMONS), socket.MSG_PEEK | socket.MSG_DONTWAIT) == SUMMONS
        finally:
            sock.detach()
    return False
