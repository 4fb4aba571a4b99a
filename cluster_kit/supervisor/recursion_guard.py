"""Keeps a process that was started as a worker from starting workers itself, without end.

That happens if ``sys.executable`` is not a Python interpreter: a frozen program that is started as
a worker may run its own ``main`` again. A mark in the environment shows it (see
``cluster_kit.worker.environment``), unless a launcher has cleaned the environment. No launcher
removes the pipe to the supervisor, in which the supervisor's first bytes are still waiting to be
read.
"""

from __future__ import annotations

import socket
from contextlib import suppress

from cluster_kit.errors import ClusterKitError
from cluster_kit.worker.__main__ import SUPERVISOR_GREETING
from cluster_kit.worker.environment import is_marked, is_worker

_MAX_FDS = 256  # to look at; a launcher passes on the pipe under the number that it was given


def refuse_in_worker(what: str) -> None:
    """Check that this process may have workers.

    Raises:
        ClusterKitError: It was started as a worker itself.
    """
    if is_worker():
        fault = "this process is a worker, and can't be an application as well"
        raise ClusterKitError(f"{what}: {fault}: start another process for that")
    if is_marked() or any(map(_holds_supervisor_greeting, range(3, _MAX_FDS))):
        fault = "this process was started as a worker, and runs the program from its beginning"
        frozen = "a frozen program calls multiprocessing.freeze_support() first of all"
        other = "multiprocessing.set_executable('/path/to/python')"
        cure = f"{frozen}; any other names its Python interpreter with {other}"
        raise ClusterKitError(f"{what}: {fault} instead: {cure}")


def _holds_supervisor_greeting(fd: int) -> bool:
    """Whether a supervisor's first bytes are waiting in this descriptor; they are left there."""
    with suppress(OSError):
        sock = socket.socket(fileno=fd)
        try:
            # Other kinds of sockets are left alone: peeking could take an error from their owner.
            if sock.family == socket.AF_UNIX:
                flags = socket.MSG_PEEK | socket.MSG_DONTWAIT
                return sock.recv(len(SUPERVISOR_GREETING), flags) == SUPERVISOR_GREETING
        finally:
            sock.detach()
    return False
