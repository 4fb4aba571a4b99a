"""Where a worker process begins; only ``cluster_kit.supervisor.child`` starts it.

This module runs before the package can be imported: the import path is the first thing that the
supervisor sends.
"""

import contextlib
import io
import os
import signal
import sys

GREETING = f"cluster-kit worker {sys.implementation.cache_tag}{sys.abiflags}\n".encode()
"""What a worker sends first; a process that sends anything else is not a worker.

The version and build of Python are part of it: another one can't load this one's extension modules.
"""

SUPERVISOR_GREETING = b"cluster-kit supervisor\n"
"""What a supervisor sends first."""

QUIET = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(channel_fd: int) -> None:
    """Take over the pipe to the supervisor and run the topology that it describes."""
    # the supervisor decides when we leave; a terminal's Ctrl-C reaches the whole process group
    for number in QUIET:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, QUIET)  # the supervisor blocked them until here
    os.set_inheritable(channel_fd, False)  # a program that a plugin starts must not hold it open
    with contextlib.suppress(OSError):  # the supervisor is gone, as the first read will show
        os.write(channel_fd, GREETING)
    with contextlib.suppress(OSError):  # an application may run without standard error
        os.dup2(2, 1)  # standard output belongs to the application
    if isinstance(sys.stdout, io.TextIOWrapper):
        # what a plugin prints appears at once, like its errors
        sys.stdout.reconfigure(line_buffering=True)
    if _read(channel_fd, len(SUPERVISOR_GREETING)) != SUPERVISOR_GREETING:
        sys.exit(64)  # EX_USAGE: nobody but a supervisor starts a worker
    size = int.from_bytes(_read(channel_fd, 4), "big")
    sys.path[:] = _read(channel_fd, size).decode(errors="surrogateescape").split("\0")
    from cluster_kit.worker.run import run

    run(channel_fd)


def _read(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = os.read(fd, size - len(data))
        if not chunk:
            sys.exit(0)  # the supervisor is gone before we began
        data += chunk
    return data


if __name__ == "__main__":
    main(int(sys.argv[1]))
