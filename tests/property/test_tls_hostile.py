"""Nothing that strangers can do to a handshake proves anything, or breaks more than the stream."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_secrets import keyring

from cluster_kit.errors import RemoteProtocolError, UntrustedError
from cluster_kit.security.authority import SecretTrust
from cluster_kit.wire.tls import Tls

ANN, BOB = SecretTrust("ann@10.0.0.1", keyring(1)), SecretTrust("bob@10.0.0.2", keyring(1))
SECRET = b"what only members may hear"


def ends():
    return Tls(ANN, dialled=True), Tls(BOB, dialled=False)


def take(end, data):
    """Return what ``end`` receives and answers; nothing where it has given up."""
    try:
        pieces, reply = end.receive(memoryview(data))
    except RemoteProtocolError:
        return None, end.closing_bytes()
    return b"".join(pieces), reply


def flights():
    """Return what a dialler and an acceptor say up to the first words of either."""
    ann, bob = ends()
    ann.send(SECRET)
    first = ann.start()
    _, second = take(bob, first)
    _, third = take(ann, second)
    assert take(bob, third)[0] == SECRET
    return first, second, third


RECORDED = flights()
HANDSHAKE, ENCRYPTED = 0x16, 0x17  # types of records. Source: RFC 8446, section 5.1
HEADER_BYTES = 5


def covered(flight):
    """Return what both ends authenticate: no headers of plain records, nothing of old versions."""
    places, start = [], 0
    while start < len(flight):
        end = start + HEADER_BYTES + int.from_bytes(flight[start + 3 : start + HEADER_BYTES])
        if flight[start] in (HANDSHAKE, ENCRYPTED):
            places += range(start if flight[start] == ENCRYPTED else start + HEADER_BYTES, end)
        start = end
    return places


@given(st.binary(max_size=4000), st.booleans())
@settings(max_examples=300)
def test_random_bytes_prove_nothing(data, dialled):
    end = ends()[0 if dialled else 1]
    end.start()
    end.send(SECRET)
    heard, _ = take(end, data)
    assert not heard
    assert end.proof is None
    assert not end.is_mutual


@given(
    st.sampled_from(RECORDED),
    st.integers(0, 5000),
    st.lists(st.binary(max_size=50), max_size=3),
    st.booleans(),
)
@settings(max_examples=200)
def test_recorded_handshakes_prove_nothing(flight, length, rest, dialled):
    end = ends()[0 if dialled else 1]
    end.start()
    end.send(SECRET)
    for part in (flight[:length], *rest, *RECORDED):
        heard, _ = take(end, part)
        assert not heard
        if heard is None:
            break
    assert end.proof is None


@pytest.mark.parametrize("turn", [0, 1, 2], ids=["hello", "offer", "proof"])
@given(where=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
@settings(max_examples=200)
def test_handshake_that_is_changed_on_the_way_proves_nothing(turn, where, bits):
    ann, bob = ends()
    said = ann.start()
    for number, end in enumerate((bob, ann, bob)):
        if number == turn:
            places = covered(said)
            said = bytearray(said)
            said[places[int(where * len(places))]] ^= bits
        heard, said = take(end, bytes(said))
        if heard is None:
            break
    assert bob.proof is None


@pytest.mark.parametrize("turn", [0, 1, 2], ids=["hello", "offer", "proof"])
@given(where=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
@settings(max_examples=200)
def test_handshake_that_is_changed_on_the_way_is_not_reported_as_another_secret(turn, where, bits):
    ann, bob = ends()
    ann.send(SECRET)
    said, told = ann.start(), []
    for number, end in enumerate((bob, ann, bob, ann)):
        if number == turn:
            said = bytearray(said)
            said[int(where * len(said))] ^= bits
        try:
            _, said = end.receive(memoryview(said))
        except RemoteProtocolError as error:
            said = end.closing_bytes()
            told.append(
                f"{error}: {error.cure}" if isinstance(error, UntrustedError) else str(error)
            )
    assert not [each for each in told if "secret" in each]


@pytest.mark.parametrize("turn", [0, 1, 2], ids=["hello", "offer", "proof"])
@given(share=st.floats(0, 1, exclude_max=True))
def test_handshake_that_breaks_off_proves_nothing(turn, share):
    ann, bob = ends()
    ann.send(b"")
    said = ann.start()
    for number, end in enumerate((bob, ann, bob)):
        heard, said = take(end, said[: int(len(said) * share)] if number == turn else said)
        assert not heard
        if number == turn:
            break
    assert end.proof is None
