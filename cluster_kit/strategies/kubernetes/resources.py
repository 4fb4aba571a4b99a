"""The API collections in which peers are found, and the peers in their objects. Pure.

The peers behind a Service are in its EndpointSlices; servers too old for these have Endpoints.
Each object is read into one ``PeerAddress`` per address, whatever its kind. A pod that has ended
has none: it keeps its address in the API for a while, when another pod may already have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from cluster_kit.strategies.kubernetes.objects import (
    Conditions,
    EndpointPort,
    Endpoints,
    EndpointSlice,
    Meta,
    Page,
    Pod,
    Target,
)

SLICE_VERSIONS = ("v1", "v1beta1")  # in order of preference
SLICE_GROUP = "discovery.k8s.io"

Params = tuple[tuple[str, str], ...]
_FAMILIES = ("IPv4", "IPv6")  # the third one, FQDN, is deprecated, and no controller uses it
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
        conditions = endpoint.conditions or Conditions()
        entries += [
            PeerAddress(
                ip=ip,
                port=port,
                namespace=piece.metadata.namespace,
                owner=_owner(endpoint.target_ref),
                hostname=endpoint.hostname,
                ready=conditions.ready is not False,
                terminating=conditions.terminating is True,
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
        EndpointPort(name=port.name, port=port.container_port)
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


def _choose(ports: Sequence[EndpointPort], wanted: int | str | None) -> int | None:
    if isinstance(wanted, int):
        return wanted
    fitting = {port.port for port in ports if wanted is None or port.name == wanted} - {None}
    return fitting.pop() if len(fitting) == 1 else None


def _reading(entries: Sequence[PeerAddress], where: str, ports: Iterable[EndpointPort]) -> Reading:
    lacking = any(entry.port is None for entry in entries)
    return Reading(tuple(entries), f"{where} has {_listed(ports)}" if lacking else None)


def _listed(ports: Iterable[EndpointPort]) -> str:
    shown = list(_shown(ports))
    more = ", ..." if len(shown) > _SHOWN_PORTS else ""
    return f"the ports {', '.join(shown[:_SHOWN_PORTS])}{more}" if shown else "no ports"


def _shown(ports: Iterable[EndpointPort]) -> Iterator[str]:
    for port in ports:
        yield f"{port.port} ({port.name[:63]!r})" if port.name else str(port.port)


class Resource(Struct, frozen=True):
    """One kind of object.

    Attributes:
        plural: What it is called in paths and roles.
        group: The API group; empty for the core.
        version: Of the group.
        kind: How to decode one object.
        read: Returns the peers in one object; the second argument is the port or its name.
        service_params: How to ask for what belongs to a Service.
    """

    plural: str
    group: str
    version: str
    kind: Any
    read: Callable[[Any, int | str | None], Reading]
    service_params: Callable[[str], Params]

    @property
    def name(self) -> str:
        """The name with its group, as in messages of the server and for ``kubectl``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str) -> str:
        """Return the path of the collection."""
        root = f"/apis/{self.group}" if self.group else "/api"
        return f"{root}/{self.version}/namespaces/{namespace}/{self.plural}"

    def params(self, selector: str | None, service: str | None) -> Params:
        """Return how to ask for those that carry certain labels, else for those of a Service."""
        return (("labelSelector", selector),) if selector else self.service_params(service or "")

    @property
    def page(self) -> type[Page[Any]]:
        """How to decode a page of the list."""
        page: type[Page[Any]] = Page[self.kind]  # type: ignore[name-defined]
        return page


def _label_of_service(service: str) -> Params:
    return (("labelSelector", f"kubernetes.io/service-name={service}"),)


def _name_of_service(service: str) -> Params:
    return (("fieldSelector", f"metadata.name={service}"),)


SLICES = {
    version: Resource(
        "endpointslices", SLICE_GROUP, version, EndpointSlice, read_slice, _label_of_service
    )
    for version in SLICE_VERSIONS
}
ENDPOINTS = Resource("endpoints", "", "v1", Endpoints, read_endpoints, _name_of_service)
PODS = Resource("pods", "", "v1", Pod, read_pod, _name_of_service)
