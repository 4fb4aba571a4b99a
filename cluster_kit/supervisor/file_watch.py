"""Looks at files again and again, so that what they hold is changed by changing them on every machine.

A file is replaced by another, or a link on the way to it is, as in Kubernetes; or it is written in place, and read amid that.
So what a look finds counts when the next one finds it, too. A file that can't be used leaves everything as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from cluster_kit.config.guarded_file import identity_of
from cluster_kit.errors import ClusterKitError, ConfigError
from cluster_kit.supervisor.ending import Ending
from cluster_kit.supervisor.logs import LogRelay
from cluster_kit.supervisor.thread import UndoableThread

LOOK_S = 2.0  # a change is taken in after the second look that finds it; no clock of files is as coarse as that
_JOIN_S = 5.0

Found = TypeVar("Found")


class FileWatch:
    """Owns a thread, from ``open`` until ``close``; a signal handler may close it.

    Args:
        names_files: Returns whether there is anything to look at.
        looks: What to do each time; one that raises is a fault of ours, which is logged once, and ends nothing.
        logs: Takes that.
    """

    def __init__(self, names_files: Callable[[], bool], looks: Sequence[Callable[[], object]], logs: LogRelay) -> None:
        self._names_files = names_files
        self._looks = looks
        self._logs = logs
        self._failing: set[int] = set()
        self._closing = False
        self._told: SimpleQueue[None] = SimpleQueue()
        self._ended = Ending()
        self._thread: UndoableThread | None = None

    def open(self) -> None:
        """Begin to look, where there is anything to look at; idempotent.

        Raises:
            ClusterKitError: The system has no thread to give.
        """
        if self._thread is None and not self._closing and self._names_files():
            self._thread = UndoableThread(self._run, "cluster-kit-files")
            try:
                self._thread.start()
            except RuntimeError as exc:
                raise ClusterKitError(f"files of secrets and certificates cannot be watched: {exc}: see 'ulimit -u'") from exc

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
                for number, look in enumerate(self._looks):
                    self._contained(number, look)
        finally:
            self._ended.set()

    def _is_told(self) -> bool:
        try:
            self._told.get(timeout=LOOK_S)
        except Empty:
            return self._closing
        return True

    def _contained(self, number: int, look: Callable[[], object]) -> None:
        try:
            look()
        except Exception as exc:  # noqa: BLE001 - a watch that ends would leave old keys in use, and nobody would know
            if number not in self._failing:
                self._logs.log(logging.ERROR, "watching files of secrets and certificates fails, and is tried again", exc)
            self._failing.add(number)
        else:
            self._failing.discard(number)


class FileLook(Generic[Found]):
    """One thing that files hold. Called for each look.

    Args:
        title: What it is called in logs, and ``kept`` what is said of it where the files can't be used.
        current: Returns it as it was taken in, ``None`` where none is configured.
        paths: Returns which files hold it.
        read: Reads it again; raises ``ConfigError``.
        take_in: Called with it when it is another one; raises ``ClusterKitError``.
        logs: Takes what goes wrong with it, once, and that nothing does any more.
    """

    def __init__(
        self,
        title: str,
        kept: str,
        *,
        current: Callable[[], Found | None],
        paths: Callable[[Found], Sequence[Path]],
        read: Callable[[Found], Found],
        take_in: Callable[[Found], object],
        logs: LogRelay,
    ) -> None:
        self._title = title
        self._kept = kept
        self._current = current
        self._paths = paths
        self._read = read
        self._take_in = take_in
        self._logs = logs
        self._last: Found | str | None = None
        self._fault: str | None = None
        self._seen: object = None
        self._settled: object = None
        self._watched: tuple[Found | None, list[Path]] = None, []  # the files of what is current, and their folders

    def __call__(self) -> None:
        """Look once. Files that were read when they had been the same for a while are not read again until they change."""
        current = self._current()
        if current is None:
            self._last = self._fault = self._settled = None
            return
        if current is not self._watched[0]:
            self._watched = current, [each for path in self._paths(current) for each in (path, path.parent)]
        seen = current, [identity_of(path) for path in self._watched[1]]
        if seen == self._settled:
            return
        try:
            found: Found | str = self._read(current)
        except ConfigError as exc:
            found = str(exc)
        if found == self._last:
            self._judge(found, current)
        self._settled = seen if seen == self._seen and found == self._last == current else None
        self._last, self._seen = found, seen

    def _judge(self, found: Found | str, current: Found) -> None:
        """Act on what two looks have found."""
        if isinstance(found, str):
            self._complain(f"{found}; {self._kept}")
        elif found == current:
            self._recover()
        else:
            try:
                self._take_in(found)
            except ClusterKitError as exc:
                self._complain(str(exc))
            else:
                self._fault = None

    def _complain(self, fault: str) -> None:
        if fault != self._fault:
            self._fault = fault
            self._logs.log(logging.ERROR, f"{self._title}: {fault}")

    def _recover(self) -> None:
        if self._fault is not None:
            self._fault = None
            self._logs.log(logging.INFO, f"{self._title}: can be used again, and is as it was before")
