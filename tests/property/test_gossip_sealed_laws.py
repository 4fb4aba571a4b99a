"""Without the secret, no made-up, mutilated or recorded datagram makes anyone seen or lost."""

from contextlib import suppress

import msgpack
from gossip_lan import FENCE, INTERVAL_S, KEYRING, TTL_S, Lan, complete, opened
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.abc import Gone, Leaving, Seen
from cluster_kit.errors import RemoteProtocolError
from cluster_kit.node import BootId, Fence
from cluster_kit.wire import envelope
from cluster_kit.wire.envelope import NONCE_BYTES, Envelope
from cluster_kit.wire.sealing import SEALED_HEADER, NotOpened, Sealing, fence_tag, read_clear

MALLORY = ("10.66.6.6", 666)
ANYBODY = Sealing("anybody@10.0.0.1", BootId(1, 1), KEYRING)

nonces = st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES)
envelopes = st.builds(
    Envelope,
    host=st.none() | st.ip_addresses().map(str),
    port=st.integers(1, 65535),
    nonce=nonces,
    echo=nonces,
    packet=st.binary(max_size=300),
    padding=st.binary(max_size=300),
)
heads = st.sampled_from(
    [
        b"",
        SEALED_HEADER,
        SEALED_HEADER + fence_tag(FENCE),
        SEALED_HEADER + fence_tag(FENCE) + KEYRING.current.id,
    ]
)


def life():
    """Return a network on which two nodes live and one has left, and all that was sent there."""
    lan = Lan(keyring=KEYRING)
    lan.start("ann")
    lan.start("bob")
    cat = lan.start("cat")
    lan.run(4)
    lan.leave(cat)
    lan.run(TTL_S)
    return lan, [send.datagram for send in lan.carried]


def changed(datagram, data):
    """Return a datagram with some bits flipped, or cut off, or longer."""
    match data.draw(st.sampled_from(["flip", "cut", "lengthen"])):
        case "flip":
            mutilated = bytearray(datagram)
            for at in data.draw(
                st.sets(st.integers(0, len(datagram) * 8 - 1), min_size=1, max_size=4)
            ):
                mutilated[at // 8] ^= 1 << at % 8
            return bytes(mutilated)
        case "cut":
            return datagram[: data.draw(st.integers(0, len(datagram) - 1))]
        case _:
            return datagram + data.draw(st.binary(min_size=1, max_size=20))


def says_something(actions):
    return [action for action in actions if isinstance(action, Seen | Gone | Leaving)]


@settings(max_examples=300, deadline=None)
@given(heads, st.binary(max_size=200))
def test_made_up_datagram_does_not_open(head, rest):
    with suppress(NotOpened):
        ANYBODY.open(head + rest, FENCE)
        raise AssertionError("it opened")
    with suppress(NotOpened):
        assert read_clear(head + rest).name.isprintable()


@settings(max_examples=300, deadline=None)
@given(st.data(), st.binary(max_size=200))
def test_mutilated_datagram_does_not_open(data, plain):
    mutilated = changed(ANYBODY.seal(plain, FENCE, 0.0), data)
    with suppress(NotOpened):
        ANYBODY.open(mutilated, FENCE)
        raise AssertionError("it opened")


@given(
    st.binary(max_size=200),
    st.text(max_size=255),
    st.text(max_size=255),
    st.text(max_size=255),
    st.text(max_size=255),
)
def test_sealed_datagram_opens_within_its_fence_only(
    plain, cluster, group, other_cluster, other_group
):
    fence, other = Fence(cluster, group), Fence(other_cluster, other_group)
    datagram = ANYBODY.seal(plain, fence, 0.0)
    assert ANYBODY.open(datagram, fence).plain == plain
    if fence != other:
        with suppress(NotOpened):
            ANYBODY.open(datagram, other)
            raise AssertionError("it opened")


@given(envelopes)
def test_envelope_that_is_written_is_read(written):
    plain = envelope.encode(written)
    assert envelope.decode(plain) == written
    fields = (
        written.host,
        written.port,
        written.nonce,
        written.echo,
        written.packet,
        written.padding,
    )
    assert msgpack.unpackb(plain) == list(fields)


@given(envelopes, st.integers(0, 1000))
def test_padding_fills_the_room_there_is(written, room_bytes):
    bare = Envelope(host=written.host, port=written.port, packet=written.packet)
    size_bytes = len(envelope.encode(bare.padded(room_bytes)))
    least_bytes = len(envelope.encode(bare))
    assert size_bytes == least_bytes or room_bytes - 1 <= size_bytes <= room_bytes


@settings(max_examples=300)
@given(st.data(), envelopes)
def test_mutilated_envelope_is_survived(data, written):
    with suppress(RemoteProtocolError):
        envelope.decode(changed(envelope.encode(written), data))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_recordings_change_nothing(data):
    """Recordings in any order, whole or mutilated, go to their first receivers and to new nodes."""
    lan, recordings = life()
    ann = lan.peers[0]
    newcomer, stranger = lan.start("dan"), lan.start("eve", fence=Fence("shop", "other"))
    lan.run(1)
    present = {peer.node.boot_id for peer in lan.peers}
    for peer in data.draw(
        st.lists(st.sampled_from([ann, newcomer, stranger]), min_size=1, max_size=3)
    ):
        for recording in data.draw(st.lists(st.sampled_from(recordings), max_size=30)):
            replayed = changed(recording, data) if data.draw(st.booleans()) else recording
            assert not says_something(lan.deliver(peer, replayed, MALLORY))
        lan.run(data.draw(st.sampled_from([0.0, 0.5, INTERVAL_S, TTL_S])))
    lan.run(0.5)
    assert stranger.observations == []
    assert all(each.node.boot_id in present for each in newcomer.observations)
    lan.kill(stranger)
    assert complete_now(lan)


def complete_now(lan):
    names = {peer.name for peer in lan.peers}
    return all(peer.vouches_for(lan.now_s).keys() == names - {peer.name} for peer in lan.peers)


def test_the_recordings_are_of_each_kind():
    lan, recordings = life()
    assert len({opened(each).packet[7] for each in recordings}) == 4
    assert complete(lan)
