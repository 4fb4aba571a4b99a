"""The certificates of links, read and checked by an implementation that didn't write them."""

import datetime
import hashlib
import os
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from made_up_secrets import keyring

from cluster_kit.errors import UntrustedError
from cluster_kit.security.authority import Proof, SecretTrust, name_in, uri_of
from cluster_kit.security.certificates import Authority, pem_of_certificate, pem_of_key

SEED, LEAF_SEED = bytes(range(32)), bytes(range(32, 64))
LONGEST = "x" * 240 + "@" + "10.0.0.1"


@pytest.fixture
def ours():
    return Authority(SEED, "cluster_kit 0011223344556677")


@pytest.fixture
def ca(ours):
    return x509.load_der_x509_certificate(ours.certificate)


@pytest.fixture
def leaf(ours):
    return x509.load_der_x509_certificate(ours.certify(LEAF_SEED, uri_of("web@10.0.0.1")))


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind)


def test_authority_is_the_same_everywhere(ours):
    digest = hashlib.sha256(ours.certificate).hexdigest()
    assert digest == "b50ef6fcc155cfc882700a97343bcbe350a9148df1a94683cf028d812ecced38"


def test_authority_may_sign_leaves_and_nothing_else(ca):
    ca.verify_directly_issued_by(ca)
    constraints = extension(ca, x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    usage = extension(ca, x509.KeyUsage)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.digital_signature, usage.value.crl_sign) == (
        True,
        False,
        False,
    )
    assert (
        extension(ca, x509.SubjectKeyIdentifier).value.digest
        == hashlib.sha256(_raw(ca)).digest()[:20]
    )


def test_leaf_names_the_node_and_its_authority(ca, leaf):
    leaf.verify_directly_issued_by(ca)
    assert leaf.subject == x509.Name([])
    names = extension(leaf, x509.SubjectAlternativeName)
    assert names.critical  # RFC 5280, section 4.1.2.6: as the subject is empty
    assert names.value.get_values_for_type(x509.UniformResourceIdentifier) == [
        "cluster-kit://web@10.0.0.1"
    ]
    purposes = set(extension(leaf, x509.ExtendedKeyUsage).value)
    assert purposes == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    usage = extension(leaf, x509.KeyUsage)
    assert usage.critical
    assert (usage.value.digital_signature, usage.value.key_cert_sign) == (True, False)
    issuer = extension(leaf, x509.AuthorityKeyIdentifier).value.key_identifier
    assert issuer == extension(ca, x509.SubjectKeyIdentifier).value.digest


def test_certificates_hold_at_any_time(ca, leaf):
    for certificate in (ca, leaf):
        assert certificate.not_valid_before_utc == datetime.datetime(
            2000, 1, 1, tzinfo=datetime.UTC
        )
        assert certificate.not_valid_after_utc == datetime.datetime(
            9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC
        )


def test_pem_is_what_others_read(ca, ours):
    assert x509.load_pem_x509_certificate(pem_of_certificate(ours.certificate)) == ca
    key = serialization.load_pem_private_key(pem_of_key(SEED), None)
    assert key.private_bytes_raw() == SEED


@pytest.mark.parametrize("name", ["a@b", "web@10.0.0.1", LONGEST])
def test_certificates_of_one_node_have_one_size_and_no_serial_number_twice(ours, name):
    leaves = [ours.certify(os.urandom(32), uri_of(name)) for _ in range(300)]
    assert len({len(leaf) for leaf in leaves}) == 1
    assert len({x509.load_der_x509_certificate(leaf).serial_number for leaf in leaves}) == len(
        leaves
    )


@pytest.mark.parametrize(
    "name", ["web@10.0.0.1", "web@fe80::1%eth0", "a/b?c#d%41@host", "q'\"&@x", LONGEST]
)
def test_uri_stands_for_one_name(name):
    assert name_in(uri_of(name)) == name
    assert uri_of(name).startswith("cluster-kit://")
    assert not set(uri_of(name).removeprefix("cluster-kit://")) & set("/?#[]: ")


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "cluster-kit://",
        "cluster-kit://web",
        "https://web@10.0.0.1",
        "cluster-kit://%ff@x",
        "cluster-kit://a%00@x",
    ],
)
def test_other_uris_stand_for_no_node(uri):
    with pytest.raises(ValueError, match=r".+"):
        name_in(uri)


@pytest.mark.parametrize(
    "certificate",
    [
        {},
        {"subjectAltName": (("URI", "cluster-kit://a@x"), ("URI", "cluster-kit://b@x"))},
        {"subjectAltName": (("DNS", "a@x"),)},
        {"subjectAltName": (("URI", "spiffe://a@x"),)},
        {
            "subjectAltName": (("URI", "cluster-kit://a@x"),),
            "issuer": ((("commonName", "somebody"),),),
        },
    ],
)
def test_certificate_that_names_no_node_proves_nothing(certificate):
    certificate = {"issuer": ((("commonName", "cluster_kit 00"),),), **certificate}
    with pytest.raises(UntrustedError):
        SecretTrust("web@10.0.0.1", keyring(1)).read(certificate)


def test_certificate_proves_name_and_secret():
    certificate = {
        "subjectAltName": (("URI", "cluster-kit://web@10.0.0.1"),),
        "issuer": ((("commonName", "cluster_kit 0102030405060708"),),),
    }
    proof = SecretTrust("web@10.0.0.1", keyring(1)).read(certificate)
    assert proof == Proof("web@10.0.0.1", bytes(range(1, 9)))


def test_contexts_verify_strictly_whatever_python_s_default_is():
    trust = SecretTrust("web@10.0.0.1", keyring(1, 2))
    for context in (trust.accepting, trust.dialling):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.verify_flags & ssl.VERIFY_X509_STRICT
        assert context.minimum_version is context.maximum_version is ssl.TLSVersion.TLSv1_3
        assert {each["issuer"][0][0][1] for each in context.get_ca_certs()} == {
            f"cluster_kit {n:02x}" + f"{n:02x}" * 7 for n in (1, 2)
        }
    assert trust.accepting.num_tickets == 0


def test_key_is_in_no_file_that_others_can_read_or_that_stays(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen = []
    load = ssl.SSLContext.load_cert_chain

    def watch(self, path):
        seen.append((Path(path), stat.S_IMODE(Path(path).stat().st_mode)))
        load(self, path)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", watch)
    SecretTrust("web@10.0.0.1", keyring(1))
    assert {mode for _, mode in seen} == {0o600}
    assert {path.parent for path, _ in seen} == {tmp_path}
    assert list(tmp_path.iterdir()) == []


def test_key_is_in_memory_where_the_system_has_files_there(monkeypatch):
    monkeypatch.setattr("tempfile.NamedTemporaryFile", None)
    SecretTrust("web@10.0.0.1", keyring(1))


def _raw(certificate):
    return certificate.public_key().public_bytes_raw()
