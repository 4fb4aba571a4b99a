"""Watches the files of secrets and certificates, so that a rotation needs no restart.

Files are polled, which works on every file system. A rotation may replace a file, or a symlink on
the path to it, as Kubernetes does; or it may rewrite the file in place, so that it can be read
half-written. A change therefore takes effect only when two polls in a row find the same content. If
a file becomes unusable, the previous content stays in use.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from cluster_kit.config import ClusterConfig
from cluster_kit.config.certificate_files import (
    CertificateFiles,
    Expiry,
    expiry_of,
    read_certificate_files,
    warning_of,
)
from cluster_kit.config.guarded_file import identity_of
from cluster_kit.config.secret_file import SecretFile, read_secret_file
from cluster_kit.errors import ClusterKitError, ConfigError
from cluster_kit.supervisor.logs import LogRelay
from cluster_kit.supervisor.threads import CancellableThread

POLL_S = 2.0  # more than the resolution of any file system's clock; a change takes two polls
_JOIN_S = 5.0
_REPEAT = timedelta(days=1)  # between two warnings that a certificate expires

Content = TypeVar("Content")


class FileWatch:
    """Owns a thread that calls ``pollers`` regularly, from ``open`` until ``close``.

    Args:
        names_files: Returns whether there are files to poll.
        pollers: What to call; one that raises is logged once, and called again all the same.
        logs: Where to log that.
    """

    def __init__(
        self,
        names_files: Callable[[], bool],
        pollers: Sequence[Callable[[], object]],
        logs: LogRelay,
    ) -> None:
        self._names_files = names_files
        self._pollers = pollers
        self._logs = logs
        self._failing: set[int] = set()
        self._closing = False
        self._close_requests: SimpleQueue[None] = SimpleQueue()
        self._thread: CancellableThread | None = None

    def open(self) -> None:
        """Start polling, if there are files to poll; idempotent.

        Raises:
            ClusterKitError: The system refuses a thread.
        """
        if self._thread is not None or self._closing or not self._names_files():
            return
        self._thread = CancellableThread(self._run, "cluster-kit-files")
        try:
            self._thread.start()
        except RuntimeError as exc:
            what = "files of secrets and certificates cannot be watched"
            raise ClusterKitError(f"{what}: {exc}: see 'ulimit -u'") from exc

    def close(self) -> None:
        """Stop polling; does not wait, and may be called in a signal handler."""
        self._closing = True
        self._close_requests.put(None)
        if self._thread is not None:
            self._thread.undo_start()

    def join(self) -> None:
        """Wait until the thread has ended, after ``close``."""
        if self._thread is not None:
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        while not self._is_closed_within(POLL_S):
            for number, poll in enumerate(self._pollers):
                self._contained(number, poll)

    def _is_closed_within(self, wait_s: float) -> bool:
        try:
            self._close_requests.get(timeout=wait_s)
        except Empty:
            return self._closing
        return True

    def _contained(self, number: int, poll: Callable[[], object]) -> None:
        try:
            poll()
        except Exception as exc:  # noqa: BLE001 - else old keys would stay in use unnoticed
            if number not in self._failing:
                text = "watching files of secrets and certificates fails, and is tried again"
                self._logs.log(logging.ERROR, text, exc)
            self._failing.add(number)
        else:
            self._failing.discard(number)


class FilePoller(Generic[Content]):
    """Polls one set of files each time it is called.

    Args:
        title: What it is called in logs.
        kept: What stays in use while the files can't be used, as a sentence for logs.
        current: Returns the content in use; ``None`` if no file is configured.
        paths: Returns the files that hold a content.
        read: Reads the files again; raises ``ConfigError``.
        use: Called with the content when it has changed; raises ``ClusterKitError``.
        logs: Where faults are logged, once each, and the end of a fault.
    """

    def __init__(
        self,
        title: str,
        kept: str,
        *,
        current: Callable[[], Content | None],
        paths: Callable[[Content], Sequence[Path]],
        read: Callable[[Content], Content],
        use: Callable[[Content], object],
        logs: LogRelay,
    ) -> None:
        self._title = title
        self._kept = kept
        self._current = current
        self._paths = paths
        self._read = read
        self._use = use
        self._logs = logs
        self._last: Content | str | None = None  # the content or the fault that the last poll found
        self._fault: str | None = None
        # The identities of the files at the last poll, and the ones whose content is known to be
        # in use: as long as these do not change, the files are not read again.
        self._seen: object = None
        self._settled: object = None
        self._watched: tuple[Content | None, list[Path]] = None, []

    def __call__(self) -> None:
        """Poll once."""
        current = self._current()
        if current is None:
            self._last = self._fault = self._settled = None
            return
        if current is not self._watched[0]:
            paths = [each for path in self._paths(current) for each in (path, path.parent)]
            self._watched = current, paths
        seen = current, [identity_of(path) for path in self._watched[1]]
        if seen == self._settled:
            return
        try:
            found: Content | str = self._read(current)
        except ConfigError as exc:
            found = str(exc)
        if found == self._last:
            self._act_on(found, current)
        self._settled = seen if seen == self._seen and found == self._last == current else None
        self._last, self._seen = found, seen

    def _act_on(self, found: Content | str, current: Content) -> None:
        """Act on what two polls in a row have found."""
        if isinstance(found, str):
            self._report(f"{found}; {self._kept}")
        elif found == current:
            if self._fault is not None:
                text = f"{self._title}: can be used again, and is unchanged"
                self._logs.log(logging.INFO, text)
            self._fault = None
        else:
            try:
                self._use(found)
            except ClusterKitError as exc:
                self._report(str(exc))
            else:
                self._fault = None

    def _report(self, fault: str) -> None:
        if fault != self._fault:
            self._fault = fault
            self._logs.log(logging.ERROR, f"{self._title}: {fault}")


def secret_poller(
    config: Callable[[], ClusterConfig], use: Callable[[SecretFile], object], logs: LogRelay
) -> FilePoller[SecretFile]:
    """Return the poller of the secret's file."""
    return FilePoller(
        "secret_file",
        "the secrets stay as they are",
        current=lambda: config().secret_file,
        paths=lambda current: (current.path,),
        read=lambda current: read_secret_file(current.path),
        use=use,
        logs=logs,
    )


def certificate_poller(
    config: Callable[[], ClusterConfig], use: Callable[[CertificateFiles], object], logs: LogRelay
) -> FilePoller[CertificateFiles]:
    """Return the poller of the certificates' files."""

    def read(current: CertificateFiles) -> CertificateFiles:
        domain = current.content.trust_domain
        return read_certificate_files(current.paths, current.host, domain, known=current)

    return FilePoller(
        "certificates",
        "the last good ones stay in use",
        current=lambda: config().certificates,
        paths=lambda current: (current.paths.cert, current.paths.key, current.paths.ca),
        read=read,
        use=use,
        logs=logs,
    )


class ExpiryCheck:
    """Warns when the certificate in use is about to expire, and when it has: once, then daily.

    Args:
        config: Returns the configuration in use.
        logs: Where to warn.
        now: Returns the time.
    """

    def __init__(
        self,
        config: Callable[[], ClusterConfig],
        logs: LogRelay,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._config = config
        self._logs = logs
        self._now = now
        self._warned: tuple[CertificateFiles, Expiry] | None = None
        self._warned_at: datetime | None = None

    def __call__(self) -> None:
        """Check once."""
        files = self._config().certificates
        if files is None:
            return
        now = self._now()
        warning = warning_of(files, now)
        subject = files, expiry_of(files, now)
        if warning is None or (subject == self._warned and not self._may_repeat(now)):
            return
        self._warned, self._warned_at = subject, now
        self._logs.log(logging.WARNING, warning)

    def _may_repeat(self, now: datetime) -> bool:
        """Whether the last warning is a day old; also if the clock was set back."""
        return self._warned_at is None or not timedelta(0) <= now - self._warned_at < _REPEAT
