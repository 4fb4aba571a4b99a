"""The standard streams, of which some may be closed, and others never read."""

from __future__ import annotations

import logging
import os
import sys

STDIN, STDOUT, STDERR = 0, 1, 2


def fill_standard_streams() -> None:
    """Open ``/dev/null`` for each closed standard stream, lest a socket take its number."""
    for fd, name, mode in ((STDIN, "stdin", "r"), (STDOUT, "stdout", "w"), (STDERR, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, mode, closefd=False))  # noqa: SIM115 - for as long as the process lives


def give_up_stdout() -> None:
    """Redirect output to ``/dev/null``, else the interpreter flushes again when it exits."""
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
    """Stands where ``logging`` expects a lock."""

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
        """Have none: ``logging.shutdown`` would wait for it."""
        self.lock = _NoLock()  # type: ignore[assignment]

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, or what went wrong with it."""
        try:
            write(STDERR, self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - as every handler does
            self.handleError(record)
