"""Looks at the secret's file again and again, so that a secret is changed by changing the file on every machine.

A file is replaced by another, or a link on the way to it is, as in Kubernetes; or it is written in place, and read amid that.
So what a look finds counts when the next one finds it, too. A file that can't be used leaves everything as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from queue import Empty, SimpleQueue

from cluster_kit.config.secret_file import SecretFile, read_secret_file
from cluster_kit.errors import ClusterKitError, ConfigError
from cluster_kit.supervisor.ending import Ending
from cluster_kit.supervisor.logs import LogRelay
from cluster_kit.supervisor.thread import UndoableThread

LOOK_S = 2.0  # a change is taken in after the second look that finds it
_JOIN_S = 5.0


class SecretWatch:
    """Owns a thread, from ``open`` until ``close``; a signal handler may close it.

    Args:
        current: Returns the file as it was taken in, ``None`` where none is configured.
        take_in: Called with the file when it has others.
        logs: Takes what goes wrong with it, once.
    """

    def __init__(
        self, current: Callable[[], SecretFile | None], take_in: Callable[[SecretFile], object], logs: LogRelay
    ) -> None:
        self._current = current
        self._take_in = take_in
        self._logs = logs
        self._closing = False
        self._told: SimpleQueue[None] = SimpleQueue()
        self._ended = Ending()
        self._thread: UndoableThread | None = None
        self._last: SecretFile | str | None = None
        self._fault: str | None = None

    def open(self) -> None:
        """Begin to look, where there is a file to look at; idempotent.

        Raises:
            ClusterKitError: The system has no thread to give.
        """
        if self._thread is None and not self._closing and self._current() is not None:
            self._thread = UndoableThread(self._run, "cluster-kit-secrets")
            try:
                self._thread.start()
            except RuntimeError as exc:
                raise ClusterKitError(f"secret_file: cannot be watched: {exc}: see 'ulimit -u'") from exc

    def close(self) -> None:
        """Look no more; does not wait."""
        self._closing = True
        self._told.put(None)
        if self._thread is not None and self._thread.undo_start():
            self._ended.set()

    def join(self) -> None:
        """Wait for the end of the thread after ``close``."""
        if self._thread is not None and not self._thread.is_current:
            self._ended.wait(_JOIN_S)

    def _run(self) -> None:
        try:
            while not self._is_told():
                self._look()
        finally:
            self._ended.set()

    def _is_told(self) -> bool:
        try:
            self._told.get(timeout=LOOK_S)
        except Empty:
            return self._closing
        return True

    def _look(self) -> None:
        current = self._current()
        if current is None:
            return
        try:
            found: SecretFile | str = read_secret_file(current.path)
        except ConfigError as exc:
            found = str(exc)
        if found == self._last:
            self._judge(found, current)
        self._last = found

    def _judge(self, found: SecretFile | str, current: SecretFile) -> None:
        """Act on what two looks have found."""
        if isinstance(found, str):
            self._complain(f"{found}; the secrets stay as they are")
        elif found == current:
            self._fault = None
        else:
            try:
                self._take_in(found)
            except ClusterKitError as exc:
                self._complain(str(exc))

    def _complain(self, fault: str) -> None:
        if fault != self._fault:
            self._fault = fault
            self._logs.log(logging.ERROR, f"secret_file: {fault}")
