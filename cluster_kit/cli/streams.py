"""The standard streams, some of which may be closed, or connected to a pipe that is not read."""

from __future__ import annotations

import logging
import os
import sys

STDIN, STDOUT, STDERR = 0, 1, 2


def fill_standard_streams() -> None:
    """Open ``/dev/null`` for each closed standard stream, so that no socket gets its number."""
    for fd, name, mode in ((STDIN, "stdin", "r"), (STDOUT, "stdout", "w"), (STDERR, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is fd
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, mode, closefd=False))  # noqa: SIM115 - open until exit


def give_up_stdout() -> None:
    """Redirect output to ``/dev/null``, so that the interpreter can flush it at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, STDOUT)
    os.close(null)


def write(fd: int, text: str) -> None:
    """Write all of ``text``, bypassing Python's streams: a blocked write would hold their locks.

    Raises:
        OSError: It can't be written.
    """
    data = text.encode(errors="backslashreplace")
    while data:
        data = data[os.write(fd, data) :]


class _NoLock:
    """A lock for ``logging`` that never blocks."""

    def acquire(self) -> None:
        """Do nothing."""

    def release(self) -> None:
        """Do nothing."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


class StderrHandler(logging.Handler):
    """Logs to standard error without a lock, so that a blocked write blocks only its own thread."""

    def createLock(self) -> None:  # noqa: N802 - logging's name
        """Set a lock that never blocks, as ``logging.shutdown`` would wait for a real one."""
        self.lock = _NoLock()  # type: ignore[assignment]

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; report an error in formatting or writing it."""
        try:
            write(STDERR, self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - as every handler does
            self.handleError(record)
