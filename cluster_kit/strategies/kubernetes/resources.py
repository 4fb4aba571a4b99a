"""The API collections in which peers are found: their paths, queries and decoders. Pure.

EndpointSlices are what there is to read for a Service; servers too old for them have Endpoints.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from cluster_kit.strategies.kubernetes.entries import Reading, read_endpoints, read_pod, read_slice
from cluster_kit.strategies.kubernetes.objects import Endpoints, EndpointSlice, Page, Pod

SLICE_VERSIONS = ("v1", "v1beta1")  # in order of preference
SLICE_GROUP = "discovery.k8s.io"

Params = tuple[tuple[str, str], ...]


class Resource(Struct, frozen=True):
    """One kind of object.

    Attributes:
        plural: What it is called in paths and roles.
        group: The API group; empty for the core.
        version: Of the group.
        kind: How to decode one object.
        read: Makes entries of one object; the second argument is the port that is wanted.
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


def _slices(version: str) -> Resource:
    return Resource(
        "endpointslices", SLICE_GROUP, version, EndpointSlice, read_slice, _label_of_service
    )


def _label_of_service(service: str) -> Params:
    return (("labelSelector", f"kubernetes.io/service-name={service}"),)


def _name_of_service(service: str) -> Params:
    return (("fieldSelector", f"metadata.name={service}"),)


SLICES = {version: _slices(version) for version in SLICE_VERSIONS}
ENDPOINTS = Resource("endpoints", "", "v1", Endpoints, read_endpoints, _name_of_service)
PODS = Resource("pods", "", "v1", Pod, read_pod, _name_of_service)
