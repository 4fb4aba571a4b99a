"""Authorities, certificates of nodes, and the files that have them, as cert-manager and Kubernetes lay them out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
FILES = ("tls.crt", "tls.key", "ca.crt")

_generations = itertools.count(1)


@dataclass(frozen=True)
class Leaf:
    """A node's certificate with those between it and its authority, and its key, as PEM."""

    chain: bytes
    key: bytes


class Authority:
    """Issues certificates.

    Args:
        title: What it is called.
        parent: Who certifies it; by default it does so itself.
        begins, ends: When it is valid, from now.
        constraints: Which leaves it may certify.
    """

    def __init__(
        self,
        title: str = "an authority",
        parent: Authority | None = None,
        *,
        begins: timedelta = -DAY,
        ends: timedelta = 3650 * DAY,
        constraints: x509.NameConstraints | None = None,
    ) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._between = b"" if parent is None else parent._between
        builder = _builder(title, self._key, parent or self, parent.title if parent else title, (begins, ends))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
        if constraints is not None:
            builder = builder.add_extension(constraints, critical=True)
        self.title = title
        self.certificate = builder.sign((parent or self)._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        if parent is not None:
            self._between = self.certificate + self._between

    def leaf(
        self,
        *hosts: str,
        uris: Iterable[str] = (),
        begins: timedelta = -DAY,
        ends: timedelta = 90 * DAY,
        usages: Iterable[x509.ObjectIdentifier] = (CLIENT, SERVER),
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> Leaf:
        """Return a certificate for these hosts and URIs, valid so long from now; none of ``usages`` leaves them all out."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        names = [*map(_name, hosts), *map(x509.UniformResourceIdentifier, uris)]
        builder = _builder("", key, self, self.title, (begins, ends))
        builder = builder.add_extension(_usage(), critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        if usages := list(usages):
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        return Leaf(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM) + self._between, pem_of(key))


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write_folder(folder: Path, leaf: Leaf, *authorities: Authority) -> Path:
    """Write a folder as cert-manager names its files; the key is for its owner alone."""
    folder.mkdir(exist_ok=True)
    for name, content in zip(FILES, (leaf.chain, leaf.key, b"".join(each.certificate for each in authorities)), strict=True):
        write(folder / name, content)
    return folder


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    """Replace a file by another, as most programs do."""
    new = path.with_name(f".{path.name}-{next(_generations)}")
    new.write_bytes(content)
    new.chmod(mode)
    return new.rename(path)


class Mounted:
    """A Secret as the kubelet mounts it: files that are links into ``..data``, itself a link that leads to a folder.

    Args:
        folder: Where; its parent exists.
    """

    def __init__(self, folder: Path, leaf: Leaf, *authorities: Authority) -> None:
        self.folder = folder
        folder.mkdir()
        self.replace(leaf, *authorities)
        for name in FILES:
            (folder / name).symlink_to(Path("..data") / name)

    def replace(self, leaf: Leaf, *authorities: Authority) -> None:
        """Have ``..data`` lead to another folder, by one rename."""
        generation = f"..2026_{next(_generations)}"
        write_folder(self.folder / generation, leaf, *authorities)
        link = self.folder / "..data_tmp"
        link.symlink_to(generation)
        link.rename(self.folder / "..data")


def _builder(
    subject: str, key: ec.EllipticCurvePrivateKey, issuer: Authority, issuer_title: str, valid: tuple[timedelta, timedelta]
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_titled(subject))
        .issuer_name(_titled(issuer_title))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + valid[0])
        .not_valid_after(now + valid[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer._key.public_key()), critical=False)
    )


def _titled(title: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)] if title else [])


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs_certificates: bool = False) -> x509.KeyUsage:
    others = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"),
        False,
    )
    return x509.KeyUsage(
        digital_signature=not signs_certificates, key_cert_sign=signs_certificates, crl_sign=signs_certificates, **others
    )
