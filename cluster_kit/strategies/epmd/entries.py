"""Entries of EPMD: how a cluster_kit node marks its own, and which ones are nodes of the cluster.

The marker holds the node's run, cluster and host. EPMD returns it to everyone who asks for the
name, so nodes of other clusters, and those of the BEAM, are recognized without a dial. On the wire
it is ``MAGIC``, a byte for the version, the two halves of the boot id, and cluster, group and host,
each after a byte with its length. The version grows only with an incompatible change: fields that
are appended are skipped.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cluster_kit.errors import LocalProtocolError, RemoteProtocolError
from cluster_kit.host import canonical_host, is_loopback
from cluster_kit.node import BootId, Fence, Node, join_address
from cluster_kit.strategies.epmd.options import LOOPBACK, EpmdQuestion
from cluster_kit.wire.epmd import Registration

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
    """Return the marker; ``None`` for a node that isn't one of cluster_kit.

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
            raise ValueError(f"a field of {size} bytes, but only {len(data)} are there")
        texts.append(data[:size].decode("ascii"))
        data = data[size:]
    return texts


def judge(entry: Registration, question: EpmdQuestion, fence: Fence) -> Node | str:
    """Return the node of an entry of ``question``, or why it doesn't count as ours, with a cure.

    A node of cluster_kit counts if its marker has our fence; one without a marker, such as a BEAM
    node, always counts. In a listing, the marker has the node's host; a node that was asked for by
    name keeps that name.
    """
    try:
        marker = decode_marker(entry.extra)
        node = _node(entry, marker, question)
    except RemoteProtocolError as error:
        return f"{error}; run the same version of cluster_kit on all nodes"
    except ValueError as exc:
        return f"{exc}; rename it"
    return (marker and _why_not(node, marker, question, fence)) or node


def describe(entry: Registration) -> str:
    """Describe an entry for messages."""
    try:
        marker = decode_marker(entry.extra)
    except RemoteProtocolError:
        return f"a node of another version of cluster_kit, port {entry.port}"
    if marker is None:
        return f"an Erlang node, port {entry.port}"
    cluster, group = marker.fence.cluster, marker.fence.group
    return f"a node of cluster {cluster!r}, group {group!r}, port {entry.port}"


def _node(entry: Registration, marker: Marker | None, question: EpmdQuestion) -> Node:
    named_host = dialled_host = question.host
    if marker and question.names is None:
        named_host = marker.host
        if question.epmd == LOOPBACK:
            # all host names of this machine can be dialled, and the node listens at its own
            dialled_host = marker.host
    return Node(
        name=f"{entry.name}@{named_host}",
        address=join_address(dialled_host, entry.port) if entry.port else None,
        boot_id=marker.boot_id if marker else None,
    )


def _why_not(node: Node, marker: Marker, question: EpmdQuestion, fence: Fence) -> str | None:
    if marker.fence != fence:
        theirs = f"cluster {marker.fence.cluster!r}, group {marker.fence.group!r}"
        ours = f"cluster {fence.cluster!r}, group {fence.group!r}"
        cure = "correct cluster, or the topology's name or group, if they are meant to be one"
        return f"it belongs to {theirs}, and we to {ours}; {cure}"
    if question.names is None and is_loopback(marker.host) and not is_loopback(question.epmd):
        cure = "name it after that machine's host"
        return f"it calls itself {node.name} and serves only its own machine; {cure}"
    return None
