"""The frames of the link protocol, as values and as bytes.

On the wire, a frame is a length of four bytes, big-endian, and a MessagePack array: the number of
its type, then its fields. Later versions may append fields and add types: what is unknown here is
skipped. Everything that comes in is hostile, so a length is checked before any of the body is read,
and what doesn't decode is a ``RemoteProtocolError``.

Which frame may follow which is in ``cluster_kit.wire.link``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

import msgspec

from cluster_kit.errors import LocalProtocolError, RemoteProtocolError, UntrustedError
from cluster_kit.node import MAX_ADDRESS_CHARS, MAX_NAME_CHARS, BootId, Fence, Node
from cluster_kit.payloads import MAX_PAYLOAD_BYTES

MAGIC: Literal["cluster_kit"] = "cluster_kit"
VERSION = 1  # another version is another protocol; a compatible change is a feature instead
PROTOCOL = b"cluster_kit/1"  # what a dialler under TLS asks for by ALPN. Source: RFC 7301
HEADER_BYTES = 4
TLS_HEAD_BYTES = 5  # of each record
MAX_HANDSHAKE_BYTES = 4096  # fits a hello with the longest names and metadata, and features
MAX_FRAME_BYTES = 65536
MAX_GREETING_FRAMES = 128  # half as many again as the longest greeting takes
GREETING_BYTES = 4000  # of one piece of a greeting, so that its frame fits a handshake
MAX_SECRETS = 16
MAX_SECRET_ID_BYTES = 16
MAX_HINTS = 64  # in one frame, which so many of the longest fit into

Short = Annotated[str, msgspec.Meta(max_length=64)]
FencePart = Annotated[str, msgspec.Meta(max_length=255)]
SecretId = Annotated[bytes, msgspec.Meta(max_length=MAX_SECRET_ID_BYTES)]
Boot = tuple[int, int]


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """The base of all frames."""


class Identity(msgspec.Struct, frozen=True, array_like=True):
    """How one end introduces itself.

    Attributes:
        leaving: Whether it is about to stop.
        wanted: Whether it wants this link for itself.
        features: What it can do beyond the protocol's version.
    """

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
        # the peer may spell its host in another way than we do
        msgspec.structs.force_setattr(self, "name", node.name)

    @classmethod
    def of(
        cls, node: Node, fence: Fence, *, leaving: bool, wanted: bool, features: Iterable[str] = ()
    ) -> Self:
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
        boot_id, metadata = BootId(*self.boot), self.metadata
        return Node(name=self.name, address=self.address, metadata=metadata, boot_id=boot_id)


class Hello(Frame, frozen=True, tag=1):
    """The dialler introduces itself.

    ``identity`` is ``None`` for another version than ours, whose fields are unknown.
    """

    magic: Literal["cluster_kit"]
    version: int
    identity: Identity | None


class Welcome(Frame, frozen=True, tag=2):
    """The acceptor agrees to the link, and introduces itself."""

    identity: Identity


class Refusal(Frame, frozen=True, tag=3):
    """The acceptor refuses the link, and closes the connection.

    ``reason`` is one of ``ConnectReason``, or unknown here. A stranger does not learn who refuses
    it, so ``identity`` may be ``None``. ``rival`` is the boot that holds the name in a conflict.
    """

    reason: Short
    version: int = VERSION
    identity: Identity | None = None
    rival: Boot | None = None

    def __post_init__(self) -> None:
        read_boot(self.rival)


class Confirm(Frame, frozen=True, tag=4):
    """The dialler confirms: the link is up."""


class Ping(Frame, frozen=True, tag=5):
    """The sender asks for a ``Pong`` with the same token, and reports the last round trip, or 0."""

    token: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
    rtt_us: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


class Pong(Frame, frozen=True, tag=6):
    """The sender answers a ``Ping``, with its token."""

    token: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


class Want(Frame, frozen=True, tag=7):
    """The sender wants the link for itself from now on, or no longer."""

    wanted: bool


class Update(Frame, frozen=True, tag=8):
    """The sender's metadata changed, or it is about to leave."""

    metadata: dict[str, str]
    leaving: bool

    def __post_init__(self) -> None:
        Node(name="any@host", metadata=self.metadata)  # a node checks its metadata


class Goodbye(Frame, frozen=True, tag=9):
    """The sender closes the link.

    ``reason`` is one of ``cluster_kit.wire.link.Farewell``, or unknown here. ``rival`` is the other
    boot in a conflict.
    """

    reason: Short
    rival: Boot | None = None

    def __post_init__(self) -> None:
        read_boot(self.rival)


class App(Frame, frozen=True, tag=10):
    """Reserved for applications; ``payload`` is theirs."""

    payload: msgspec.Raw

    def __post_init__(self) -> None:
        # a copy, since it was decoded as a view of a buffer that is overwritten
        payload = msgspec.Raw(self.payload).copy()
        msgspec.structs.force_setattr(self, "payload", payload)


class Hint(msgspec.Struct, frozen=True, array_like=True):
    """A node that the sender is linked to; it has a name, an address and a boot."""

    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)]
    address: Annotated[str, msgspec.Meta(max_length=MAX_ADDRESS_CHARS)]
    boot: Boot | None

    def __post_init__(self) -> None:
        self.node()  # checks itself

    @classmethod
    def of(cls, node: Node) -> Self:
        """Return a hint of ``node``, which has a name and an address."""
        assert node.name is not None
        assert node.address is not None
        return cls(name=node.name, address=node.address, boot=plain_boot(node.boot_id))

    def node(self) -> Node:
        """Return the node that this is a hint of."""
        return Node(name=self.name, address=self.address, boot_id=read_boot(self.boot))


class Hints(Frame, frozen=True, tag=11):
    """Nodes that the sender is linked to, for a receiver that has the feature ``exchange``."""

    hints: Annotated[list[Hint], msgspec.Meta(max_length=MAX_HINTS)]


class Secrets(Frame, frozen=True, tag=12):
    """The ids of the secrets that the sender holds now: it uses the first, and accepts all."""

    ids: Annotated[list[SecretId], msgspec.Meta(max_length=MAX_SECRETS)]


class Greeting(Frame, frozen=True, tag=13):
    """A piece of the greeting of the sender's application, where the link carries messages."""

    data: Annotated[bytes, msgspec.Meta(min_length=1)]  # so that the length bounds the frames


class Payload(Frame, frozen=True, tag=14):
    """A payload between the two applications, where the link carries messages."""

    payload: Annotated[bytes, msgspec.Meta(max_length=MAX_PAYLOAD_BYTES)]


class _FrameType(msgspec.Struct, array_like=True):
    type: int


class _HelloStart(msgspec.Struct, array_like=True):
    type: int
    magic: Literal["cluster_kit"]
    version: int


_TYPES = {cls.__struct_config__.tag: cls for cls in Frame.__subclasses__()}
_DECODERS = {tag: msgspec.msgpack.Decoder(cls) for tag, cls in _TYPES.items()}
_HEAD = msgspec.msgpack.Decoder(_FrameType)
_HELLO_START = msgspec.msgpack.Decoder(_HelloStart)
_ENCODER = msgspec.msgpack.Encoder()
_LIMITS: dict[type[Frame], int] = {
    **dict.fromkeys((Hello, Welcome, Refusal, Greeting), MAX_HANDSHAKE_BYTES),
    Payload: MAX_PAYLOAD_BYTES + 5,  # the array, its type, and the length of the payload
}
_PAYLOAD_START = _ENCODER.encode(Payload(b""))[:2]  # how each message begins
_ARRAY = 0x9  # the upper half of the first byte of a short array, by the MessagePack specification


def encode(frame: Frame) -> bytes:
    """Return ``frame`` as it goes over the wire.

    Raises:
        LocalProtocolError: It is larger than a peer would accept.
    """
    body = _ENCODER.encode(frame)
    limit = _LIMITS.get(type(frame), MAX_FRAME_BYTES)
    if len(body) > limit:
        found = f"{type(frame).__name__} of {len(body)} bytes"
        raise LocalProtocolError(f"link: {found}: at most {limit} allowed")
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def decode(body: bytes | memoryview) -> Frame | None:
    """Return the frame that ``body`` holds, ``None`` if its type is unknown.

    Raises:
        RemoteProtocolError: It is malformed.
    """
    try:
        if body[:2] == _PAYLOAD_START:  # as most are: saves decoding the type first
            return _DECODERS[Payload.__struct_config__.tag].decode(body)
        number = _HEAD.decode(body).type
        if number == Hello.__struct_config__.tag:
            version = _HELLO_START.decode(body).version
            if version != VERSION:
                return Hello(magic=MAGIC, version=version, identity=None)
        decoder: msgspec.msgpack.Decoder[Any] | None = _DECODERS.get(number)
        return None if decoder is None else decoder.decode(body)
    except (ValueError, RecursionError) as exc:
        # msgspec's errors are ValueErrors; deeply nested arrays end in a RecursionError
        raise RemoteProtocolError(f"link: malformed frame of {len(body)} bytes: {exc}") from exc


_NOTHING = memoryview(b"")


class FrameReader:
    """Cuts a stream into frames. It copies only an incomplete frame."""

    def __init__(self) -> None:
        self._pending = bytearray()  # the beginning of the next frame, from earlier calls of feed
        self._data = _NOTHING  # what follows it

    def feed(self, data: bytes | memoryview) -> None:
        """Add what was received; it must not change until ``next`` has returned ``None``."""
        self._data = memoryview(data)

    def next(self, limit: int) -> memoryview | None:
        """Return the body of the next frame, ``None`` if it isn't complete yet.

        The body may be a view of what was fed, and is valid for as long.

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
        """Do what ``next`` does for a frame that began in an earlier call of ``feed``."""
        self._fill_up(HEADER_BYTES)
        end = _end_of(self._pending, limit)
        if end is not None:
            self._fill_up(end)
        if end is None or len(self._pending) < end:
            self._data = _NOTHING  # releases what was fed
            return None
        frame, self._pending = self._pending, bytearray()
        return memoryview(frame)[HEADER_BYTES:]

    def _fill_up(self, end: int) -> None:
        if (missing := end - len(self._pending)) > 0:
            self._pending += self._data[:missing]
            self._data = self._data[missing:]


def _end_of(start: bytearray | memoryview, limit: int) -> int | None:
    """Return where the frame that begins with ``start`` ends, ``None`` if that isn't known yet."""
    if len(start) < HEADER_BYTES:
        return None
    length = int.from_bytes(start[:HEADER_BYTES], "big")
    if length > limit:  # as the first bytes of TLS always are, read as a length
        if is_tls(start):
            cure = "give both nodes the same secret, or certificates of one authority"
            raise UntrustedError("it has a secret or certificates that this node lacks", cure=cure)
        found = f"frame of {length} bytes announced"
        raise RemoteProtocolError(f"link: {found}: at most {limit} allowed")
    return HEADER_BYTES + length


def is_tls(head: bytes | bytearray | memoryview) -> bool:
    """Whether a stream that begins with ``head``, of two bytes at least, is TLS.

    Source: RFC 8446, section 5.1.
    """
    return head[:2] in (b"\x15\x03", b"\x16\x03")  # an alert, or a handshake


def begins_tls(first: bytes | bytearray) -> bool | None:
    """Whether ``first`` begins with a whole record of TLS; ``None`` while that is undecided.

    Source: as ``is_tls``.
    """
    if len(first) < TLS_HEAD_BYTES:
        return None
    if not is_tls(first):
        return False
    length = int.from_bytes(first[3:TLS_HEAD_BYTES], "big")
    return len(first) >= TLS_HEAD_BYTES + length or None


def is_plain(head: bytes | bytearray) -> bool:
    """Whether a stream that begins with ``head``, of five bytes, is frames without TLS."""
    length = int.from_bytes(head[:HEADER_BYTES], "big")
    if not (0 < length <= MAX_HANDSHAKE_BYTES and len(head) > HEADER_BYTES):
        return False
    return head[HEADER_BYTES] >> 4 == _ARRAY


def plain_boot(boot_id: BootId | None) -> Boot | None:
    """Return ``boot_id`` as frames carry it."""
    return None if boot_id is None else (boot_id.started_ms, boot_id.nonce)


def read_boot(boot: Boot | None) -> BootId | None:
    """Return the boot id that a frame carries; ``ValueError`` if it is out of range."""
    return None if boot is None else BootId(*boot)
