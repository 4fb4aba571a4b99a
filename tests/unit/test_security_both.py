"""Streams protected by certificates, and by a secret within them: what each end comes to know of
the other.
"""

import pytest
from made_up_certificates import DAY, Authority
from made_up_secrets import keyring, keys
from stream_pair import plain_pair, play, read

from cluster_kit.errors import UntrustedError
from cluster_kit.network import StreamReader
from cluster_kit.node import BootId, Node
from cluster_kit.security import Security
from cluster_kit.security.keys import Certificates, Keyring
from cluster_kit.security.links import LinkTrust, ProtectedStream

ROOT, OTHER = Authority("root"), Authority("other")
ANN, BOB = "ann@10.0.0.1", "bob@10.0.0.2"
ANNS, BOBS, MALLORYS = (ROOT.certificates(host) for host in ("10.0.0.1", "10.0.0.2", "10.0.0.3"))


def both(certificates, *secrets):
    """Return a keyring of certificates and, where there are any, of secrets."""
    ring = keyring(*secrets) if secrets else Keyring()
    return Keyring(ring.current, ring.previous, certificates)


def protected(ours, theirs, anns, bobs):
    return LinkTrust(ANN, anns).protect(ours, dialled=True), LinkTrust(BOB, bobs).protect(
        theirs, dialled=False
    )


async def greeted(ann, bob):
    """Have each end hear the other."""
    heard, other = read(ann), read(bob)
    ann.send(b"hello")
    bob.send(b"hello")
    await heard.got(5)
    await other.got(5)
    assert heard.data == other.data == b"hello"


def layers(stream):
    """Return the streams that one is made of, from the inside out."""
    found = [stream]
    while isinstance(found[-1], ProtectedStream):
        found.append(found[-1]._stream)
    return found


@pytest.mark.parametrize(
    ("anns", "bobs"),
    [(both(ANNS), both(BOBS)), (both(ANNS, 1), both(BOBS, 1)), (keyring(1), keyring(1))],
)
def test_each_end_knows_what_the_other_has_proved(anns, bobs):
    async def scenario():
        async with plain_pair() as ends:
            ann, bob = protected(*ends, anns, bobs)
            await greeted(ann, bob)
            assert ann.certified.objection_to(BOB) is bob.certified.objection_to(ANN) is None
            assert ann.certified.objection_to("bob@10.0.0.1")
            assert bob.certified.objection_to("ann@10.0.0.2")
            assert ann.certified_by == bob.certified_by == (keys(1).id if anns.current else None)
            assert ann.distrust is bob.distrust is None
            wrapped = (anns.certificates is not None) + (anns.current is not None)
            assert len(layers(ann)) == len(layers(bob)) == 1 + wrapped
            assert layers(ann)[-1] is ends[0]

    play(scenario)


def test_secret_and_certificate_must_both_name_the_node():
    async def scenario():
        async with plain_pair() as ends:
            ann, bob = protected(*ends, both(ANNS, 1), both(BOBS, 1))
            await greeted(ann, bob)
            assert "has proved to be 'bob@10.0.0.2'" in ann.certified.objection_to("eve@10.0.0.2")
            assert "its certificate is for '10.0.0.2' only" in ann.certified.objection_to(
                "bob@10.0.0.3"
            )

    play(scenario)


def test_end_and_much_data_go_through_both():
    async def scenario():
        async with plain_pair() as ends:
            ann, bob = protected(*ends, both(ANNS, 1), both(BOBS, 1))
            heard, other = read(ann), read(bob)
            data = bytes(range(251)) * 1000
            ann.send(data)
            bob.send(data)
            bob.close()
            await heard.ended()
            await other.ended()
            assert heard.data == data
            assert (ann.unsent_bytes, bob.unsent_bytes) == (0, 0)

    play(scenario)


@pytest.mark.parametrize("end", ["close", "abort"])
def test_end_before_the_proof_is_reported(end):
    async def scenario():
        async with plain_pair() as ends:
            ann, bob = protected(*ends, both(ANNS, 1), both(BOBS, 1))
            heard, other = read(ann), read(bob)
            getattr(ann, end)()
            getattr(bob, end)()
            await heard.ended()
            await other.ended()

    play(scenario)


LATE = ROOT.certificates("10.0.0.1", since=-2 * DAY, until=-DAY)
PARTED = {
    "other secret": (
        both(ANNS, 2),
        both(BOBS, 1),
        "it does not hold our secret",
        "it does not accept our secret",
    ),
    "no certificates": (
        keyring(1),
        both(BOBS, 1),
        "it does not hold our secret",
        "no authority in its ca file issued our certificate (alert unknown ca)",
    ),
    "no certificates here": (
        both(ANNS, 1),
        keyring(1),
        "no authority in our ca file issued its certificate",
        "it does not accept our secret",
    ),
    "expired": (
        both(LATE, 1),
        both(BOBS, 1),
        "our certificate has expired by its clock (alert certificate expired)",
        "its certificate, or that of its authority, has expired",
    ),
    "wrong authority": (
        both(OTHER.certificates("10.0.0.1", authorities=(ROOT,)), 1),
        both(BOBS, 1),
        "no authority in its ca file issued our certificate (alert unknown ca)",
        "no authority in our ca file issued its certificate",
    ),
}


@pytest.mark.parametrize("how", PARTED)
def test_why_either_layer_fails_comes_up(how):
    anns, bobs, why, whys = PARTED[how]

    async def scenario():
        async with plain_pair() as ends:
            ann, bob = protected(*ends, anns, bobs)
            heard, other = read(ann), read(bob)
            ann.send(b"let me in")
            bob.send(b"for members")
            await heard.ended()
            await other.ended()
            assert (str(ann.distrust), str(bob.distrust)) == (why, whys)
            assert isinstance(ann.distrust, UntrustedError)
            assert ("secret" in why) == ("secret" in ann.distrust.cure)
            assert ann.certified is bob.certified is None
            assert not heard.data
            assert not other.data

    play(scenario)


class Relay(StreamReader):
    """Hands on what it hears."""

    def __init__(self, to):
        self._to = to

    def received(self, data):
        self._to.send(bytes(data))

    def lost(self):
        self._to.close()


@pytest.mark.parametrize("secrets", [(), (1,)], ids=["certificates", "both"])
def test_relay_with_a_certificate_of_its_own_is_not_believed(secrets):
    """The secret holds from end to end, and shows that the names of both layers count."""

    async def scenario():
        async with plain_pair() as (anns_end, relays_end), plain_pair() as (relays_other, bobs_end):
            mallory = LinkTrust("mallory@10.0.0.3", both(MALLORYS))
            to_ann, to_bob = (
                mallory.protect(relays_end, dialled=False),
                mallory.protect(relays_other, dialled=True),
            )
            ann = LinkTrust(ANN, both(ANNS, *secrets)).protect(anns_end, dialled=True)
            bob = LinkTrust(BOB, both(BOBS, *secrets)).protect(bobs_end, dialled=False)
            to_ann.start(Relay(to_bob))
            to_bob.start(Relay(to_ann))
            await greeted(ann, bob)
            for end, name in ((ann, BOB), (bob, ANN)):
                assert end.certified.objection_to(name).startswith(
                    "its certificate is for '10.0.0.3' only"
                )

    play(scenario)


# -- Security --------------------------------------------------------------------------------------


def security(keyring):
    return Security(Node(name=ANN, boot_id=BootId(1, 1)), keyring)


def test_certificates_alone_protect_links_and_seal_nothing():
    only = security(both(ANNS))
    assert only.protects
    assert only.sealing is None
    assert only.secret_ids == ()
    other = only.of(Node(name="doctor@10.0.0.1", boot_id=BootId(2, 2)))
    assert other.protects
    assert other.sealing is None
    with_secret = security(both(ANNS, 1, 2))
    assert with_secret.sealing is not None
    assert with_secret.secret_ids == (keys(1).id, keys(2).id)
    with_secret.renew(both(ANNS))
    assert with_secret.sealing is None
    assert with_secret.secret_ids == ()


def test_keyring_of_nothing_is_refused():
    with pytest.raises(ValueError, match="protects nothing"):
        security(Keyring())


OTHERS = [OTHER.certificates(host) for host in ("10.0.0.1", "10.0.0.2")]
RENEWED = [  # of ann before and after, and of bob before and after
    (both(ANNS), both(OTHERS[0]), both(BOBS), both(OTHERS[1])),
    (both(ANNS, 1), both(ANNS, 2), both(BOBS, 1), both(BOBS, 2)),
    (both(ANNS, 1), both(OTHERS[0], 1), both(BOBS, 1), both(OTHERS[1], 1)),
    (both(ANNS, 1), both(OTHERS[0], 2), both(BOBS, 1), both(OTHERS[1], 2)),
    (keyring(1), keyring(2, 1), keyring(1), keyring(2)),
]


@pytest.mark.parametrize(("old", "new", "bobs", "bobs_new"), RENEWED)
def test_other_keys_are_for_new_streams(old, new, bobs, bobs_new):
    async def scenario():
        anns = security(old)
        sealing = anns.sealing
        async with plain_pair() as (first, bobs_first), plain_pair() as (second, bobs_second):
            before = anns.protect(first, dialled=True)
            anns.renew(new)
            assert anns.sealing is sealing
            assert anns.secret_ids == new.ids
            await greeted(before, LinkTrust(BOB, bobs).protect(bobs_first, dialled=False))
            await greeted(
                anns.protect(second, dialled=True),
                LinkTrust(BOB, bobs_new).protect(bobs_second, dialled=False),
            )

    play(scenario)


def test_certificates_that_can_t_be_used_change_nothing():
    async def scenario():
        anns = security(both(ANNS, 1))
        broken = Certificates(b"", OTHERS[0].key, OTHERS[0].authorities)
        with pytest.raises(ValueError, match="can't be used"):
            anns.renew(both(broken, 2))
        assert anns.secret_ids == (keys(1).id,)
        async with plain_pair() as (ours, theirs):
            await greeted(
                anns.protect(ours, dialled=True),
                LinkTrust(BOB, both(BOBS, 1)).protect(theirs, dialled=False),
            )

    play(scenario)
