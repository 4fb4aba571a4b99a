"""One end of TLS against another, in memory: what each learns, and when."""

import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from made_up_secrets import keyring, keys
from tls_ends import End, talk

from cluster_kit.errors import RemoteProtocolError, UntrustedError
from cluster_kit.security.authority import Proof, SecretTrust
from cluster_kit.security.certificates import Authority
from cluster_kit.wire.frames import MAGIC, PROTOCOL, Hello, Refusal, encode
from cluster_kit.wire.tls import MAX_HANDSHAKE_BYTES, new_context

HELLO = encode(Hello(magic=MAGIC, version=1, identity=None))


def ends(ann, bob):
    return End(SecretTrust("ann@10.0.0.1", ann), dialled=True), End(
        SecretTrust("bob@10.0.0.2", bob), dialled=False
    )


def linked(*, step=65536, say=b"hello"):
    ann, bob = ends(keyring(1), keyring(1))
    ann.tls.send(say)
    talk(ann, bob, step=step)
    return ann, bob


@pytest.mark.parametrize("step", [1, 7, 65536])
def test_ends_with_the_same_secret_authenticate_in_chunks_of_any_size(step):
    ann, bob = linked(step=step)
    assert ann.tls.proof == Proof("bob@10.0.0.2", keys(1).id)
    assert bob.tls.proof == Proof("ann@10.0.0.1", keys(1).id)
    assert bob.heard == b"hello"


def test_data_waits_until_the_other_end_is_authenticated():
    ann, bob = ends(keyring(1), keyring(1))
    assert ann.tls.send(b"hel") == bob.tls.send(b"") == ann.tls.send(b"lo") == b""
    assert ann.tls.waiting_bytes == 5
    talk(ann, bob)
    assert ann.tls.waiting_bytes == 0
    assert bob.heard == b"hello"


def test_dialler_knows_it_is_trusted_once_the_acceptor_sends_data():
    ann, bob = linked()
    assert (ann.tls.is_mutual, bob.tls.is_mutual) == (False, True)
    ann.take(bob.tls.send(b"answer"))
    assert ann.tls.is_mutual
    assert ann.heard == b"answer"


@pytest.mark.parametrize("size", [0, 1, 16384, 16385, 1_000_000])
def test_data_of_any_size_passes(size):
    data = bytes(range(251)) * (size // 251 + 1)
    ann, bob = linked(say=b"")
    bob.take(ann.tls.send(data[:size]), step=65536)
    assert bob.heard == data[:size]
    ann.take(bob.tls.send(data[:size]), step=1000)
    assert ann.heard == data[:size]


def test_close_is_reported_after_the_last_data():
    ann, bob = linked()
    rest = bob.tls.send(b"last") + bob.tls.close()
    ann.take(rest)
    assert ann.heard == b"last"
    assert ann.tls.has_ended
    assert not bob.tls.has_ended


def test_close_is_reported_to_a_closed_end_too():
    ann, bob = linked()
    bob.tls.close()
    bob.take(ann.tls.close())
    assert bob.tls.has_ended
    assert not bob.error


@pytest.mark.parametrize("more", [b"x", bytes(100_000)], ids=len)
def test_data_after_the_close_is_ignored(more):
    ann, bob = linked()
    ann.take(bob.tls.send(b"last") + bob.tls.close() + more, step=1_000_000)
    assert ann.heard == b"last"
    assert ann.tls.has_ended
    assert not ann.error


def test_acceptor_knows_it_is_trusted_before_any_data_is_sent():
    ann, bob = linked(say=b"")
    assert (ann.tls.is_mutual, bob.tls.is_mutual) == (False, True)


def test_close_during_the_handshake_discards_waiting_data():
    ann, _ = ends(keyring(1), keyring(1))
    ann.tls.start()
    ann.tls.send(b"secret")
    assert ann.tls.close() == b""
    assert ann.tls.waiting_bytes == 0


def test_ends_with_different_secrets_both_learn_the_reason():
    ann, bob = ends(keyring(1), keyring(2))
    ann.tls.send(b"hello")
    talk(ann, bob)
    assert str(ann.error) == "it does not hold our secret"
    assert str(bob.error) == "it does not accept our secret"
    assert bob.heard == b""


def test_untrusted_dialler_learns_of_its_refusal_at_its_first_read():
    ann, bob = ends(keyring(2, 1), keyring(1))  # ann believes bob
    ann.tls.send(b"hello")
    offer = bob.take(ann.tls.start())
    proof = ann.take(offer)
    assert ann.tls.proof.name == "bob@10.0.0.2"
    assert not ann.tls.is_mutual
    refusal = bob.take(proof)
    assert str(bob.error) == "it does not hold our secret"
    assert bob.heard == b""
    ann.take(refusal)
    assert isinstance(ann.error, UntrustedError)
    assert str(ann.error) == "it does not accept our secret"


# steps of a rotation: the secret in use, and another that is accepted
STEPS = [(1,), (1, 2), (2, 1), (2,)]


@pytest.mark.parametrize(
    ("ann", "bob"),
    [
        (one, other)
        for one in STEPS
        for other in STEPS
        if abs(STEPS.index(one) - STEPS.index(other)) <= 1
    ],
    ids=str,
)
def test_ends_authenticate_within_and_across_adjacent_rotation_steps(ann, bob):
    dialler, acceptor = ends(keyring(*ann), keyring(*bob))
    dialler.tls.send(b"hello")
    talk(dialler, acceptor)
    assert acceptor.heard == b"hello"
    assert acceptor.tls.proof.secret == keys(ann[0]).id
    assert dialler.tls.proof.secret == keys(bob[0]).id


@pytest.mark.parametrize("dialled", [True, False])
@pytest.mark.parametrize(
    ("said", "why", "answer"),
    [
        (HELLO, "it has no secret, and this node has one", "15030300020274"),
        (
            encode(Refusal(reason="auth")),
            "it has no secret, and this node has one",
            "15030300020274",
        ),
        (b"GET / HTTP/1.1\r\n\r\n", "it does not speak TLS, as members do", ""),
        (bytes(64), "it does not speak TLS, as members do", ""),
        (b"\xff" * 64, "it does not speak TLS, as members do", ""),
    ],
    ids=["hello", "refusal", "http", "zeros", "ones"],
)
@pytest.mark.parametrize("step", [1, 3, 65536])
def test_non_tls_data_is_distinguished_from_peers_without_a_secret(
    dialled, said, why, answer, step
):
    end = End(SecretTrust("ann@10.0.0.1", keyring(1)), dialled=dialled)
    end.tls.start()
    assert end.take(said, step).hex() == answer
    assert str(end.error) == why
    assert isinstance(end.error, UntrustedError) == bool(answer)


def test_endless_handshake_is_refused():
    end = End(SecretTrust("bob@10.0.0.2", keyring(1)), dialled=False)
    record = bytes.fromhex("16 0301 4000")
    endless = record + bytes.fromhex("01 01ffff") + bytes(16380) + 4 * (record + bytes(16384))
    end.take(endless[:MAX_HANDSHAKE_BYTES], step=1000)
    assert not end.error
    end.take(endless[MAX_HANDSHAKE_BYTES:][:1])
    assert str(end.error) == "tls: handshake of more than 65536 bytes"


def test_older_tls_is_refused():
    trust = SecretTrust("bob@10.0.0.2", keyring(1))
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = old.wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    end = End(trust, dialled=False)
    end.take(outgoing.read())
    assert "unsupported protocol" in str(end.error)


def test_tampered_data_is_detected_after_the_handshake():
    ann, bob = linked()
    sealed = bytearray(ann.tls.send(b"again"))
    sealed[-1] ^= 1
    bob.take(bytes(sealed))
    assert type(bob.error) is RemoteProtocolError
    assert bob.heard == b"hello"


def test_replayed_data_is_refused():
    ann, bob = linked()
    sealed = ann.tls.send(b"again")
    bob.take(sealed)
    bob.take(sealed)
    assert bob.heard == b"helloagain"
    assert type(bob.error) is RemoteProtocolError


def test_no_session_ticket_is_issued():
    ann, bob = linked()
    ann.take(bob.tls.send(b"x"))
    assert ann.tls._tls.session is None or not ann.tls._tls.session.has_ticket


def test_dialler_advertises_its_protocol():
    ann, _ = ends(keyring(1), keyring(1))
    assert PROTOCOL in ann.tls.start()


# -- certificates made elsewhere -------------------------------------------------------------------


class Forged:
    """A certificate chain made by other means."""

    def __init__(self, leaf, key, trusted, links=1):
        self.trusted = trusted
        self._chain = leaf.public_bytes(serialization.Encoding.PEM) * links + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def dialler(self, path):
        path.write_bytes(self._chain)
        context = new_context(dialled=True)
        context.verify_flags |= 0x200000
        context.load_cert_chain(path)
        context.load_verify_locations(cadata=self.trusted)
        trust = SecretTrust("any@x", keyring(1))
        trust.dialling = context
        return End(trust, dialled=True)


def forged(
    tmp_path,
    *,
    secret=1,
    names=("cluster-kit://ann@10.0.0.1",),
    since=datetime.timedelta(days=-1),
    until=datetime.timedelta(days=1),
    purpose=ExtendedKeyUsageOID.CLIENT_AUTH,
    own=False,
    links=1,
):
    """Return a dialler with a certificate that ``cryptography`` made."""
    key, signer = (
        Ed25519PrivateKey.generate(),
        Ed25519PrivateKey.from_private_bytes(keys(secret).authority),
    )
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cluster_kit " + keys(1).id.hex())])
    trusted = _authority()
    key_id = (
        x509.load_der_x509_certificate(trusted)
        .extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        .value
    )
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(issuer if own else x509.Name([]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + since)
        .not_valid_after(now + until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), critical=False
        )
    )
    if names:
        sans = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(name) for name in names])
        builder = builder.add_extension(sans, critical=True)
    leaf = builder.sign(key if own else signer, None)
    return Forged(leaf, key, trusted, links).dialler(tmp_path / "chain.pem")


def admitted(dialler):
    bob = End(SecretTrust("bob@10.0.0.2", keyring(1)), dialled=False)
    dialler.tls.send(b"hello")
    talk(dialler, bob)
    assert dialler.tls.proof is not None  # bob's certificate is valid
    assert (bob.tls.proof is None) == (bob.heard == b"")
    return bob


@pytest.mark.parametrize("years", [-10, 0, 10])
def test_clocks_may_be_years_apart(tmp_path, years):
    away = datetime.timedelta(days=365 * years)
    day = datetime.timedelta(days=1)
    bob = admitted(forged(tmp_path, since=away - day, until=away + day))
    assert bob.tls.proof.name == "ann@10.0.0.1"


@pytest.mark.parametrize(
    "faults",
    [
        {"secret": 2},
        {"own": True},
        {"names": ()},
        {"names": ("cluster-kit://ann@10.0.0.1", "cluster-kit://bob@10.0.0.2")},
        {"names": ("https://ann@10.0.0.1",)},
        {"purpose": ExtendedKeyUsageOID.CODE_SIGNING},
        {"purpose": ExtendedKeyUsageOID.SERVER_AUTH},
    ],
    ids=str,
)
def test_invalid_node_certificate_is_refused(tmp_path, faults):
    bob = admitted(forged(tmp_path, **faults))
    assert isinstance(bob.error, UntrustedError)
    assert bob.tls.proof is None


def test_dialler_without_a_certificate_is_refused():
    trust = SecretTrust("any@x", keyring(1))
    trust.dialling = new_context(dialled=True)
    trust.dialling.load_verify_locations(cadata=_authority())
    bob = admitted(End(trust, dialled=True))
    assert str(bob.error) == "it shows no certificate"


def _authority():
    return Authority(keys(1).authority, "cluster_kit " + keys(1).id.hex()).certificate


def test_overlong_certificate_chain_is_refused(tmp_path):
    bob = admitted(forged(tmp_path, links=200))
    assert str(bob.error) == "tls: handshake of more than 65536 bytes"
