"""The nodes that SRV records list. Pure: replies in, an answer of the source out.

Each record is one node: it serves at the target's address and the record's port. Records of every
priority count, since a mesh has no second choice.

Source: RFC 2782.
"""

from __future__ import annotations

from collections.abc import Mapping

from cluster_kit.abc import Answer
from cluster_kit.errors import DiscoveryError
from cluster_kit.node import Node, join_address
from cluster_kit.strategies.dns.options import is_host_name
from cluster_kit.strategies.dns.replies import (
    DnsReply,
    RecordType,
    ReplyStatus,
    SrvRecord,
    empty,
    failed,
)

UNAVAILABLE = (
    ""  # the target "." without its dot: the service is decidedly not available at this domain
)


def targets_of(reply: DnsReply) -> list[str]:
    """Return the hosts to locate, each once."""
    return sorted({service.target for service in reply.services if is_host_name(service.target)})


def nodes_of_services(
    name: str,
    reply: DnsReply,
    located: Mapping[str, DnsReply],
    *,
    basename: str | None = None,
    port: int | None = None,
) -> Answer:
    """Return the nodes that the records of ``name`` list.

    Args:
        name: The name that was asked for.
        reply: Its SRV records.
        located: The addresses of each target.
        basename: First part of the nodes' names, whose second part is the target; ``None`` where
            nodes tell their names.
        port: The port of every node, in place of the records' ports.
    """
    if reply.status is ReplyStatus.FAILED:
        return Answer(error=failed(name, RecordType.SRV, reply), complete=False)
    offered = [service for service in reply.services if service.target != UNAVAILABLE]
    if not offered:
        return Answer(
            error=empty(name, "it is declared as not available" if reply.services else reply.said)
        )
    nodes: dict[str, Node] = {}
    faults: list[str] = []
    for service in offered:
        try:
            node = _node(service, located, basename, port)
            if nodes.setdefault(node.key, node) != node:
                other = "" if name.startswith("_") else f", or ask for _port._tcp.{name}"
                raise ValueError(f"{node.key} is listed with several ports: set port{other}")
        except ValueError as exc:
            faults.append(str(exc))
    return Answer(
        nodes=frozenset(nodes.values()),
        error=_useless(name, len(offered), faults) if faults else None,
        complete=all(place.status is not ReplyStatus.FAILED for place in located.values()),
    )


def _node(
    service: SrvRecord, located: Mapping[str, DnsReply], basename: str | None, port: int | None
) -> Node:
    """Return the node that a record stands for.

    Raises:
        ValueError: It stands for none.
    """
    place = located.get(service.target)
    if place is None:
        raise ValueError(f"its target {service.target[:80]!r} is no host name")
    if not place.addresses:
        raise ValueError(f"its target {service.target!r} has no address: {place.said}")
    if not (port or service.port):
        raise ValueError(f"its target {service.target!r} has port 0: set port")
    name = f"{basename}@{service.target}" if basename else None
    return Node(name=name, address=join_address(place.addresses[0], port or service.port))


def _useless(name: str, offered: int, faults: list[str]) -> DiscoveryError:
    what = f"{len(faults)} of {offered} SRV records of {name!r} are of no use"
    return DiscoveryError(f"dns: {what}: {faults[0]}", strategy="dns")
