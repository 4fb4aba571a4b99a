"""Certificates of authorities made here with ``cryptography``, with anything that can be wrong."""

import datetime
import ipaddress
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from cluster_kit.security.keys import Certificates

DAY = datetime.timedelta(days=1)
BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
SERVER, CLIENT = BOTH[:1], BOTH[1:]


@cache
def _rsa(number):
    return rsa.generate_private_key(65537, 2048)


MAKES = {
    "rsa": lambda: _rsa(0),  # takes long to make
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def pem_of_key(key, password=None):
    how = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


class Authority:
    """Issues certificates.

    Args:
        title: What it is called.
        issuer: Who vouches for it; nobody but itself by default.
        kind: Of its key.
        bare: Whether to leave out the extensions that only strict validation asks for.
    """

    def __init__(self, title, *, issuer=None, kind="p256", bare=False):
        self.issuer, self.key, self.bare = issuer, MAKES[kind](), bare
        self.name = _titled(title)
        builder = self._builder(self.name, self.key, issuer or self, -DAY, 365 * DAY)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=not bare
        )
        self.certificate = (issuer or self).sign(builder)

    def _builder(self, subject, key, issuer, since, until):
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + since)
            .not_valid_after(now + until)
        )
        if self.bare:
            return builder
        return builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        ).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
            critical=False,
        )

    def sign(self, builder):
        return builder.sign(
            self.key, None if isinstance(self.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        )

    @property
    def pem(self):
        return pem(self.certificate)

    def leaf(
        self,
        *names,
        since=-DAY,
        until=DAY,
        purposes=BOTH,
        kind="p256",
        title=None,
        own=False,
        raw=None,
    ):
        """Return a certificate and its key.

        Args:
            *names: Hosts, addresses or URIs.
            since: When it begins to be valid, from now.
            until: When it ends.
            purposes: What it is for; nothing is said of that where there are none.
            kind: Of its key.
            title: Its common name, if any.
            own: Whether it is signed by itself.
            raw: Its names as DER, instead.
        """
        key = MAKES[kind]()
        subject = self.name if own else _titled(title)
        builder = self._builder(subject, key, self, since, until)
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_name(each) for each in names]), critical=True
            )
        if raw is not None:
            builder = builder.add_extension(
                x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, raw),
                critical=True,
            )
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        if own:
            return builder.sign(key, hashes.SHA256()), key
        return self.sign(builder), key

    def certificates(self, *names, authorities=None, trust_domain=None, **options):
        """Return the files of a node that trusts this authority, or ``authorities``."""
        leaf, key = self.leaf(*names, **options)
        chain = pem(leaf) + (self.pem if self.issuer else b"")
        believed = (self._root,) if authorities is None else authorities
        return Certificates(
            chain, pem_of_key(key), b"".join(each.pem for each in believed), trust_domain
        )

    @property
    def _root(self):
        return self.issuer._root if self.issuer else self


def _titled(title):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)] if title else [])


def _name(text):
    if "://" in text:
        return x509.UniformResourceIdentifier(text)
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
