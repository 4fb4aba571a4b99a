"""What the watch of files looks at: the secret's file, the files of certificates, and when those expire."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cluster_kit.config import ClusterConfig
from cluster_kit.config.certificate_files import (
    CertificateFiles,
    Expiry,
    expiry_of,
    read_certificate_files,
    warning_of,
)
from cluster_kit.config.secret_file import SecretFile, read_secret_file
from cluster_kit.supervisor.file_watch import FileLook
from cluster_kit.supervisor.logs import LogRelay

_REPEAT = timedelta(days=1)


def look_at_secrets(
    config: Callable[[], ClusterConfig], take_in: Callable[[SecretFile], object], logs: LogRelay
) -> FileLook[SecretFile]:
    """Return the look at the secret's file."""
    return FileLook(
        "secret_file",
        "the secrets stay as they are",
        current=lambda: config().secret_file,
        paths=lambda current: (current.path,),
        read=lambda current: read_secret_file(current.path),
        take_in=take_in,
        logs=logs,
    )


def look_at_certificates(
    config: Callable[[], ClusterConfig], take_in: Callable[[CertificateFiles], object], logs: LogRelay
) -> FileLook[CertificateFiles]:
    """Return the look at the files of certificates."""
    return FileLook(
        "certificates",
        "the last good ones stay in use",
        current=lambda: config().certificates,
        paths=lambda current: (current.paths.cert, current.paths.key, current.paths.ca),
        read=lambda current: read_certificate_files(current.paths, current.host, current.content.trust_domain, known=current),
        take_in=take_in,
        logs=logs,
    )


class ExpiryLook:
    """Warns when the certificate in use is about to expire, and when it has: once, then once a day.

    Args:
        config: Returns the configuration in use.
        logs: Takes the warnings.
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
        self._told: tuple[CertificateFiles, Expiry] | None = None
        self._told_at: datetime | None = None

    def __call__(self) -> None:
        """Look once."""
        files = self._config().certificates
        if files is None:
            return
        now = self._now()
        told = files, expiry_of(files, now)
        is_new = told != self._told or self._told_at is None or not timedelta(0) <= now - self._told_at < _REPEAT
        warning = warning_of(files, now)
        if warning is not None and is_new:
            self._told, self._told_at = told, now
            self._logs.log(logging.WARNING, warning)
