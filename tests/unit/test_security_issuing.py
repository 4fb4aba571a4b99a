"""Certificates that an authority issues, read by another implementation where possible."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from cluster_kit.security.issuing import (
    Issuer,
    LeafNames,
    load_certificates,
    load_key,
    names_in,
    new_key,
    pem_of,
    self_signed,
)

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
HOST = LeafNames(("10.0.0.1",))
LONG = ".".join(["x" * 63] * 3 + ["y" * 61])


def issuer(key=None, now=NOW):
    key = key or new_key()
    return Issuer(key, [self_signed(key, now)])


def leaf(names, by=None):
    return load_certificates((by or issuer()).issue(names, 90, NOW).chain)[0]


@pytest.mark.parametrize(
    "names",
    [
        LeafNames(("10.0.0.1", "shop-1.example", "fd00::1")),
        LeafNames(("localhost",), "spiffe://example.org/localhost"),
        LeafNames((LONG,), f"spiffe://example.org/{LONG}"),
    ],
    ids=["several", "with an id", "long"],
)
def test_names_are_as_they_were_given(names):
    assert names_in(leaf(names)) == names


@pytest.mark.parametrize(
    ("host", "title"), [("10.0.0.1", ["10.0.0.1"]), ("x" * 63, ["x" * 63]), (LONG, [])]
)
def test_alternative_names_are_critical_where_there_is_no_other(host, title):
    certificate = leaf(LeafNames((host,)))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert [
        each.value for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    ] == title
    assert names.critical is (not title)


def test_times():
    own = issuer()
    issued = own.issue(HOST, 90, NOW)
    certificate = load_certificates(issued.chain)[0]
    assert issued.expires == certificate.not_valid_after_utc == NOW + timedelta(days=90)
    # of a clock that is a little slow
    assert certificate.not_valid_before_utc == NOW - timedelta(hours=1)
    assert (
        load_certificates(own.trusted)[0].not_valid_after_utc
        == own.expires
        == NOW + timedelta(days=3650)
    )


def test_no_certificate_is_valid_for_longer_than_its_authority():
    own = issuer(now=NOW - timedelta(days=3640))
    assert own.issue(HOST, 90, NOW).expires == own.expires == NOW + timedelta(days=10)


def test_each_has_a_key_and_a_serial_number_of_its_own():
    own = issuer()
    issued = [own.issue(HOST, 90, NOW) for _ in range(2)]
    assert len({each.key for each in issued}) == 2
    certificates = [load_certificates(each.chain)[0] for each in issued]
    assert len({each.serial_number for each in certificates}) == 2
    for certificate, each in zip(certificates, issued, strict=True):
        assert certificate.public_key() == load_key(each.key).public_key()


@pytest.mark.parametrize(
    "key",
    [new_key(), ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)],
    ids=["ecdsa", "ed25519", "rsa"],
)
def test_authority_may_have_a_key_of_another_kind(key):
    own = issuer(load_key(pem_of(key)))
    leaf(HOST, own).verify_directly_issued_by(load_certificates(own.trusted)[0])


def test_leaves_of_one_key_fit_whatever_certificate_of_it():
    """So an authority's certificate that has expired, or is gone, can be made again."""
    key = new_key()
    certificate = leaf(HOST, issuer(key, NOW - timedelta(days=3000)))
    certificate.verify_directly_issued_by(self_signed(key, NOW))


def test_of_two_certificates_of_its_key_the_later_one_counts():
    key, other = new_key(), new_key()
    trusted = [
        self_signed(key, NOW - timedelta(days=3000)),
        self_signed(key, NOW),
        self_signed(other, NOW),
    ]
    own = Issuer(key, trusted)
    assert own.expires == NOW + timedelta(days=3650)
    assert load_certificates(own.trusted) == trusted


def test_intermediate_issuer_is_included_in_the_chain():
    root, key = new_key(), new_key()
    between = signed(self_signed(key, NOW), root, issuer="root")
    chain = load_certificates(
        Issuer(key, [between, self_signed(root, NOW)]).issue(HOST, 90, NOW).chain
    )
    assert chain[1:] == [between]


def signed(certificate, key, issuer=None, without=()):
    """Return the certificate with another signature, issuer, and without some of its extensions."""
    name = (
        certificate.issuer
        if issuer is None
        else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)])
    )
    builder = x509.CertificateBuilder(
        name,
        certificate.subject,
        certificate.public_key(),
        certificate.serial_number,
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        [each for each in certificate.extensions if type(each.value) not in without],
    )
    return builder.sign(key, certificate.signature_hash_algorithm)


@pytest.mark.parametrize(
    "without", [x509.BasicConstraints, x509.KeyUsage, x509.SubjectKeyIdentifier]
)
def test_authority_that_strict_verification_refuses_is_refused(without):
    key = new_key()
    with pytest.raises(ValueError, match="is not an authority"):
        Issuer(key, [signed(self_signed(key, NOW), key, without=(without,))])


def test_leaf_is_no_authority():
    issued = issuer().issue(HOST, 90, NOW)
    with pytest.raises(ValueError, match="is not an authority"):
        Issuer(load_key(issued.key), load_certificates(issued.chain))


def test_certificate_has_to_be_of_the_key():
    with pytest.raises(ValueError, match="none of its certificates is for that key"):
        Issuer(new_key(), [self_signed(new_key(), NOW)])


def encoded(key, encryption):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        (b"", "not a private key in PEM"),
        (b"\x00\xff", "not a private key in PEM"),
        (pem_of(new_key())[:100], "not a private key in PEM"),
        (self_signed(new_key(), NOW).public_bytes(Encoding.PEM), "not a private key in PEM"),
        (encoded(new_key(), BestAvailableEncryption(b"x")), "it is encrypted"),
        (pem_of(x25519.X25519PrivateKey.generate()), "not a key for ECDSA"),
        (pem_of(dsa.generate_private_key(1024)), "not a key for ECDSA"),
    ],
    ids=["empty", "bytes", "cut", "certificate", "encrypted", "for key exchange", "dsa"],
)
def test_unusable_key_is_reported(pem, why):
    with pytest.raises(ValueError, match=why):
        load_key(pem)


@pytest.mark.parametrize(
    "pem", [b"", b"\x00\xff", self_signed(new_key(), NOW).public_bytes(Encoding.PEM)[:200]]
)
def test_invalid_certificate_is_reported(pem):
    with pytest.raises(ValueError, match="no certificate in PEM"):
        load_certificates(pem)


def test_certificate_that_names_no_host():
    assert names_in(self_signed(new_key(), NOW)) is None
