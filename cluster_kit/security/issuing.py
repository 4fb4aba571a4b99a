"""Issues certificates for files. Pure, except that keys and serial numbers are random.

Keys are for ECDSA on P-256, which every implementation of TLS 1.3 must support (RFC 8446, section
9.1). Ed25519, which links under a secret use, is optional there.

Source: RFC 5280 (certificates); the X.509-SVID standard of SPIFFE (an ID is a leaf's only URI).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cluster_kit.host import ip_of

AUTHORITY_DAYS = 3650
_CLOCK_SKEW = timedelta(hours=1)
_MAX_COMMON_NAME_CHARS = 64  # RFC 5280, appendix A.1
_SHOWN_ID_CHARS = 8

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class LeafNames:
    """The names in the certificate of a node.

    Attributes:
        hosts: IP addresses without a zone, and DNS names; at least one.
        uri: Its SPIFFE ID.
    """

    hosts: tuple[str, ...]
    uri: str | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key, as PEM.

    Attributes:
        chain: The certificate, and that of its issuer unless the latter is self-signed.
        key: Its private key.
        expires: When it expires.
    """

    chain: bytes
    key: bytes
    expires: datetime


class Issuer:
    """An authority that can sign.

    Args:
        key: Its private key.
        trusted: The certificates that nodes should trust: its own, and others during a change from
            one authority to another.

    Attributes:
        expires: When its own certificate expires.

    Raises:
        ValueError: None of ``trusted`` is for the key, or the one that is can't sign.
    """

    def __init__(self, key: PrivateKey, trusted: Sequence[x509.Certificate]) -> None:
        own = [each for each in trusted if _public_key(each) == key.public_key()]
        if not own:
            raise ValueError("none of its certificates is for that key")
        self._certificate = max(own, key=lambda each: each.not_valid_after_utc)
        self._key = key
        self._trusted = trusted
        self._key_id = _key_id_of(self._certificate)
        self.expires = self._certificate.not_valid_after_utc

    @property
    def trusted(self) -> bytes:
        """All certificates that nodes should trust, as PEM."""
        return b"".join(each.public_bytes(Encoding.PEM) for each in self._trusted)

    def issue(self, names: LeafNames, days: int, now: datetime) -> Issued:
        """Return a certificate and a new key for a node; it never outlives the authority."""
        key = new_key()
        expires = min(now + timedelta(days=days), self.expires)
        host = names.hosts[0]
        title = _title(host) if len(host) <= _MAX_COMMON_NAME_CHARS else x509.Name([])
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        own = self._certificate
        builder = _builder(title, own.subject, key, now, expires)
        for extension, is_critical in (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(digital_signature=True), True),
            (x509.ExtendedKeyUsage(purposes), False),
            (x509.SubjectAlternativeName(_general_names(names)), not list(title)),
            (self._key_id, False),
        ):
            builder = builder.add_extension(extension, critical=is_critical)
        chain = [builder.sign(self._key, _hash(self._key))]
        if own.issuer != own.subject:
            chain.append(own)
        pem = b"".join(each.public_bytes(Encoding.PEM) for each in chain)
        return Issued(pem, pem_of(key), expires)


def new_key() -> PrivateKey:
    """Return a new private key."""
    return ec.generate_private_key(ec.SECP256R1())


def self_signed(key: PrivateKey, now: datetime) -> x509.Certificate:
    """Return a certificate for the authority of ``key``; a later one verifies its leaves, too."""
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    title = _title(f"cluster_kit CA {key_id.digest.hex()[:_SHOWN_ID_CHARS]}")
    builder = _builder(title, title, key, now, now + timedelta(days=AUTHORITY_DAYS))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
    return builder.sign(key, _hash(key))


def pem_of(key: PrivateKey) -> bytes:
    """Return a private key as unencrypted PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load_key(pem: bytes) -> PrivateKey:
    """Return a private key.

    Raises:
        ValueError: It is not a private key, or of an unsupported kind.
    """
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise ValueError("it is encrypted") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("it is not a private key in PEM") from None
    if not isinstance(key, PrivateKey):
        raise ValueError("it is not a key for ECDSA, Ed25519 or RSA")
    return key


def load_certificates(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates in a file.

    Raises:
        ValueError: It has none, or a broken one.
    """
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise ValueError("it has no certificate in PEM, or a broken one") from None


def names_in(certificate: x509.Certificate) -> LeafNames | None:
    """Return the names in a certificate; ``None`` if it names no host."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return None
    hosts = [str(each.value) for each in names if isinstance(each, x509.DNSName | x509.IPAddress)]
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return LeafNames(tuple(hosts), uris[0] if uris else None) if hosts else None


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, now: datetime, expires: datetime
) -> x509.CertificateBuilder:
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(expires)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _title(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _general_names(names: LeafNames) -> list[x509.GeneralName]:
    hosts = [_general_name(host) for host in names.hosts]
    return hosts if names.uri is None else [*hosts, x509.UniformResourceIdentifier(names.uri)]


def _general_name(host: str) -> x509.GeneralName:
    return x509.DNSName(host) if ip_of(host) is None else x509.IPAddress(ipaddress.ip_address(host))


def _public_key(certificate: x509.Certificate) -> object:
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None  # not ours, in any case


def _key_id_of(certificate: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Return the authority key id for leaves: the subject key id of the authority's certificate.

    Raises:
        ValueError: Strict verification (``X509_V_FLAG_X509_STRICT``) would not accept it as an
            authority.
    """
    extensions = certificate.extensions
    try:
        is_authority = extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        may_sign = extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
        key_id = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        is_authority = may_sign = False
    if not (is_authority and may_sign):
        expected = "expected CA:TRUE, keyCertSign and a subject key id"
        raise ValueError(f"its certificate for that key is not an authority: {expected}")
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id)


def _hash(key: PrivateKey) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
