"""Ends that hold certificates from files: which peers they trust, and what each learns if
one distrusts the other.
"""

import ssl
from itertools import pairwise
from traceback import TracebackException

import pytest
from made_up_certificates import CLIENT, DAY, SERVER, Authority, pem, pem_of_key
from made_up_secrets import keyring
from tls_ends import End, talk

from cluster_kit.errors import UntrustedError
from cluster_kit.security.authority import SecretTrust
from cluster_kit.security.files import MAX_CHAIN_BYTES, FileTrust
from cluster_kit.security.keys import Certificates
from cluster_kit.wire.frames import MAGIC, Hello, encode

ROOT, OTHER = Authority("root"), Authority("other")
MIDDLE = Authority("middle", issuer=ROOT)
ANN, BOB = "10.0.0.1", "bob.example"
NO_AUTHORITY = "no authority in our ca file issued its certificate"


def ends(anns, bobs):
    """Let a dialler and an acceptor say hello to each other."""
    ann, bob = End(FileTrust(anns), dialled=True), End(FileTrust(bobs), dialled=False)
    ann.tls.send(b"hello")
    bob.tls.send(b"hello")
    talk(ann, bob)
    return ann, bob


def assert_linked(ann, bob):
    assert (ann.error, bob.error) == (None, None)
    assert ann.heard == bob.heard == b"hello"
    assert ann.tls.is_mutual
    assert bob.tls.is_mutual


@pytest.mark.parametrize("kind", ["rsa", "p256", "ed25519"])
@pytest.mark.parametrize("bare", [False, True], ids=["full", "bare"])
def test_ends_with_certificates_of_one_authority_prove_themselves(kind, bare):
    root = Authority("root", kind=kind, bare=bare)
    ann, bob = ends(root.certificates(ANN, kind=kind), root.certificates(BOB, "*.shop", kind=kind))
    assert_linked(ann, bob)
    assert bob.tls.proof.objection_to(f"ann@{ANN}") is None
    assert ann.tls.proof.objection_to(f"any@{BOB}") is None
    assert ann.tls.proof.objection_to("web@a.shop") is None
    assert ann.tls.proof.objection_to(f"ann@{ANN}") == (
        "its certificate is for 'bob.example', '*.shop' only; if that is its host, have it issued "
        f"for '{ANN}' as well"
    )


@pytest.mark.parametrize(
    "authorities", [(ROOT,), (MIDDLE,), (ROOT, MIDDLE), (OTHER, MIDDLE, MIDDLE)]
)
def test_chain_may_end_at_an_authority_in_the_middle(authorities):
    ann, bob = (MIDDLE.certificates(host, authorities=authorities) for host in (ANN, BOB))
    assert_linked(*ends(ann, bob))


def test_purposes_may_be_left_out():
    assert_linked(
        *ends(ROOT.certificates(ANN, purposes=None), ROOT.certificates(BOB, purposes=None))
    )


def test_authorities_may_have_remarks_of_any_kind():
    given = ROOT.certificates(ANN)
    odd = (
        "# Autorit\u00e4t\n".encode()
        + given.authorities.replace(b"\n", b"\r\n")
        + b"\n\n"
        + OTHER.pem
    )
    assert_linked(
        *ends(
            Certificates(b"# mine\n" + given.chain.rstrip(), given.key, odd), ROOT.certificates(BOB)
        )
    )


@pytest.mark.parametrize("title", ["root", "another"])
def test_rotation_to_another_authority_goes_by_a_bundle(title):
    new_root = Authority(title)
    both = (ROOT, new_root)
    steps = [
        ROOT.certificates(BOB),
        ROOT.certificates(BOB, authorities=both),
        new_root.certificates(BOB, authorities=both),
        new_root.certificates(BOB),
    ]
    for old, new in pairwise(steps):
        assert_linked(*ends(old, new))
        assert_linked(*ends(new, old))


EXPIRED = "its certificate, or that of its authority, has expired"
NOT_YET = "its certificate, or that of its authority, is not valid yet"
PURPOSE = "its certificate is not meant for TLS between nodes"
FAULTS = {
    "expired": (lambda host, **_: ROOT.certificates(host, since=-2 * DAY, until=-DAY), EXPIRED),
    "not yet valid": (lambda host, **_: ROOT.certificates(host, since=DAY, until=2 * DAY), NOT_YET),
    "wrong authority": (
        lambda host, **_: OTHER.certificates(host, authorities=(ROOT,)),
        NO_AUTHORITY,
    ),
    "self-signed": (
        lambda host, **_: OTHER.certificates(host, own=True, authorities=(ROOT,)),
        NO_AUTHORITY,
    ),
    "forged": (
        lambda host, **_: Authority("root", bare=True).certificates(host, authorities=(ROOT,)),
        NO_AUTHORITY,
    ),
    "purpose": (lambda host, purposes: ROOT.certificates(host, purposes=purposes), PURPOSE),
}
ALERTS = {
    "expired": "our certificate has expired by its clock (alert certificate expired)",
    "not yet valid": "it does not accept our certificate (alert bad certificate)",
    "wrong authority": "no authority in its ca file issued our certificate (alert unknown ca)",
    "self-signed": "no authority in its ca file issued our certificate (alert unknown ca)",
    "forged": "it does not accept our certificate (alert decrypt error)",
    "purpose": (
        "our certificate is not meant for TLS between nodes (alert unsupported certificate)"
    ),
}


def assert_untrusted(end, why):
    assert isinstance(end.error, UntrustedError)
    assert str(end.error) == why
    assert end.error.cure != UntrustedError("").cure
    assert end.heard == b""


@pytest.mark.parametrize("fault", FAULTS)
def test_both_ends_say_why_a_dialler_is_not_believed(fault):
    make, why = FAULTS[fault]
    ann, bob = ends(make(ANN, purposes=SERVER), ROOT.certificates(BOB))
    assert_untrusted(bob, why)
    assert bob.tls.proof is None
    assert_untrusted(ann, ALERTS[fault])


@pytest.mark.parametrize("fault", FAULTS)
def test_both_ends_say_why_an_acceptor_is_not_believed(fault):
    make, why = FAULTS[fault]
    ann, bob = ends(ROOT.certificates(ANN), make(BOB, purposes=CLIENT))
    assert_untrusted(ann, why)
    assert ann.tls.proof is None
    assert_untrusted(bob, ALERTS[fault])


def test_certificate_of_a_host_is_no_authority():
    leaf, key = ROOT.leaf("mallory.example")
    mallory = Authority("mallory")
    mallory.name, mallory.key, mallory.bare = leaf.subject, key, True
    forged, forged_key = mallory.leaf(BOB)
    chain = pem(forged) + pem(leaf)
    ann, _ = ends(ROOT.certificates(ANN), Certificates(chain, pem_of_key(forged_key), ROOT.pem))
    assert isinstance(ann.error, UntrustedError)
    assert ann.heard == b""


@pytest.mark.parametrize("raw", ["3005 8203 80ff61", "3005 8603 80ff61"], ids=["DNS", "URI"])
def test_certificate_that_is_no_text_is_refused(raw):
    ann, bob = ends(ROOT.certificates(raw=bytes.fromhex(raw)), ROOT.certificates(BOB))
    assert isinstance(bob.error, UntrustedError)
    assert "its certificate can't be read" in str(bob.error)
    assert ann.heard == bob.heard == b""


@pytest.mark.parametrize(
    "raw",
    [
        "3006 8704 0a000001",
        "3007 8705 0a00000100",
        "3005 8803 2a0304",
        "300b 8209 612e6578616d706c65",
    ],
)
def test_odd_names_are_looked_over(raw):
    ann, bob = ends(ROOT.certificates(raw=bytes.fromhex(raw)), ROOT.certificates(BOB))
    assert_linked(ann, bob)
    assert (bob.tls.proof.objection_to(f"ann@{ANN}") is None) == raw.endswith("8704 0a000001")


# -- trust domains ---------------------------------------------------------------------------------


def member(domain, *names, trust_domain="example.org"):
    return ROOT.certificates(f"spiffe://{domain}/web", *names, trust_domain=trust_domain)


def test_members_of_a_trust_domain_may_be_any_node():
    ann, bob = ends(member("example.org"), member("example.org", "else.example"))
    assert_linked(ann, bob)
    assert ann.tls.proof.objection_to("any@10.9.9.9") is None


@pytest.mark.parametrize(
    ("others", "whom"),
    [
        (member("example.com"), "'spiffe://example.com/web'"),
        (ROOT.certificates(BOB), "nobody"),
        (
            member("example.org", "https://example.org/"),
            "'spiffe://example.org/web', 'https://example.org/'",
        ),
    ],
    ids=["other", "none", "two"],
)
def test_certificate_outside_the_trust_domain_is_refused(others, whom):
    ann, bob = ends(member("example.org"), others)
    assert_untrusted(
        ann, f"its certificate names {whom}, not a member of the trust domain 'example.org'"
    )
    ann, bob = ends(others, member("example.org"))
    assert_untrusted(
        bob, f"its certificate names {whom}, not a member of the trust domain 'example.org'"
    )


# -- those who hold something else, or nothing -----------------------------------------------------


@pytest.mark.parametrize("dialled", [True, False])
def test_peer_without_tls_learns_that_it_needs_a_certificate(dialled):
    end = End(FileTrust(ROOT.certificates(ANN)), dialled=dialled)
    end.tls.start()
    assert end.take(encode(Hello(magic=MAGIC, version=1, identity=None))).hex() == "15030300020274"
    assert_untrusted(end, "it has no certificate, and this node has one")


@pytest.mark.parametrize("dialled", [True, False])
def test_peer_with_only_a_secret_is_not_trusted(dialled):
    files, secret = FileTrust(ROOT.certificates(ANN)), SecretTrust(f"bob@{BOB}", keyring(1))
    ann, bob = End(files, dialled=dialled), End(secret, dialled=not dialled)
    talk(*((ann, bob) if dialled else (bob, ann)))
    if dialled:
        assert_untrusted(ann, NO_AUTHORITY)
        assert str(bob.error) == "it does not accept our secret"
    else:
        assert str(bob.error) == "it does not hold our secret"
        assert_untrusted(ann, ALERTS["wrong authority"])


def test_peer_without_a_certificate_is_refused():
    trust = FileTrust(ROOT.certificates(ANN))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    trust.dialling = context
    ann, bob = End(trust, dialled=True), End(FileTrust(ROOT.certificates(BOB)), dialled=False)
    talk(ann, bob)
    assert_untrusted(bob, "it shows no certificate")


# -- what can't be used ----------------------------------------------------------------------------


def test_encrypted_key_is_refused_without_a_password_prompt():
    leaf, key = ROOT.leaf(ANN)
    with pytest.raises(ValueError, match="the private key is encrypted"):
        FileTrust(Certificates(pem(leaf), pem_of_key(key, b"password"), ROOT.pem))


def test_key_of_another_certificate_is_refused():
    one, other = ROOT.certificates(ANN), ROOT.certificates(ANN)
    with pytest.raises(ValueError, match="key values mismatch"):
        FileTrust(Certificates(one.chain, other.key, one.authorities))


def test_key_is_in_no_traceback():
    one, other = ROOT.certificates(ANN), ROOT.certificates(ANN)
    given = Certificates(one.chain, other.key, one.authorities)
    with pytest.raises(ValueError, match="key values mismatch") as raised:
        FileTrust(given)
    shown = "".join(TracebackException.from_exception(raised.value, capture_locals=True).format())
    assert "stack = " in shown
    for line in other.key.decode().splitlines()[1:-1]:
        assert line not in shown


def test_key_in_the_file_of_the_certificate_is_looked_over():
    one, other = ROOT.certificates(ANN), ROOT.certificates(ANN)
    given = Certificates(other.key + one.chain, one.key, one.authorities)
    assert_linked(*ends(given, ROOT.certificates(BOB)))


@pytest.mark.parametrize("part", ["chain", "key", "authorities"])
@pytest.mark.parametrize(
    "data", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\0" * 100]
)
def test_invalid_pem_is_refused(part, data):
    given = ROOT.certificates(ANN)
    parts = {"chain": given.chain, "key": given.key, "authorities": given.authorities} | {
        part: data
    }
    with pytest.raises(ValueError, match="can't be used"):
        FileTrust(Certificates(**parts))


def test_chain_too_long_for_peers_is_refused():
    given = ROOT.certificates(ANN)
    leaf, middle = (
        len(ssl.PEM_cert_to_DER_cert(each.decode())) for each in (given.chain, MIDDLE.pem)
    )
    # at the end of its text there may be two bytes less than it seems
    most = (MAX_CHAIN_BYTES - leaf) // (middle + 2)
    assert_linked(
        *ends(
            Certificates(given.chain + MIDDLE.pem * most, given.key, given.authorities),
            ROOT.certificates(BOB),
        )
    )
    with pytest.raises(ValueError, match="a chain of"):
        FileTrust(Certificates(given.chain + MIDDLE.pem * (most + 3), given.key, given.authorities))


# -- what TLS must not do --------------------------------------------------------------------------


def test_no_session_is_resumed():
    ann, _ = ends(ROOT.certificates(ANN), ROOT.certificates(BOB))
    assert ann.tls._tls.session is None or not ann.tls._tls.session.has_ticket
    trust = FileTrust(ROOT.certificates(ANN))
    assert trust.accepting.num_tickets == 0


@pytest.mark.parametrize("which", ["accepting", "dialling"])
def test_contexts_are_as_meant_on_each_release_of_python(which):
    context = getattr(FileTrust(ROOT.certificates(ANN)), which)
    assert context.minimum_version == context.maximum_version == ssl.TLSVersion.TLSv1_3
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN
    assert not context.verify_flags & 0x200000  # of no time is looked away from
