"""Where a worker process begins: ``python -m cluster_kit.worker``, started by ``cluster_kit.supervisor.child`` only.

Runs before the package can be imported, because the supervisor's import path is the first thing that it reads.
"""

import contextlib
import io
import os
import signal
import sys

QUIET = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Take over the file descriptors named on the command line and run the topology that the supervisor describes."""
    for number in QUIET:  # the supervisor decides when we leave; a terminal's Ctrl-C reaches the whole process group
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, QUIET)  # the supervisor blocked them until here
    with contextlib.suppress(OSError):  # an application may run without standard error
        os.dup2(2, 1)  # standard output belongs to the application
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what a plugin prints is seen at once, like errors
    channel_fd, supervisor_fd = int(sys.argv[1]), int(sys.argv[2])
    size = int.from_bytes(_read(channel_fd, 4), "big")
    sys.path[:] = _read(channel_fd, size).decode(errors="surrogateescape").split("\0")
    from cluster_kit.worker.run import run

    run(channel_fd, supervisor_fd)


def _read(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = os.read(fd, size - len(data))
        if not chunk:
            sys.exit(0)  # the supervisor is gone before we began
        data += chunk
    return data


if __name__ == "__main__":
    main()
