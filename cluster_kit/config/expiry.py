"""When to say that a node's certificate has expired, or is about to and nobody has replaced it. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from cluster_kit.config.certificate_files import CertificateFiles

SOON = timedelta(days=30)  # at most
SOON_PART = 0.3  # of its lifetime: cert-manager renews after two thirds, and takes a moment for it


class Expiry(StrEnum):
    """How near it is."""

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
    """Return what to warn of, if anything."""
    match expiry_of(files, now):
        case Expiry.FAR:
            return None
        case Expiry.SOON:
            when = f"expires on {files.expires_text}, and has not been renewed"
        case Expiry.EXPIRED:
            when = f"expired on {files.expires_text}, and no other node accepts a new link with it"
    return f"certificates: that of this node in '{files.paths.cert}' {when}: renew it, and put the new one in its place"
