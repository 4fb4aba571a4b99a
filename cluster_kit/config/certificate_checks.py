"""Checks a certificate, its key and its authorities before peers do. Loads ``cryptography``.

Source: RFC 5280 (certificates), RFC 7468 (PEM), RFC 9525 (which names count).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from cluster_kit.config.guarded_file import GuardedFile, UnusableFileError
from cluster_kit.host import ip_of
from cluster_kit.security.files import FileTrust
from cluster_kit.security.keys import Certificates
from cluster_kit.security.names import names_node, shown
from cluster_kit.security.rehearsal import rehearse

MAX_CERTIFICATES = 32  # in one file

_USAGES = {
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
}
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm)


@dataclass(frozen=True, slots=True)
class Checked:
    """The content of the files, once it has passed; see ``CertificateFiles``."""

    content: Certificates
    names: tuple[tuple[str, str], ...]
    begins: datetime
    expires: datetime


def check(
    cert: GuardedFile, key: GuardedFile, ca: GuardedFile, host: str, trust_domain: str | None
) -> Checked:
    """Check the files against each other, and return their content.

    Raises:
        ConfigError: They can't be used. The frames of its traceback hold the key.
    """
    own, *between = _certificates_in(cert)
    private = _private_key_in(key)
    authorities = _certificates_in(ca)
    _check_pair(cert.path, own, key.path, private)
    _check_time(cert.path, own)
    _check_usages(cert.path, own)
    content = Certificates(
        chain=_pem([own, *between]),
        key=private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        authorities=_pem(authorities),
        trust_domain=trust_domain,
    )
    names = _rehearsed(cert.path, ca.path, content)
    _check_names(cert.path, names, host, trust_domain)
    return Checked(content, names, own.not_valid_before_utc, own.not_valid_after_utc)


def _rehearsed(cert: Path, ca: Path, content: Certificates) -> tuple[tuple[str, str], ...]:
    """Return the names that peers with the same authorities would see in the certificate."""
    try:
        trust = FileTrust(content)
    except ValueError as exc:
        raise UnusableFileError(cert, f"no link can use it: {exc}", "issue another") from None
    try:
        return rehearse(trust)
    except ValueError as exc:
        why = f"peers that trust '{ca}' would refuse it: {exc}"
        chain = "add its issuer to that file, and the certificates between the two to its own"
        raise UnusableFileError(cert, why, f"{chain}; all must be valid now") from None


def _certificates_in(file: GuardedFile) -> list[x509.Certificate]:
    _check_blocks(file, "a certificate")
    try:
        certificates = x509.load_pem_x509_certificates(file.content)
        for each in certificates:
            each.public_key()
    except _UNREADABLE:
        cure = "write it as PEM, which begins with '-----BEGIN CERTIFICATE-----'"
        raise UnusableFileError(file.path, "it has no readable certificate", cure) from None
    if len(certificates) > MAX_CERTIFICATES:
        why = f"it has more than {MAX_CERTIFICATES} certificates"
        raise UnusableFileError(file.path, why, "keep only those that the cluster needs")
    return certificates


def _private_key_in(file: GuardedFile) -> PrivateKeyTypes:
    _check_blocks(file, "a private key")
    try:
        return load_pem_private_key(file.content, None)
    except TypeError:
        cure = f"decrypt it with 'openssl pkey -in {file.path} -out FILE'"
        raise UnusableFileError(file.path, "its private key is encrypted", cure) from None
    except _UNREADABLE:
        cure = "write it as PEM, which begins with '-----BEGIN PRIVATE KEY-----'"
        raise UnusableFileError(file.path, "it has no readable private key", cure) from None


def _check_blocks(file: GuardedFile, what: str) -> None:
    """Refuse a file that ends inside a block, which PEM readers silently ignore."""
    if not file.content.strip():
        raise UnusableFileError(file.path, "it is empty", f"write {what} to it, as PEM")
    if file.content.count(b"-----BEGIN ") != file.content.count(b"-----END "):
        raise UnusableFileError(file.path, "it ends inside a PEM block", "write the whole block")


def _check_pair(cert: Path, own: x509.Certificate, key: Path, private: PrivateKeyTypes) -> None:
    of_cert, of_key = (
        each.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for each in (own.public_key(), private.public_key())
    )
    if of_cert != of_key:
        why = f"it is not the key of the first certificate in '{cert}'"
        cure = "use the pair that was issued together, and put the node's own certificate first"
        raise UnusableFileError(key, why, cure)


def _check_time(cert: Path, own: x509.Certificate) -> None:
    now = datetime.now(UTC)
    begins, expires = own.not_valid_before_utc, own.not_valid_after_utc
    cure = f"renew it, or set this machine's clock, which says {now:%Y-%m-%d}"
    if now > expires:
        why = f"its certificate expired on {expires:%Y-%m-%d %H:%M} UTC"
        raise UnusableFileError(cert, why, cure)
    if now < begins:
        why = f"its certificate is not valid before {begins:%Y-%m-%d %H:%M} UTC"
        raise UnusableFileError(cert, why, cure)


def _check_usages(cert: Path, own: x509.Certificate) -> None:
    try:
        usages = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return  # it allows every use
    except (ValueError, x509.DuplicateExtension):
        why = "its certificate has an unreadable extension"
        raise UnusableFileError(cert, why, "issue another") from None
    missing = [name for usage, name in _USAGES.items() if usage not in usages]
    if missing:
        why = f"the extended key usage of its certificate lacks {' and '.join(missing)}"
        usages_key = "'usages: [digital signature, server auth, client auth]'"
        raise UnusableFileError(cert, why, f"issue one with both; in cert-manager, {usages_key}")


def _check_names(
    cert: Path, names: tuple[tuple[str, str], ...], host: str, trust_domain: str | None
) -> None:
    if names_node(names, f"node@{host}", trust_domain):
        return
    found = shown(names, trust_domain)
    if trust_domain is None:
        why = f"its certificate names {found or 'no host'}, not this node's host '{host}'"
        kind = "ipAddresses" if ip_of(host) else "dnsNames"
        cure = f"issue one that names it, in cert-manager with '{kind}', or change the node's host"
    else:
        why = f"its certificate has {found or 'no URI'}, not one SPIFFE ID of '{trust_domain}'"
        cure = f"issue one with exactly one URI, such as spiffe://{trust_domain}/shop"
    raise UnusableFileError(cert, why, cure)


def _pem(certificates: list[x509.Certificate]) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)
