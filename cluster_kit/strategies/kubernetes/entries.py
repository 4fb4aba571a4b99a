"""Turns API objects into entries, one for each address, whatever the kind of object. Pure.

A pod that has ended has no entry: it keeps its address in the API for a while, when another pod may
already have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from cluster_kit.strategies.kubernetes.objects import (
    Endpoints,
    EndpointSlice,
    Meta,
    Pod,
    Port,
    Target,
)

_FAMILIES = ("IPv4", "IPv6")  # the third one, FQDN, is deprecated, and no controller makes it
_ENDED = ("Succeeded", "Failed")
_SHOWN_PORTS = 8


class PeerAddress(Struct, frozen=True):
    """One address at which a peer may be.

    Attributes:
        ip: The address.
        port: Where the peer listens; ``None`` where that is unknown.
        namespace: The namespace of its pod.
        owner: Its pod, which may have several addresses; empty where that is unknown.
        hostname: The pod's own, where it has one.
        ready: Whether it passes its readiness probe.
        terminating: Whether it is being stopped.
    """

    ip: str
    port: int | None
    namespace: str
    owner: str
    hostname: str | None
    ready: bool
    terminating: bool


class Reading(Struct, frozen=True):
    """The content of one object.

    Attributes:
        entries: One for each address.
        problem: Why ``port`` is missing in some of them.
    """

    entries: tuple[PeerAddress, ...]
    problem: str | None = None


def read_slice(piece: EndpointSlice, wanted: int | str | None) -> Reading:
    """Read an endpoint slice; ``wanted`` is the port or its name; ``None`` means the only one."""
    if piece.address_type not in _FAMILIES:
        return Reading(())
    port = _choose(piece.ports or (), wanted)
    entries = []
    for endpoint in piece.endpoints or ():
        conditions = endpoint.conditions
        entries += [
            PeerAddress(
                ip=ip,
                port=port,
                namespace=piece.metadata.namespace,
                owner=_owner(endpoint.target_ref),
                hostname=endpoint.hostname,
                ready=conditions is None or conditions.ready is not False,
                terminating=conditions is not None and conditions.terminating is True,
            )
            for ip in endpoint.addresses[:1]
        ]
    return _reading(entries, f"EndpointSlice {piece.metadata.name!r}", piece.ports or ())


def read_endpoints(whole: Endpoints, wanted: int | str | None) -> Reading:
    """Read Endpoints, in which terminating pods don't show; see ``read_slice``."""
    entries = []
    for subset in whole.subsets or ():
        port = _choose(subset.ports or (), wanted)
        for addresses, ready in ((subset.addresses, True), (subset.not_ready_addresses, False)):
            entries += [
                PeerAddress(
                    ip=address.ip,
                    port=port,
                    namespace=whole.metadata.namespace,
                    owner=_owner(address.target_ref),
                    hostname=address.hostname,
                    ready=ready,
                    terminating=False,
                )
                for address in addresses or ()
            ]
    ports = [port for subset in whole.subsets or () for port in subset.ports or ()]
    return _reading(entries, f"Endpoints {whole.metadata.name!r}", ports)


def read_pod(pod: Pod, wanted: int | str | None) -> Reading:
    """Read a pod; its ports are those that its containers declare. See ``read_slice``."""
    spec, status = pod.spec, pod.status
    if status is None or not status.pod_ip or status.phase in _ENDED:
        return Reading(())
    containers = (spec.containers if spec else None) or ()
    ports = [
        Port(name=port.name, port=port.container_port)
        for each in containers
        for port in each.ports or ()
    ]
    entry = PeerAddress(
        ip=status.pod_ip,
        port=_choose(ports, wanted),
        namespace=pod.metadata.namespace,
        owner=pod.metadata.uid or pod.metadata.name,
        hostname=spec.hostname if spec else None,
        ready=any(
            condition.type == "Ready" and condition.status == "True"
            for condition in status.conditions or ()
        ),
        terminating=pod.metadata.deletion_timestamp is not None,
    )
    return _reading([entry], f"pod {pod.metadata.name!r}", ports)


def name_of(metadata: Meta) -> str:
    """Return the key of an object in its collection."""
    return f"{metadata.namespace}/{metadata.name}"


def _owner(target: Target | None) -> str:
    return (target.uid or target.name) if target else ""


def _choose(ports: Sequence[Port], wanted: int | str | None) -> int | None:
    if isinstance(wanted, int):
        return wanted
    fitting = {
        port.port
        for port in ports
        if port.port is not None and (wanted is None or port.name == wanted)
    }
    return fitting.pop() if len(fitting) == 1 else None


def _reading(entries: Sequence[PeerAddress], where: str, ports: Iterable[Port]) -> Reading:
    lacking = any(entry.port is None for entry in entries)
    return Reading(tuple(entries), f"{where} has {_listed(ports)}" if lacking else None)


def _listed(ports: Iterable[Port]) -> str:
    shown = list(_shown(ports))
    more = ", ..." if len(shown) > _SHOWN_PORTS else ""
    return f"the ports {', '.join(shown[:_SHOWN_PORTS])}{more}" if shown else "no ports"


def _shown(ports: Iterable[Port]) -> Iterator[str]:
    for port in ports:
        yield f"{port.port} ({port.name[:63]!r})" if port.name else str(port.port)
