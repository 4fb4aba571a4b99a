"""Targets: what comes in over a link, before and after TLS."""

from collections.abc import Iterator

from fuzz_target import MSGPACK, Target, assert_metadata, framed
from made_up_secrets import keyring

from cluster_kit.abc import MAX_PAYLOAD_BYTES
from cluster_kit.errors import RemoteProtocolError, UntrustedError
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.security.authority import SecretTrust
from cluster_kit.wire.frames import (
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    MAX_HANDSHAKE_BYTES,
    MAX_HINTS,
    MAX_SECRET_ID_BYTES,
    MAX_SECRETS,
    App,
    Confirm,
    Frame,
    FrameReader,
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
    begins_tls,
    decode,
    encode,
)
from cluster_kit.wire.link import LinkProtocol, LinkState, Role
from cluster_kit.wire.tls import Tls

IDENTITY = Identity.of(
    Node(
        name="ann@10.0.0.1", address="10.0.0.1:4370", metadata={"zone": "a"}, boot_id=BootId(1, 2)
    ),
    Fence("shop", "lan"),
    leaving=False,
    wanted=True,
    features=["exchange"],
)
FRAMES: tuple[Frame, ...] = (
    Hello(magic="cluster_kit", version=1, identity=IDENTITY),
    Hello(magic="cluster_kit", version=2, identity=None),
    Welcome(identity=IDENTITY),
    Refusal(reason="foreign", rival=(3, 4)),
    Confirm(),
    Ping(token=9, rtt_us=1),
    Pong(token=9),
    Want(wanted=False),
    Update(metadata={"zone": "b"}, leaving=True),
    Goodbye(reason="conflict", rival=(3, 4)),
    App(payload=MSGPACK.write(["topic", b"payload"])),
    Hints(
        hints=[
            Hint(name="bob@host.example", address="[fe80::7]:4370", boot=(5, 6)),
            Hint("cat@h", "unix:/run/cat", None),
        ]
    ),
    Secrets(ids=[b"12345678", b"abcdefgh"]),
    Greeting(data=b"I am free"),
    Payload(payload=b"\x00\xff"),
)


# -- one frame -------------------------------------------------------------------------------------


def check_frame(body: bytes) -> bool:
    """What decodes is encoded to what decodes to its equal, and keeps within its bounds."""
    try:
        frame = decode(body)
    except RemoteProtocolError:
        return False
    if frame is None:
        return False
    if len(body) <= MAX_HANDSHAKE_BYTES - 64:  # what was left out of it may be added
        again = encode(frame)
        assert decode(again[HEADER_BYTES:]) == frame
        assert encode(frame) == again
    match frame:
        case (
            Hello(identity=Identity() as identity)
            | Welcome(identity=identity)
            | Refusal(identity=Identity() as identity)
        ):
            assert identity.name == identity.node().name
            assert_metadata(identity.metadata)
        case Update(metadata=metadata):
            assert_metadata(metadata)
        case Hints(hints=hints):
            assert len(hints) <= MAX_HINTS
            assert all(hint.node().key for hint in hints)
        case Greeting(data=data):
            assert data
        case Payload(payload=payload):
            assert len(payload) <= MAX_PAYLOAD_BYTES
        case Secrets(ids=ids):
            assert len(ids) <= MAX_SECRETS
            assert all(len(each) <= MAX_SECRET_ID_BYTES for each in ids)
    return True


# -- streams ---------------------------------------------------------------------------------------


def pieces_of(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), max(1, size)))


def cut(data: bytes, size: int, limit: int) -> tuple[list[bytes], type[Exception] | None]:
    """Return the frames that a reader cuts out of ``data``, and what it raises."""
    reader, bodies = FrameReader(), []
    for piece in pieces_of(data, size):
        reader.feed(piece)
        try:
            while (body := reader.next(limit)) is not None:
                bodies.append(bytes(body))
        except RemoteProtocolError as exc:
            return bodies, type(exc)
        assert len(reader._pending) < HEADER_BYTES + limit
    return bodies, None


def check_reader(data: bytes) -> bool:
    """However a stream is cut, it gives the same frames, and they re-encode to it."""
    bodies, error = cut(data, len(data), 64)
    # two bytes more may tell that it is TLS, which is a remote protocol error as well
    if error is not UntrustedError:
        assert cut(data, 1, 64) == cut(data, 7, 64) == (bodies, error)
    whole = b"".join(len(body).to_bytes(HEADER_BYTES, "big") + body for body in bodies)
    assert data.startswith(whole)
    assert all(len(body) <= 64 for body in bodies)
    return bool(bodies)


def hear(
    data: bytes, size: int, role: Role, state: LinkState
) -> tuple[list[Frame], LinkState, type[Exception] | None]:
    link = LinkProtocol(role)
    link.state = state
    heard: list[Frame] = []
    for piece in pieces_of(data, size):
        try:
            heard += link.receive(piece)
        except RemoteProtocolError as exc:
            return heard, link.state, type(exc)
        pending = len(link._reader._pending)
        assert pending < HEADER_BYTES + MAX_FRAME_BYTES or link.state is LinkState.CLOSED
    return heard, link.state, None


def check_link(data: bytes) -> bool:
    """The first byte is the role and the state; the same is received however the rest is cut."""
    states = list(LinkState)
    role, state = list(Role)[data[:1] > b"\x7f"], states[(data or b"\0")[0] % len(states)]
    heard, after, error = hear(data[1:], len(data), role, state)
    for size in (1, 13):
        frames, last, broke = hear(data[1:], size, role, state)
        assert (frames, last, broke is None) == (heard, after, error is None)
    assert not (heard and state is LinkState.CLOSED)
    assert state is not LinkState.SILENT or not heard or isinstance(heard[0], Hello)
    return bool(heard)


# -- TLS -------------------------------------------------------------------------------------------

SECRET = b"what only members may hear"
ANN, BOB = SecretTrust("ann@10.0.0.1", keyring(1)), SecretTrust("bob@10.0.0.2", keyring(1))


def ends() -> tuple[Tls, Tls]:
    return Tls(ANN, dialled=True), Tls(BOB, dialled=False)


def flights() -> tuple[bytes, bytes]:
    """Return what a dialler says first, and what an acceptor answers."""
    ann, bob = ends()
    first = ann.start()
    return first, bob.receive(memoryview(first))[1]


def heard_by(end: Tls, data: bytes, size: int) -> tuple[bytes, type[Exception] | None]:
    end.start()
    end.send(SECRET)
    said, heard = b"", b""
    for piece in pieces_of(data, size):
        try:
            pieces, reply = end.receive(memoryview(piece))
        except RemoteProtocolError as exc:
            said += end.closing_bytes()
            assert SECRET not in said
            return heard, type(exc)
        heard += b"".join(pieces)
        said += reply
    assert SECRET not in said
    assert not end.is_mutual
    assert end.proof is None
    return heard, None


def check_tls(data: bytes) -> bool:
    """The first byte picks the end; the other proves nothing and is refused, whole or in pieces."""
    which = data[:1] > b"\x7f"
    assert begins_tls(data[1 : len(data) // 2]) in (None, begins_tls(data[1:]))
    heard, error = heard_by(ends()[which], data[1:], len(data))
    assert heard == b""
    assert (heard_by(ends()[which], data[1:], 100)[1] is None) == (error is None)
    return error is None and len(data) > 1


TARGETS = (
    Target(
        name="frames",
        of=("cluster_kit.wire.frames:decode", "cluster_kit.wire.frames:read_boot"),
        check=check_frame,
        seeds=tuple(encode(frame)[HEADER_BYTES:] for frame in FRAMES),
        form=MSGPACK,
    ),
    Target(
        name="frame-reader",
        of=("cluster_kit.wire.frames:FrameReader",),
        check=check_reader,
        seeds=(
            b"".join(encode(frame) for frame in FRAMES[3:8]),
            b"\0\0\0\x03abc\0\0\0\0\0\0\0\x01d\0",
        ),
    ),
    Target(
        name="link",
        of=("cluster_kit.wire.link:LinkProtocol.receive",),
        check=check_link,
        seeds=(
            b"\x82" + encode(FRAMES[0]),  # an acceptor that has heard nothing
            # one that has answered
            b"\x84"
            + b"".join(
                map(
                    encode, (FRAMES[13], FRAMES[4], *FRAMES[5:9], FRAMES[12], FRAMES[14], FRAMES[9])
                )
            ),
            # a dialler that has said hello
            b"\x01" + b"".join(map(encode, (FRAMES[13], FRAMES[2], FRAMES[9]))),
            # one whose link is up
            b"\x03" + b"".join(map(encode, (*FRAMES[5:9], *FRAMES[10:13], FRAMES[14], FRAMES[9]))),
        ),
        form=framed(MSGPACK)._replace(head_bytes=1),
    ),
    Target(
        name="tls",
        of=(
            "cluster_kit.wire.tls:Tls.receive",
            "cluster_kit.wire.frames:begins_tls",
            "cluster_kit.wire.frames:is_tls",
            "cluster_kit.wire.frames:is_plain",
        ),
        check=check_tls,
        seeds=(b"\xff" + flights()[0], b"\0" + flights()[1][:200], b"\xff" + flights()[0][:50]),
    ),
)
