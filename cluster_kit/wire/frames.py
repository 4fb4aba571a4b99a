"""The frames of the link protocol, as values and as bytes.

A frame on the wire is a length of four bytes, big-endian, and a MessagePack array: the type's number, then the fields. Later
versions may append fields and add types: what is unknown here is skipped. Everything that comes in is hostile: a length is
bounded before it is believed, and what doesn't decode is a ``RemoteProtocolError``. Nothing here knows which frame may follow
which; that is ``cluster_kit.wire.link``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

import msgspec

from cluster_kit.errors import LocalProtocolError, RemoteProtocolError, UntrustedError
from cluster_kit.node import MAX_ADDRESS_CHARS, MAX_NAME_CHARS, BootId, Fence, Node
from cluster_kit.payloads import MAX_PAYLOAD_BYTES

MAGIC: Literal["cluster_kit"] = "cluster_kit"
VERSION = 1  # another version is another protocol; what is compatible is a feature instead
PROTOCOL = b"cluster_kit/1"  # what a dialler that has a secret asks for, by ALPN. Source: RFC 7301
HEADER_BYTES = 4
TLS_HEAD_BYTES = 5  # of each record
MAX_HANDSHAKE_BYTES = 4096  # a hello with the longest names and metadata, and room for features
MAX_FRAME_BYTES = 65536
MAX_GREETING_FRAMES = 128  # half as many again as the longest greeting takes
GREETING_BYTES = 4000  # of one piece of a greeting, so that it is a frame of a handshake
MAX_SECRETS = 16
MAX_SECRET_ID_BYTES = 16
MAX_HINTS = 64  # in one frame: as many of the longest fit into it

Short = Annotated[str, msgspec.Meta(max_length=64)]
FencePart = Annotated[str, msgspec.Meta(max_length=255)]
Boot = tuple[int, int]


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """What all frames are."""


class Identity(msgspec.Struct, frozen=True, array_like=True):
    """How one end introduces itself; ``wanted`` tells whether it wants the link for itself."""

    cluster: FencePart
    group: FencePart
    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)]
    boot: Boot
    address: Annotated[str, msgspec.Meta(max_length=MAX_ADDRESS_CHARS)] | None
    metadata: dict[str, str]
    leaving: bool
    wanted: bool
    features: Annotated[list[Short], msgspec.Meta(max_length=32)] = []

    def __post_init__(self) -> None:
        node = self.node()  # checks itself; msgspec reports its ValueError as one of decoding
        msgspec.structs.force_setattr(self, "name", node.name)  # the peer may spell its host otherwise

    @classmethod
    def of(cls, node: Node, fence: Fence, *, leaving: bool, wanted: bool, features: Iterable[str] = ()) -> Self:
        """Introduce ``node``, which has a name and a boot."""
        assert node.name is not None
        assert node.boot_id is not None
        return cls(
            cluster=fence.cluster,
            group=fence.group,
            name=node.name,
            boot=(node.boot_id.started_ms, node.boot_id.nonce),
            address=node.address,
            metadata=dict(node.metadata),
            leaving=leaving,
            wanted=wanted,
            features=list(features),
        )

    @property
    def fence(self) -> Fence:
        """What must be equal for the two ends to belong together."""
        return Fence(self.cluster, self.group)

    def node(self) -> Node:
        """Return the node that is introduced."""
        return Node(name=self.name, address=self.address, metadata=self.metadata, boot_id=BootId(*self.boot))


class Hello(Frame, frozen=True, tag=1):
    """The dialler's first word. ``identity`` is ``None`` where the version is not ours: then nothing more is understood."""

    magic: Literal["cluster_kit"]
    version: int
    identity: Identity | None


class Answer(Frame, frozen=True, tag=2):
    """The acceptor is willing, and introduces itself."""

    identity: Identity


class Refusal(Frame, frozen=True, tag=3):
    """The acceptor is not willing, and closes.

    ``reason`` is one of ``ConnectReason``, or unknown here. Strangers are not told who refuses them: no ``identity`` for them.
    ``rival`` is the boot that holds the name in a conflict.
    """

    reason: Short
    version: int = VERSION
    identity: Identity | None = None
    rival: Boot | None = None

    def __post_init__(self) -> None:
        read_boot(self.rival)


class Confirm(Frame, frozen=True, tag=4):
    """The dialler takes the answer: the link is up."""


class Ping(Frame, frozen=True, tag=5):
    """A question for a sign of life; ``token`` comes back in the ``Pong``. ``rtt_us`` is the last round trip, 0 if unknown."""

    token: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
    rtt_us: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


class Pong(Frame, frozen=True, tag=6):
    """The sign of life."""

    token: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


class Want(Frame, frozen=True, tag=7):
    """The sender's wish for the link has changed."""

    wanted: bool


class Update(Frame, frozen=True, tag=8):
    """The sender's metadata changed, or it is about to leave."""

    metadata: dict[str, str]
    leaving: bool

    def __post_init__(self) -> None:
        Node(name="any@host", metadata=self.metadata)  # a node checks its metadata


class Goodbye(Frame, frozen=True, tag=9):
    """The sender closes the link; ``reason`` is one of ``cluster_kit.wire.link.Farewell``, or unknown here.

    ``rival`` is the other boot in a conflict.
    """

    reason: Short
    rival: Boot | None = None

    def __post_init__(self) -> None:
        read_boot(self.rival)


class App(Frame, frozen=True, tag=10):
    """Reserved for applications; ``payload`` is theirs."""

    payload: msgspec.Raw

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(
            self, "payload", msgspec.Raw(self.payload).copy()
        )  # else it is a view of what is overwritten


class Hint(msgspec.Struct, frozen=True, array_like=True):
    """A node that the sender is linked to; it has a name, an address and a boot."""

    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)]
    address: Annotated[str, msgspec.Meta(max_length=MAX_ADDRESS_CHARS)]
    boot: Boot | None

    def __post_init__(self) -> None:
        self.node()  # checks itself

    @classmethod
    def of(cls, node: Node) -> Self:
        """Tell of ``node``, which has a name and an address."""
        assert node.name is not None
        assert node.address is not None
        return cls(name=node.name, address=node.address, boot=plain_boot(node.boot_id))

    def node(self) -> Node:
        """Return the node that is told of."""
        return Node(name=self.name, address=self.address, boot_id=read_boot(self.boot))


class Peers(Frame, frozen=True, tag=11):
    """Nodes that the sender is linked to: hints of whom to dial, for those who have the feature ``exchange``."""

    hints: Annotated[list[Hint], msgspec.Meta(max_length=MAX_HINTS)]


class Secrets(Frame, frozen=True, tag=12):
    """By their ids, the secrets that the sender holds now: it uses the first, and accepts all."""

    ids: Annotated[list[Annotated[bytes, msgspec.Meta(max_length=MAX_SECRET_ID_BYTES)]], msgspec.Meta(max_length=MAX_SECRETS)]


class Greeting(Frame, frozen=True, tag=13):
    """A piece of what the sender's application greets with, for those who have the feature ``messages``."""

    data: Annotated[bytes, msgspec.Meta(min_length=1)]  # so that none is endless


class Message(Frame, frozen=True, tag=14):
    """What the applications say to each other, for those who have the feature ``messages``; nobody else looks inside."""

    payload: Annotated[bytes, msgspec.Meta(max_length=MAX_PAYLOAD_BYTES)]


class _Head(msgspec.Struct, array_like=True):
    type: int


class _Opening(msgspec.Struct, array_like=True):
    type: int
    magic: Literal["cluster_kit"]
    version: int


_TYPES: tuple[type[Frame], ...] = (
    Hello,
    Answer,
    Refusal,
    Confirm,
    Ping,
    Pong,
    Want,
    Update,
    Goodbye,
    App,
    Peers,
    Secrets,
    Greeting,
    Message,
)
_DECODERS = {cls.__struct_config__.tag: msgspec.msgpack.Decoder(cls) for cls in _TYPES}
_HEAD = msgspec.msgpack.Decoder(_Head)
_OPENING = msgspec.msgpack.Decoder(_Opening)
_ENCODER = msgspec.msgpack.Encoder()
_LIMITS: dict[type[Frame], int] = {
    **dict.fromkeys((Hello, Answer, Refusal, Greeting), MAX_HANDSHAKE_BYTES),
    Message: MAX_PAYLOAD_BYTES + 5,  # an array, its type, and that so many bytes follow
}
_MESSAGE = _ENCODER.encode(Message(b""))[:2]  # how each of them begins
_ARRAY = 0x9  # the upper half of the first byte of a short array. Source: the MessagePack specification


def encode(frame: Frame) -> bytes:
    """Return ``frame`` as it goes over the wire.

    Raises:
        LocalProtocolError: It is larger than a peer would accept.
    """
    body = _ENCODER.encode(frame)
    limit = _LIMITS.get(type(frame), MAX_FRAME_BYTES)
    if len(body) > limit:
        raise LocalProtocolError(f"link: {type(frame).__name__} of {len(body)} bytes: at most {limit} allowed")
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def decode(body: bytes | memoryview) -> Frame | None:
    """Return the frame that ``body`` holds, ``None`` if its type is unknown.

    Raises:
        RemoteProtocolError: It is malformed.
    """
    try:
        if body[:2] == _MESSAGE:  # as most are
            return _DECODERS[Message.__struct_config__.tag].decode(body)
        number = _HEAD.decode(body).type
        if number == Hello.__struct_config__.tag and (version := _OPENING.decode(body).version) != VERSION:
            return Hello(magic=MAGIC, version=version, identity=None)
        decoder: msgspec.msgpack.Decoder[Any] | None = _DECODERS.get(number)
        return None if decoder is None else decoder.decode(body)
    except (ValueError, RecursionError) as exc:  # msgspec's errors are ValueErrors; nested arrays end in a RecursionError
        raise RemoteProtocolError(f"link: malformed frame of {len(body)} bytes: {exc}") from exc


_NOTHING = memoryview(b"")


class FrameReader:
    """Cuts a stream into frames, and copies of it no more than what is incomplete, which is at most one frame."""

    def __init__(self) -> None:
        self._pending = bytearray()  # how the next frame begins
        self._data = _NOTHING  # how it goes on

    def feed(self, data: bytes | memoryview) -> None:
        """Take in what was received, which must not change until ``next`` has returned ``None``."""
        self._data = memoryview(data)

    def next(self, limit: int) -> memoryview | None:
        """Return the body of the next frame, ``None`` if it isn't complete; it lasts as long as what was received.

        Raises:
            RemoteProtocolError: It claims to be longer than ``limit`` bytes.
        """
        if self._pending:
            return self._complete(limit)
        end = _end_of(self._data, limit)
        if end is None or end > len(self._data):
            self._pending += self._data
            self._data = _NOTHING
            return None
        body, self._data = self._data[HEADER_BYTES:end], self._data[end:]
        return body

    def _complete(self, limit: int) -> memoryview | None:
        """Return what ``next`` does where a part of the frame came in before."""
        self._take_in(HEADER_BYTES)
        end = _end_of(self._pending, limit)
        if end is not None:
            self._take_in(end)
        if end is None or len(self._pending) < end:
            self._data = _NOTHING
            return None
        frame, self._pending = self._pending, bytearray()
        return memoryview(frame)[HEADER_BYTES:]

    def _take_in(self, end: int) -> None:
        if (missing := end - len(self._pending)) > 0:
            self._pending += self._data[:missing]
            self._data = self._data[missing:]


def _end_of(start: bytearray | memoryview, limit: int) -> int | None:
    """Return how long the frame is that begins with ``start``, with its length; ``None`` if that can't be told yet."""
    if len(start) < HEADER_BYTES:
        return None
    length = int.from_bytes(start[:HEADER_BYTES], "big")
    if length > limit:
        if is_tls(start):
            cure = "give both nodes the same secret, or certificates of one authority"
            raise UntrustedError("it has a secret or certificates that this node lacks", cure=cure)
        raise RemoteProtocolError(f"link: frame of {length} bytes announced: at most {limit} allowed")
    return HEADER_BYTES + length


def is_tls(head: bytes | bytearray | memoryview) -> bool:
    """Whether a stream that begins with ``head``, of two bytes at least, is one of TLS. Source: RFC 8446, section 5.1."""
    return head[:2] in (b"\x15\x03", b"\x16\x03")  # an alert, or a handshake


def begins_tls(first: bytes | bytearray) -> bool | None:
    """Whether a stream of TLS begins with ``first``, with a whole record; ``None`` while that may be. Source: as ``is_tls``."""
    if len(first) < TLS_HEAD_BYTES:
        return None
    if not is_tls(first):
        return False
    return len(first) >= TLS_HEAD_BYTES + int.from_bytes(first[3:TLS_HEAD_BYTES], "big") or None


def is_plain(head: bytes | bytearray) -> bool:
    """Whether a stream that begins with ``head``, of five bytes at least, is one of frames as they are."""
    length = int.from_bytes(head[:HEADER_BYTES], "big")
    return 0 < length <= MAX_HANDSHAKE_BYTES and len(head) > HEADER_BYTES and head[HEADER_BYTES] >> 4 == _ARRAY


def plain_boot(boot_id: BootId | None) -> Boot | None:
    """Return ``boot_id`` as frames carry it."""
    return None if boot_id is None else (boot_id.started_ms, boot_id.nonce)


def read_boot(boot: Boot | None) -> BootId | None:
    """Return the boot id that a frame carries; ``ValueError`` if it is out of range."""
    return None if boot is None else BootId(*boot)
