"""The files with a node's certificate, private key and authorities, named as by cert-manager.

The three belong together and may be replaced at any moment, for instance by redirecting a symlink.
They are therefore read as a consistent set: again from the start if one changed meanwhile.
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
_TRIES = 5  # to read files that are being replaced

SOON = timedelta(days=30)  # at most
SOON_PART = 0.3  # of the lifetime: cert-manager renews after two thirds, and needs a moment


@dataclass(frozen=True, slots=True)
class CertificatePaths:
    """Where the files are; absolute, links not followed.

    Attributes:
        cert: The node's certificate, followed by the intermediate ones.
        key: Its private key.
        ca: The authorities to trust.
        folder: The folder that was given instead of the three files.
    """

    cert: Path
    key: Path
    ca: Path
    folder: Path | None = None

    @classmethod
    def within(cls, folder: Path) -> CertificatePaths:
        """Return the paths in a folder, with the names that cert-manager uses."""
        return cls(folder / "tls.crt", folder / "tls.key", folder / "ca.crt", folder)

    def __str__(self) -> str:
        return f"'{self.folder or self.cert}'"


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """The files as they were read: a matching set that peers with the same authorities trust.

    Attributes:
        paths: Where they are.
        host: The host of this node; the certificate names it, unless there is a trust domain.
        content: The certificates and the key themselves.
        names: The names in the certificate, each with its kind in ``ssl.SSLObject.getpeercert``.
        begins: Start of the validity of the node's own certificate, with its time zone.
        expires: End of its validity.
        exposed: Whether users other than owner and group can read the key.
        digest: Hash of all three files.
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
        """Return what is public about them, as JSON can represent it."""
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
        known: The earlier files, returned unchecked if their content is unchanged.

    Raises:
        ConfigError: They can't be used; neither message nor traceback exposes the key.
    """
    found = _read(paths, host, trust_domain, known)
    if isinstance(found, ConfigError):
        raise found
    return found


def _read(
    paths: CertificatePaths, host: str, trust_domain: str | None, known: CertificateFiles | None
) -> CertificateFiles | ConfigError:
    """Return the files, or the error: a traceback from here would expose the key."""
    try:
        files = _collect(paths)
        digests = [hashlib.sha256(file.content).digest() for file in files]
        digest = hashlib.sha256(b"".join(digests)).digest()
        _, key, ca = files
        key.check_writers("choose the key of this node")
        ca.check_writers("choose which authorities this node trusts")
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
        cert = _read_one(paths.cert, "the certificate", "keep only the node's certificate chain")
        key = _read_one(paths.key, "the private key", "keep only the key of the certificate")
        ca = _read_one(paths.ca, "the authorities", "keep only the authorities of this cluster")
        if all(identity_of(file.path) == file.identity for file in (cert, key, ca)):
            return cert, key, ca
    why = "it, its key or the authorities keep changing"
    raise UnusableFileError(paths.cert, why, "wait until they are written")


def _read_one(path: Path, what: str, large: str) -> GuardedFile:
    missing = f"write {what} to it, as cert-manager or 'cluster-kit certs' does"
    return read_guarded(path, MAX_BYTES, what=what, missing=missing, large=large)


class Expiry(StrEnum):
    """How soon a certificate expires."""

    FAR = "far"
    SOON = "soon"
    EXPIRED = "expired"


def expiry_of(files: CertificateFiles, now: datetime) -> Expiry:
    """Return how soon the node's certificate expires."""
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
