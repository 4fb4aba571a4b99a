"""Reads the settings for certificates: a folder or three files, and a trust domain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cluster_kit.config.document import Faults, Piece, shown
from cluster_kit.config.guarded_file import UnusableFileError
from cluster_kit.config.options import convert
from cluster_kit.config.values import text

if TYPE_CHECKING:
    from cluster_kit.config.certificate_files import CertificateFiles

FOLDER, DOMAIN = "certs", "trust_domain"
EACH = ("cert", "key", "ca")
FILES = (FOLDER, *EACH)
KEYS = (*FILES, DOMAIN)

_SCHEME = "spiffe://"


def read_certificates(root: Piece, host: str | None) -> CertificateFiles | None:
    """Return the certificates that a configuration names; ``None`` if it names none.

    Args:
        root: The whole configuration.
        host: The host part of the node's name; ``None`` if a fault hides it, so no file is read.
    """
    own = {key: piece for key, piece in root.by_key().items() if key in KEYS}
    if not own:
        return None
    # imported here: a configuration without certificates doesn't need it
    from cluster_kit.config.certificate_files import CertificateFiles

    loaded = own[FOLDER].value if FOLDER in own else None
    if isinstance(loaded, CertificateFiles):
        return loaded
    faults = Faults()
    domain: str | None = None
    given: dict[str, Path] = {}
    with faults:
        _check_together(own)
    with faults:
        domain = _trust_domain(own[DOMAIN]) if DOMAIN in own else None
    for key in own.keys() & set(FILES):
        with faults:
            given[key] = convert(own[key], Path)
    faults.check()
    return None if host is None else _read(own, given, host, domain)


def _check_together(own: dict[str, Piece]) -> None:
    given = [key for key in EACH if key in own]
    missing = [f"'{key}'" for key in EACH if key not in own]
    if FOLDER in own and given:
        cure = "give the folder or the three files, not both"
        raise own[given[0]].key_error(f"conflicts with '{FOLDER}'", cure)
    if FOLDER not in own and not given:
        raise own[DOMAIN].key_error("needs certificates", "add 'certs: FOLDER'")
    if FOLDER not in own and missing:
        cure = f"add {' and '.join(missing)}, or give the folder of all three as '{FOLDER}'"
        raise own[given[0]].key_error("is incomplete", cure)


def _read(
    own: dict[str, Piece], given: dict[str, Path], host: str, domain: str | None
) -> CertificateFiles:
    from cluster_kit.config.certificate_files import CertificatePaths, read_certificate_files

    first = own[FOLDER if FOLDER in own else EACH[0]]
    try:
        files = {key: path.absolute() for key, path in given.items()}
    except OSError as exc:
        raise first.error(f"has no working directory to start from: {exc.strerror}") from None
    paths = CertificatePaths.within(files[FOLDER]) if FOLDER in files else CertificatePaths(**files)
    try:
        return read_certificate_files(paths, host, domain)
    except UnusableFileError as exc:
        culprit = next((own[key] for key, path in files.items() if path == exc.culprit), first)
        raise culprit.error_of(exc.fault) from None


def _trust_domain(piece: Piece) -> str:
    from cluster_kit.security.names import MAX_TRUST_DOMAIN_BYTES, is_trust_domain

    given = text(piece)
    if not is_trust_domain(given):
        inside = given.removeprefix(_SCHEME).partition("/")[0].lower()
        allowed = f"at most {MAX_TRUST_DOMAIN_BYTES} of a-z, 0-9, '.', '-' and '_'"
        what = f"invalid value {shown(given)}: expected a SPIFFE trust domain, {allowed}"
        raise piece.error(what, f"write {inside}" if is_trust_domain(inside) else "")
    return given
