"""The files with a node's certificate, private key and trusted authorities, by cert-manager.

Three files, none of which is of use without the others, may be replaced at any moment, such as by a
link to their folder that leads elsewhere. What counts is how they were at one moment.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from cluster_kit.config.guarded_file import (
    GuardedFile,
    UnusableFileError,
    identity_of,
    read_guarded,
)
from cluster_kit.errors import ConfigError
from cluster_kit.security.keys import Certificates

MAX_BYTES = 65536  # of each file; a chain of three has some 6 KB, and a bundle of authorities more
_TRIES = 5  # for files that are replaced while they are read, which takes a moment

SOON = timedelta(days=30)  # at most
SOON_PART = 0.3  # of its lifetime: cert-manager renews after two thirds, and takes a moment for it


@dataclass(frozen=True, slots=True)
class CertificatePaths:
    """Where the files are; absolute, links not followed.

    Attributes:
        cert: The node's certificate, and behind it those between that one and an authority.
        key: Its private key.
        ca: The authorities to trust.
        folder: The folder that was given in their place.
    """

    cert: Path
    key: Path
    ca: Path
    folder: Path | None = None

    @classmethod
    def within(cls, folder: Path) -> CertificatePaths:
        """Return the paths in a folder, by the names that cert-manager gives."""
        return cls(folder / "tls.crt", folder / "tls.key", folder / "ca.crt", folder)

    def __str__(self) -> str:
        return f"'{self.folder or self.cert}'"


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """The files as they were when read; they fit together, and peers with the same ones trust them.

    Attributes:
        paths: Where they are.
        host: Of this node; without a trust domain, its certificate names it.
        content: What a node takes of them.
        names: What the certificate names, each with its kind as ``ssl.SSLObject.getpeercert`` calls
            it.
        begins: From when on the node's own certificate is valid, with its time zone.
        expires: Until when it is.
        exposed: Whether others than owner and group can read the key.
        digest: Of what was read.
    """

    paths: CertificatePaths = field(compare=False)
    host: str = field(compare=False)
    content: Certificates
    names: tuple[tuple[str, str], ...] = field(compare=False)
    begins: datetime = field(compare=False)
    expires: datetime = field(compare=False)
    exposed: bool = field(compare=False)
    digest: bytes = field(compare=False, repr=False)

    @property
    def titles(self) -> tuple[str, ...]:
        """The names as people read them."""
        return tuple(name.strip() for _, name in self.names)

    @property
    def expires_text(self) -> str:
        """When the certificate expires, as messages show it."""
        return f"{self.expires:%Y-%m-%d %H:%M} UTC"

    def as_plain(self) -> dict[str, Any]:
        """Return what anybody may know of them, as JSON can have it."""
        files = {"cert": str(self.paths.cert), "key": str(self.paths.key), "ca": str(self.paths.ca)}
        return files | {
            "names": list(self.titles),
            "trust_domain": self.content.trust_domain,
            "expires": self.expires.isoformat(),
        }


def read_certificate_files(
    paths: CertificatePaths,
    host: str,
    trust_domain: str | None = None,
    *,
    known: CertificateFiles | None = None,
) -> CertificateFiles:
    """Read the files of a node, and check that peers with the same authorities would trust it.

    Args:
        paths: Where they are.
        host: The host part of the node's name.
        trust_domain: See ``Certificates``.
        known: What they were before: it is returned as it is where nothing has changed, whatever
            the time is.

    Raises:
        ConfigError: They can't be used; no message shows any of the key, nor does the traceback
            lead to it.
    """
    found = _read(paths, host, trust_domain, known)
    if isinstance(found, ConfigError):
        raise found
    return found


def _read(
    paths: CertificatePaths, host: str, trust_domain: str | None, known: CertificateFiles | None
) -> CertificateFiles | ConfigError:
    """Return what was read, or why it can't be used: where that is raised, the key is at hand."""
    try:
        files = _collect(paths)
        digest = hashlib.sha256(
            b"".join(hashlib.sha256(file.content).digest() for file in files)
        ).digest()
        _, key, ca = files
        key.check_writers("choose the key of this node")
        ca.check_writers("choose whom this node trusts")
        if known is not None and known.digest == digest:
            return known
        # Imports cryptography, which a node without certificates doesn't need.
        from cluster_kit.config.certificate_checks import check

        checked = check(*files, host, trust_domain)
        return CertificateFiles(
            paths,
            host,
            content=checked.content,
            names=checked.names,
            begins=checked.begins,
            expires=checked.expires,
            exposed=key.is_exposed,
            digest=digest,
        )
    except ConfigError as exc:
        exc.__cause__ = exc.__context__ = None
        return exc.with_traceback(None)


def _collect(paths: CertificatePaths) -> tuple[GuardedFile, GuardedFile, GuardedFile]:
    """Return the files as they were at one moment."""
    for _ in range(_TRIES):
        cert = _read_one(
            paths.cert,
            "the certificate",
            "expected the node's certificate, and those that issued it",
        )
        key = _read_one(
            paths.key,
            "the private key",
            "expected the private key of the certificate, and nothing else",
        )
        ca = _read_one(
            paths.ca,
            "the authorities",
            "name only those authorities that issue certificates of the cluster",
        )
        if all(identity_of(file.path) == file.identity for file in (cert, key, ca)):
            return cert, key, ca
    raise UnusableFileError(
        paths.cert,
        "it, its key or the authorities change all the time",
        "wait until they are written",
    )


def _read_one(path: Path, what: str, large: str) -> GuardedFile:
    missing = (
        f"write {what} to it: cert-manager does, and 'cluster-kit certs' for those who have no "
        "authority"
    )
    return read_guarded(path, MAX_BYTES, what=what, missing=missing, large=large)


class Expiry(StrEnum):
    """How near the end of a certificate is."""

    FAR = "far"
    SOON = "soon"
    EXPIRED = "expired"


def expiry_of(files: CertificateFiles, now: datetime) -> Expiry:
    """Return how near the end of the node's certificate is."""
    if now > files.expires:
        return Expiry.EXPIRED
    lifetime = files.expires - files.begins
    return Expiry.SOON if files.expires - now < min(SOON, lifetime * SOON_PART) else Expiry.FAR


def warning_of(files: CertificateFiles, now: datetime) -> str | None:
    """Return a warning if the node's certificate has expired, or will soon."""
    match expiry_of(files, now):
        case Expiry.FAR:
            return None
        case Expiry.SOON:
            when = f"expires on {files.expires_text}, and has not been renewed"
        case Expiry.EXPIRED:
            when = f"expired on {files.expires_text}, and no other node accepts a new link with it"
    own = f"the certificate in '{files.paths.cert}'"
    return f"certificates: {own} {when}: renew it, and replace the file"
