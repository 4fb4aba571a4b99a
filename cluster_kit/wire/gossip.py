"""The gossip datagram, as a value and as bytes.

On the wire it is ``MAGIC``, a byte for the version, a byte of flags and a MessagePack array of the fields of ``Packet``. Later
versions may append fields and add kinds: what is unknown here is skipped. Flags are for forms that can't be read without more,
such as sealed ones (``cluster_kit.wire.sealing``). A datagram says how its sender is, not what to do: who answers whom, and
which of two runs counts, is decided elsewhere.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Self

import msgspec

from cluster_kit.errors import LocalProtocolError, RemoteProtocolError
from cluster_kit.host import is_of_link, is_unspecified
from cluster_kit.network import Endpoint
from cluster_kit.node import MAX_ADDRESS_CHARS, MAX_NAME_CHARS, BootId, Fence, Node, host_and_port, join_address

MAGIC = b"ckgo"
VERSION = 1  # another version is another protocol; what is compatible is an appended field or another kind instead
FLAGS = 0
HEADER = MAGIC + bytes((VERSION, FLAGS))
MAX_DATAGRAM_BYTES = 4096  # the longest names and all metadata fit; what people use fits one Ethernet frame

Boot = tuple[int, int]  # a ``BootId``, which is dear to make and to look up
FencePart = Annotated[str, msgspec.Meta(max_length=255)]
Host = Annotated[str, msgspec.Meta(max_length=MAX_ADDRESS_CHARS)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Kind(IntEnum):
    """What a datagram is for."""

    ANNOUNCE = 1
    """I have just started: who is there?"""
    HEARTBEAT = 2
    """I am still there."""
    ANSWER = 3
    """I am there, too: to one who announced itself."""
    GOODBYE = 4
    """I am gone."""


_KINDS = frozenset(Kind)
_NOWHERE = Endpoint("nowhere", 0)


class Packet(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """How the sender is.

    ``host`` is ``None`` where the sender can't tell under which address others reach it, ``port`` where it has no connector.
    A ``host`` without ``port`` is an address that isn't made of the two. ``padding`` makes an announcement large, so that no
    answer is larger.
    """

    kind: int
    cluster: FencePart
    group: FencePart
    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)]
    boot: Boot
    host: Host | None
    port: Port | None
    metadata: dict[str, str]
    leaving: bool
    padding: bytes = b""

    def __post_init__(self) -> None:
        node = self.node(_NOWHERE)  # checks itself; msgspec reports its ValueError as one of decoding
        msgspec.structs.force_setattr(self, "name", node.name)  # the peer may spell its host otherwise

    @classmethod
    def of(cls, node: Node, fence: Fence, kind: Kind, *, leaving: bool) -> Self:
        """Tell how ``node`` is, which has a name and a boot."""
        assert node.name is not None
        assert node.boot_id is not None
        parts = host_and_port(node.address)
        host, port = parts or (node.address, 0)
        if parts and (port == 0 or is_unspecified(parts[0])):
            host = None
        return cls(
            kind=kind,
            cluster=fence.cluster,
            group=fence.group,
            name=node.name,
            boot=(node.boot_id.started_ms, node.boot_id.nonce),
            host=host,
            port=port or None,
            metadata=dict(node.metadata),
            leaving=leaving,
        )

    @property
    def fence(self) -> Fence:
        """What must be equal for sender and receiver to belong together."""
        return Fence(self.cluster, self.group)

    @property
    def boot_id(self) -> BootId:
        """Which run of the sender this is from."""
        return BootId(*self.boot)

    def node(self, source: Endpoint) -> Node:
        """Return the sender; what it doesn't tell of its address is taken from where the datagram came from."""
        if self.host is not None and self.port is None:
            return Node(name=self.name, address=self.host, metadata=self.metadata, boot_id=self.boot_id)
        host, port = source
        if self.port is not None:
            port = self.port
            if self.host is not None and not is_unspecified(self.host):
                host = seen_from(host, self.host)
        return Node(name=self.name, address=join_address(host, port), metadata=self.metadata, boot_id=self.boot_id)

    def padded(self, size_bytes: int) -> Packet:
        """Return the packet with its datagram grown to ``size_bytes``, give or take the length of a length."""
        return msgspec.structs.replace(self, padding=bytes(max(0, size_bytes - len(encode(self)))))


def seen_from(source: str, host: str) -> str:
    """Return ``host`` as it is dialled from here: the sender's interface is called otherwise on its machine."""
    if not is_of_link(host):
        return host
    return host.partition("%")[0] + "".join(source.partition("%")[1:])


_DECODER = msgspec.msgpack.Decoder(Packet)
_ENCODER = msgspec.msgpack.Encoder()


def encode(packet: Packet) -> bytes:
    """Return ``packet`` as it goes over the wire.

    Raises:
        LocalProtocolError: It is larger than a peer would accept.
    """
    datagram = HEADER + _ENCODER.encode(packet)
    if len(datagram) > MAX_DATAGRAM_BYTES:
        raise LocalProtocolError(f"gossip: datagram of {len(datagram)} bytes: at most {MAX_DATAGRAM_BYTES} allowed")
    return datagram


def decode(datagram: bytes) -> Packet | None:
    """Return the packet that ``datagram`` holds, ``None`` if its kind is unknown.

    Raises:
        RemoteProtocolError: It is malformed, or not of this protocol.
    """
    if len(datagram) > MAX_DATAGRAM_BYTES:
        raise RemoteProtocolError(f"gossip: datagram of more than {MAX_DATAGRAM_BYTES} bytes")
    if not datagram.startswith(MAGIC):
        raise RemoteProtocolError(f"gossip: not a datagram of cluster_kit: it begins with {datagram[: len(MAGIC)]!r}")
    if not datagram.startswith(HEADER):
        found = list(datagram[len(MAGIC) : len(HEADER)])
        raise RemoteProtocolError(f"gossip: version and flags {found}: only {list(HEADER[len(MAGIC) :])} is understood")
    try:
        packet = _DECODER.decode(memoryview(datagram)[len(HEADER) :])
    except (ValueError, RecursionError) as exc:  # msgspec's errors are ValueErrors; nested arrays end in a RecursionError
        raise RemoteProtocolError(f"gossip: malformed datagram of {len(datagram)} bytes: {exc}") from exc
    return packet if packet.kind in _KINDS else None
