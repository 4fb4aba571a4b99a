"""The gossip datagram, as a value and as bytes.

On the wire it is ``MAGIC``, a byte for the version, a byte of flags and a MessagePack array of the
fields of ``Packet``. Later versions may append fields and add kinds: what is unknown here is
skipped. Flags mark forms that an older reader can't skip, such as sealed datagrams
(``cluster_kit.wire.sealing``).

A datagram describes its sender, and nothing else: ``cluster_kit.strategies.gossip`` decides which
nodes answer, and which of two runs counts.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Self

import msgspec

from cluster_kit.errors import LocalProtocolError, RemoteProtocolError
from cluster_kit.host import is_link_local, is_unspecified
from cluster_kit.network import Endpoint
from cluster_kit.node import (
    MAX_ADDRESS_CHARS,
    MAX_NAME_CHARS,
    BootId,
    Fence,
    Node,
    host_and_port,
    join_address,
)

MAGIC = b"ckgo"
VERSION = 1  # another version is another protocol; a compatible change appends a field or a kind
FLAGS = 0
HEADER = MAGIC + bytes((VERSION, FLAGS))
MAX_DATAGRAM_BYTES = 4096  # fits the longest names; usual ones fit one Ethernet frame

Boot = tuple[int, int]  # a ``BootId``, which takes longer to make and to hash
FencePart = Annotated[str, msgspec.Meta(max_length=255)]
Host = Annotated[str, msgspec.Meta(max_length=MAX_ADDRESS_CHARS)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Kind(IntEnum):
    """What a datagram is for."""

    ANNOUNCE = 1
    """The sender has just started, and asks who is there."""
    HEARTBEAT = 2
    """The sender is still there."""
    ANSWER = 3
    """The sender answers an announcement: it is there, too."""
    GOODBYE = 4
    """The sender is leaving for good."""


_KINDS = frozenset(Kind)
_NOWHERE = Endpoint("nowhere", 0)


class Packet(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What the sender says about itself.

    ``host`` is ``None`` if the sender doesn't know by which address others reach it, ``port`` if it
    has no connector that listens. A ``host`` without ``port`` is an address of another form.
    ``padding`` makes an announcement so large that no answer to it is larger.
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
        # a node checks itself; msgspec reports its ValueError as one of decoding
        node = self.node(_NOWHERE)
        # the peer may spell its host in another way than we do
        msgspec.structs.force_setattr(self, "name", node.name)

    @classmethod
    def of(cls, node: Node, fence: Fence, kind: Kind, *, leaving: bool) -> Self:
        """Describe ``node``, which has a name and a boot."""
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
        """Return the sender; ``source``, where the datagram came from, completes its address."""
        address = self._address(source)
        boot_id, metadata = self.boot_id, self.metadata
        return Node(name=self.name, address=address, metadata=metadata, boot_id=boot_id)

    def _address(self, source: Endpoint) -> str:
        host, port = source
        if self.port is None:
            return join_address(host, port) if self.host is None else self.host
        if self.host is not None and not is_unspecified(self.host):
            host = seen_from(host, self.host)
        return join_address(host, self.port)

    def padded(self, size_bytes: int) -> Packet:
        """Return the packet padded so that its datagram has about ``size_bytes``."""
        missing = size_bytes - len(encode(self))
        return msgspec.structs.replace(self, padding=bytes(max(0, missing)))


def seen_from(source: str, host: str) -> str:
    """Return ``host`` as it is dialled from here.

    A link-local address names an interface, and that of the sender has a name of its own machine.
    """
    if not is_link_local(host):
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
        found = f"datagram of {len(datagram)} bytes"
        raise LocalProtocolError(f"gossip: {found}: at most {MAX_DATAGRAM_BYTES} allowed")
    return datagram


def decode(datagram: bytes) -> Packet | None:
    """Return the packet that ``datagram`` holds, ``None`` if its kind is unknown.

    Raises:
        RemoteProtocolError: It is malformed, or not of this protocol.
    """
    if len(datagram) > MAX_DATAGRAM_BYTES:
        raise RemoteProtocolError(f"gossip: datagram of more than {MAX_DATAGRAM_BYTES} bytes")
    if not datagram.startswith(MAGIC):
        head = datagram[: len(MAGIC)]
        raise RemoteProtocolError(f"gossip: not a datagram of cluster_kit: it begins with {head!r}")
    if not datagram.startswith(HEADER):
        found, known = (list(each[len(MAGIC) : len(HEADER)]) for each in (datagram, HEADER))
        raise RemoteProtocolError(f"gossip: version and flags {found}: only {known} is understood")
    try:
        packet = _DECODER.decode(memoryview(datagram)[len(HEADER) :])
    except (ValueError, RecursionError) as exc:  # the latter of deeply nested arrays
        malformed = f"malformed datagram of {len(datagram)} bytes"
        raise RemoteProtocolError(f"gossip: {malformed}: {exc}") from exc
    return packet if packet.kind in _KINDS else None
