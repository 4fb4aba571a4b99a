"""Turns entries of EPMD into nodes, or says why they are none of ours."""

from __future__ import annotations

from cluster_kit.errors import RemoteProtocolError
from cluster_kit.host import is_loopback
from cluster_kit.node import Fence, Node, join_address
from cluster_kit.strategies.epmd.marker import Marker, decode_marker
from cluster_kit.strategies.epmd.options import LOOPBACK, EpmdQuestion
from cluster_kit.wire.epmd import Registration


def judge(entry: Registration, target: EpmdQuestion, fence: Fence) -> Node | str:
    """Return the node of an entry of ``target``, or why it is none of ours, with a cure.

    A node of cluster_kit counts if its marker has our fence; one without a marker, such as a BEAM
    node, always counts. In a listing, the marker has the node's host; a node that was asked for by
    name keeps that name.
    """
    try:
        marker = decode_marker(entry.extra)
        node = _node(entry, marker, target)
    except RemoteProtocolError as error:
        return f"{error}; run the same version of cluster_kit on all nodes"
    except ValueError as exc:
        return f"{exc}; rename it"
    return (marker and _why_not(node, marker, target, fence)) or node


def describe(entry: Registration) -> str:
    """Describe an entry to people."""
    try:
        marker = decode_marker(entry.extra)
    except RemoteProtocolError:
        return f"a node of another version of cluster_kit, port {entry.port}"
    if marker is None:
        return f"an Erlang node, port {entry.port}"
    return (
        f"a node of cluster {marker.fence.cluster!r}, group {marker.fence.group!r}, port "
        f"{entry.port}"
    )


def _node(entry: Registration, marker: Marker | None, target: EpmdQuestion) -> Node:
    named_host = dialled_host = target.host
    if marker and target.names is None:
        named_host = marker.host
        if target.epmd == LOOPBACK:
            # All host names of this machine can be dialled, and the node listens at its own.
            dialled_host = marker.host
    return Node(
        name=f"{entry.name}@{named_host}",
        address=join_address(dialled_host, entry.port) if entry.port else None,
        boot_id=marker.boot_id if marker else None,
    )


def _why_not(node: Node, marker: Marker, target: EpmdQuestion, fence: Fence) -> str | None:
    if marker.fence != fence:
        theirs, ours = marker.fence, fence
        return (
            f"it belongs to cluster {theirs.cluster!r}, group {theirs.group!r}, and we to cluster "
            f"{ours.cluster!r}, group {ours.group!r}; correct cluster, or the topology's name or "
            "group, if they are meant to be one"
        )
    if target.names is None and is_loopback(marker.host) and not is_loopback(target.epmd):
        return (
            f"it calls itself {node.name} and serves only its own machine; name it for that "
            "machine's host"
        )
    return None
