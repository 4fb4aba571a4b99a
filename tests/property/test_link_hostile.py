"""The link protocol raises nothing but ``RemoteProtocolError`` and holds a frame and a chunk."""

import tracemalloc
from contextlib import suppress

import msgpack
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cluster_kit.connectors.tcp.actions import Close, Down, Up
from cluster_kit.connectors.tcp.table import LinkTable
from cluster_kit.errors import ConnectReason, RemoteProtocolError
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.wire.frames import (
    MAX_FRAME_BYTES,
    MAX_HANDSHAKE_BYTES,
    Confirm,
    FrameReader,
    Goodbye,
    Hello,
    Identity,
    Ping,
    Pong,
    Refusal,
    Secrets,
    Update,
    Want,
    Welcome,
    decode,
    encode,
)
from cluster_kit.wire.link import Farewell, LinkProtocol, LinkState, Role

IDENTITY = Identity.of(
    Node(name="a@h", boot_id=BootId(1, 2)), Fence("c", "g"), leaving=False, wanted=True
)
HELLO, ANSWER = Hello(magic="cluster_kit", version=1, identity=IDENTITY), Welcome(identity=IDENTITY)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8)
)
fields = (
    scalars
    | st.lists(scalars, max_size=3)
    | st.dictionaries(st.text(max_size=5), scalars, max_size=2)
)
nearly_frames = st.tuples(st.integers(0, 12), st.lists(fields, max_size=5)).map(
    lambda frame: msgpack.packb([frame[0], *frame[1]])
)
bodies = nearly_frames | st.binary(max_size=200)
streams = st.lists(
    bodies.map(lambda body: len(body).to_bytes(4, "big") + body) | st.binary(max_size=64),
    max_size=5,
).map(b"".join)


def link(role: Role, state: LinkState) -> LinkProtocol:
    end = LinkProtocol(role)
    end.state = state
    return end


@given(streams, st.sampled_from(Role), st.sampled_from(LinkState), st.integers(1, 50))
@settings(max_examples=300, deadline=None)
def test_random_bytes_are_frames_or_a_remote_protocol_error(stream, role, state, piece):
    end = link(role, state)
    with suppress(RemoteProtocolError):
        for start in range(0, len(stream), piece):
            list(end.receive(stream[start : start + piece]))


@given(st.binary(max_size=300))
@example(b"\x93\x02" + b"\x91" * 4000)
@example(b"\xdf\xff\xff\xff\xff")
@settings(max_examples=1000, deadline=None)
def test_random_body_is_a_frame_or_a_remote_protocol_error(body):
    with suppress(RemoteProtocolError):
        decode(body)


@given(data=st.data())
@settings(max_examples=500, deadline=None)
def test_damaged_frames_are_frames_or_a_remote_protocol_error(data):
    examples = [
        HELLO,
        ANSWER,
        Refusal(reason="x"),
        Confirm(),
        Ping(token=9, rtt_us=1),
        Pong(token=9),
        Want(wanted=True),
    ]
    examples += [
        Update(metadata={"a": "b"}, leaving=True),
        Goodbye(reason="leaving", rival=(1, 2)),
        Secrets([b"12345678"]),
    ]
    damaged = bytearray(encode(data.draw(st.sampled_from(examples)))[4:])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with suppress(RemoteProtocolError):
        decode(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))


boots = st.tuples(st.integers(0, 3), st.integers(0, 1))
identities = st.builds(
    lambda name, boot, fence, leaving, wanted: Identity.of(
        Node(name=name, boot_id=BootId(*boot)), Fence("c", fence), leaving=leaving, wanted=wanted
    ),
    st.sampled_from(["ann@h", "bob@h", "cat@h"]),
    boots,
    st.sampled_from("ggx"),
    st.booleans(),
    st.booleans(),
)
reasons = st.sampled_from([*ConnectReason, *Farewell, "whatever"]).map(str)
frames = st.one_of(
    st.builds(Hello, magic=st.just("cluster_kit"), version=st.just(1), identity=identities),
    st.builds(Hello, magic=st.just("cluster_kit"), version=st.just(2), identity=st.none()),
    st.builds(Welcome, identity=identities),
    st.builds(Refusal, reason=reasons, identity=st.none() | identities, rival=st.none() | boots),
    st.just(Confirm()),
    st.builds(Want, wanted=st.booleans()),
    st.builds(
        Update,
        metadata=st.dictionaries(st.sampled_from("ab"), st.sampled_from("cd")),
        leaving=st.booleans(),
    ),
    st.builds(Goodbye, reason=reasons, rival=st.none() | boots),
)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), frames | st.sampled_from(["hang up", "be heard"])), max_size=40
    )
)
@settings(max_examples=400, deadline=None)
def test_well_formed_lies_are_taken_or_a_remote_protocol_error(said):
    """Two dials out and two connections in; the other ends say anything in any order."""
    table = LinkTable(Node(name="bob@h", address="bob:1", boot_id=BootId(2, 0)), Fence("c", "g"))
    ends: dict[int, LinkProtocol] = {conn: table.accept(conn) for conn in (2, 3)}
    up = set()

    def apply(actions):
        for action in actions:
            match action:
                case Close():
                    assert ends[action.conn].state is LinkState.CLOSED
                case Up():
                    assert action.peer.name not in up
                    up.add(action.peer.name)
                case Down():
                    up.remove(action.peer.name)

    for attempt, node in enumerate([Node(name="ann@h", address="ann:1"), Node(address="cat:1")]):
        apply(table.connect(attempt, node))
        ends[attempt] = table.protocol_of(attempt)
        apply(table.established(attempt))
    for conn, frame in said:
        if frame == "hang up":
            apply(table.closed(conn))
            ends[conn].close()
        elif frame == "be heard":
            apply(table.heard(conn))
        else:
            try:
                for heard in ends[conn].receive(encode(frame)):
                    apply(table.receive(conn, heard))
            except RemoteProtocolError:
                apply(table.closed(conn))
                ends[conn].close()
    apply(table.stop())
    assert not up


def test_huge_announcements_cost_no_memory():
    tracemalloc.start()
    try:
        for head in (
            b"\xdd",
            b"\xdf",
            b"\xc6",
            b"\xdb",
            b"\x92\x02\xdd",
            b"\x93\x08\xdf",
            b"\x92\x02\x99\xdb",
            b"\x92\x0a\xc6",
        ):
            with suppress(RemoteProtocolError):
                decode(head + b"\xff\xff\xff\xff" + bytes(1000))
        assert tracemalloc.get_traced_memory()[1] < 10 * MAX_FRAME_BYTES
    finally:
        tracemalloc.stop()


def test_reader_holds_one_frame_and_one_piece():
    reader, held = FrameReader(), 0
    tracemalloc.start()
    try:
        for _ in range(1000):
            reader.feed(MAX_HANDSHAKE_BYTES.to_bytes(4, "big") + bytes(MAX_HANDSHAKE_BYTES))
            assert reader.next(MAX_HANDSHAKE_BYTES) is not None
            held = max(held, tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held < 8 * MAX_HANDSHAKE_BYTES
