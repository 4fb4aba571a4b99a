"""Keeps a process that was started as a worker from starting workers in turn, of which there would be no end.

The mark in its environment tells (see ``cluster_kit.worker.mark``), unless a launcher has cleaned that. What no launcher
takes away is the pipe to the supervisor, in which the supervisor's first words still wait to be read.
"""

from __future__ import annotations

import socket
from contextlib import suppress

from cluster_kit.errors import ClusterKitError
from cluster_kit.worker.__main__ import SUMMONS
from cluster_kit.worker.mark import is_marked, is_worker

_MOST_FDS = 256  # to look at; a launcher hands on what it was given, under the same number


def refuse_in_worker(what: str) -> None:
    """Check that this process may have workers.

    Raises:
        ClusterKitError: It was started as a worker itself.
    """
    if is_worker():
        raise ClusterKitError(
            f"{what}: this process is a worker, and can't be an application as well: start another process for that"
        )
    if is_marked() or any(map(_is_summoned_by, range(3, _MOST_FDS))):
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
