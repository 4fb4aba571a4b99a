"""The link protocol: which frame may follow which, seen from both ends in memory."""

from itertools import product

import msgspec
import pytest

from cluster_kit.errors import LocalProtocolError, RemoteProtocolError
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.wire.frames import (
    MAX_FRAME_BYTES,
    MAX_HANDSHAKE_BYTES,
    App,
    Confirm,
    Goodbye,
    Greeting,
    Hello,
    Hint,
    Hints,
    Identity,
    Payload,
    Ping,
    Pong,
    Refusal,
    Secrets,
    Update,
    Want,
    Welcome,
    encode,
)
from cluster_kit.wire.link import TRANSITIONS, LinkProtocol, LinkState, Role

IDENTITY = Identity.of(
    Node(name="a@h", boot_id=BootId(1, 2)), Fence("c", "g"), leaving=False, wanted=True
)
HELLO = Hello(magic="cluster_kit", version=1, identity=IDENTITY)
ANSWER = Welcome(identity=IDENTITY)
EXAMPLES = {
    type(frame): frame
    for frame in (
        HELLO,
        ANSWER,
        Refusal(reason="foreign"),
        Confirm(),
        Ping(token=1, rtt_us=0),
        Pong(token=1),
        Want(wanted=True),
        Update(metadata={}, leaving=False),
        Goodbye(reason="leaving"),
        App(payload=msgspec.Raw(b"\xc0")),
        Hints([Hint("b@h", "h:1", None)]),
        Secrets([b"12345678"]),
        Greeting(b"hello"),
        Payload(b"payload"),
    )
}


class Pair:
    """A dialler and an acceptor, brought into a state by exchanging frames."""

    def __init__(self, state=LinkState.SILENT):
        self.dialler, self.acceptor = LinkProtocol(Role.DIALLER), LinkProtocol(Role.ACCEPTOR)
        way = {
            LinkState.SILENT: [],
            LinkState.GREETED: [HELLO],
            LinkState.ANSWERED: [HELLO, ANSWER],
            LinkState.UP: [HELLO, ANSWER, Confirm()],
            LinkState.CLOSED: [HELLO, Refusal(reason="foreign")],
        }
        for frame in way[state]:
            self.say(Role.ACCEPTOR if isinstance(frame, Welcome | Refusal) else Role.DIALLER, frame)

    def end(self, role):
        return self.dialler if role is Role.DIALLER else self.acceptor

    def say(self, role, frame):
        return list(self.end(role.other).receive(self.end(role).send(frame)))


@pytest.mark.parametrize("state", LinkState, ids=lambda state: state.name)
def test_both_ends_agree_on_the_state(state):
    pair = Pair(state)
    assert pair.dialler.state is pair.acceptor.state is state


@pytest.mark.parametrize(
    ("state", "role", "kind"),
    [
        (state, role, kind)
        for state, role, kind in product(LinkState, Role, EXAMPLES)
        if role in TRANSITIONS.get((state, kind), ((),))[0]
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else value.name,
)
def test_frame_allowed_by_the_table_arrives(state, role, kind):
    pair = Pair(state)
    assert pair.say(role, EXAMPLES[kind]) == [EXAMPLES[kind]]
    assert pair.dialler.state is pair.acceptor.state is TRANSITIONS[state, kind][1]


FORBIDDEN = [
    (state, role, kind)
    for state, role, kind in product(LinkState, Role, EXAMPLES)
    if role not in TRANSITIONS.get((state, kind), ((),))[0]
]
each_forbidden = pytest.mark.parametrize(
    ("state", "role", "kind"),
    FORBIDDEN,
    ids=lambda value: value.__name__ if isinstance(value, type) else value.name,
)


@each_forbidden
def test_frame_forbidden_by_the_table_is_not_sent(state, role, kind):
    with pytest.raises(LocalProtocolError, match=kind.__name__):
        Pair(state).end(role).send(EXAMPLES[kind])


@each_forbidden
def test_frame_forbidden_by_the_table_is_not_accepted(state, role, kind):
    receiver = Pair(state).end(role.other)
    data = encode(EXAMPLES[kind])
    if state is LinkState.CLOSED:
        assert list(receiver.receive(data)) == []
    else:
        with pytest.raises(RemoteProtocolError, match="out of order"):
            list(receiver.receive(data))


def test_acceptor_may_send_nothing_before_a_hello():
    assert not [
        kind
        for (state, kind), (roles, _) in TRANSITIONS.items()
        if state is LinkState.SILENT and Role.ACCEPTOR in roles
    ]


def test_unknown_frame_types_are_skipped_in_any_state():
    unknown = (4).to_bytes(4, "big") + msgspec.msgpack.encode([99, {}]) + b""
    unknown = (len(unknown) - 4).to_bytes(4, "big") + unknown[4:]
    for state in LinkState:
        pair = Pair(state)
        for end in (pair.dialler, pair.acceptor):
            assert list(end.receive(unknown)) == []
            assert end.state is state


def test_handshake_may_arrive_in_one_chunk_with_later_frames():
    acceptor = LinkProtocol(Role.ACCEPTOR)
    stream = b"".join(encode(frame) for frame in (HELLO, Confirm(), Ping(token=1, rtt_us=0)))
    frames = acceptor.receive(stream)
    assert next(frames) == HELLO
    acceptor.send(ANSWER)
    assert list(frames) == [Confirm(), Ping(token=1, rtt_us=0)]


def test_nothing_is_read_after_closing():
    pair = Pair(LinkState.UP)
    frames = pair.acceptor.receive(encode(Want(wanted=True)) * 3)
    next(frames)
    pair.acceptor.close()
    assert list(frames) == []


def test_frame_size_is_bounded_before_the_link_is_up():
    for state in (LinkState.SILENT, LinkState.GREETED, LinkState.ANSWERED):
        for role in Role:
            with pytest.raises(RemoteProtocolError, match=f"at most {MAX_HANDSHAKE_BYTES}"):
                list(Pair(state).end(role).receive((MAX_HANDSHAKE_BYTES + 1).to_bytes(4, "big")))


def test_frame_size_is_bounded_once_the_link_is_up():
    for role in Role:
        end = Pair(LinkState.UP).end(role)
        assert list(end.receive(MAX_FRAME_BYTES.to_bytes(4, "big"))) == []
        with pytest.raises(RemoteProtocolError, match=f"at most {MAX_FRAME_BYTES}"):
            list(Pair(LinkState.UP).end(role).receive((MAX_FRAME_BYTES + 1).to_bytes(4, "big")))
