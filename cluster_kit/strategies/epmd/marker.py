"""What a cluster_kit node registers at EPMD besides its port: its run, its cluster and its host.

EPMD returns it to everyone who asks for the name, so nodes of other clusters, and those of the
BEAM, are recognized without a dial. On the wire it is ``MAGIC``, a byte for the version, the two
halves of the boot id, and cluster, group and host, each after a byte with its length. The version
grows only with an incompatible change: fields that are appended are skipped.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cluster_kit.errors import LocalProtocolError, RemoteProtocolError
from cluster_kit.host import canonical_host
from cluster_kit.node import BootId, Fence, Node

MAGIC = b"ckep"
VERSION = 1  # another version is another protocol; what is compatible is an appended field
_HEADER = MAGIC + bytes((VERSION,))
_BOOT = struct.Struct(">QQ")


@dataclass(frozen=True, slots=True)
class Marker:
    """The run, fence and host of a registration; ``host`` follows the ``@`` in its name."""

    fence: Fence
    boot_id: BootId
    host: str


def marker_of(local: Node, fence: Fence) -> Marker:
    """Return the marker of this node, which has a name and a boot."""
    assert local.boot_id is not None
    return Marker(fence, local.boot_id, local.host)


def encode_marker(marker: Marker) -> bytes:
    """Return ``marker`` as bytes.

    Raises:
        LocalProtocolError: A part is longer than its field.
    """
    texts = (marker.fence.cluster, marker.fence.group, marker.host)
    try:
        fields = [text.encode("ascii") for text in texts]
        counted = b"".join(bytes((len(field),)) + field for field in fields)
    except ValueError as exc:
        raise LocalProtocolError(f"epmd: cannot mark a registration with {texts!r}: {exc}") from exc
    return _HEADER + _BOOT.pack(marker.boot_id.started_ms, marker.boot_id.nonce) + counted


def decode_marker(extra: bytes) -> Marker | None:
    """Return the marker; ``None`` where there is none, since the node is not of cluster_kit.

    Raises:
        RemoteProtocolError: It is malformed, or of a later version.
    """
    if not extra.startswith(MAGIC):
        return None
    if not extra.startswith(_HEADER):
        raise RemoteProtocolError(
            f"epmd: marker of version {extra[len(MAGIC) :][:1]!r}: only {VERSION} is understood"
        )
    try:
        started_ms, nonce = _BOOT.unpack_from(extra, len(_HEADER))
        boot_id = BootId(started_ms, nonce)
        cluster, group, host = _texts(extra[len(_HEADER) + _BOOT.size :], 3)
        host = canonical_host(host)
    except (struct.error, ValueError, IndexError) as exc:
        raise RemoteProtocolError(f"epmd: malformed marker of {len(extra)} bytes: {exc}") from exc
    return Marker(Fence(cluster, group), boot_id, host)


def _texts(data: bytes, count: int) -> list[str]:
    texts = []
    for _ in range(count):
        size, data = data[0], data[1:]
        if len(data) < size:
            raise ValueError(f"a field of {size} bytes of which {len(data)} are there")
        texts.append(data[:size].decode("ascii"))
        data = data[size:]
    return texts
