"""The parts of Kubernetes API objects that are read; all other fields are skipped undecoded.

Nothing is interpreted here. A field that may be absent or ``null`` has a default; a value of
another type is an error.

Source: Kubernetes API reference, groups core/v1 and discovery.k8s.io (v1 and v1beta1 have these
fields in common).
"""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import DecodeError, Raw, Struct, field

Object = TypeVar("Object")
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]

UNREADABLE = (DecodeError, UnicodeDecodeError, RecursionError)  # what decoding raises


class Meta(Struct, rename="camel"):
    """``metadata`` of an object; a bookmark has a version and no name."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    deletion_timestamp: str | None = None


class ListMeta(Struct, rename="camel"):
    """``metadata`` of a page; the last page has no ``token`` to continue with."""

    resource_version: str = ""
    token: str = field(default="", name="continue")
    remaining_item_count: int | None = None


class Page(Struct, Generic[Object]):
    """One page of a list; a document without ``items`` is not a page."""

    metadata: ListMeta
    items: list[Object] | None


class WatchEvent(Struct):
    """One line of a watch."""

    type: str
    object: Raw


class Versioned(Struct):
    """Any object; only its version is read."""

    metadata: Meta


class StatusCause(Struct):
    """One of the causes that a ``Status`` gives."""

    reason: str = ""
    message: str = ""


class StatusDetails(Struct, rename="camel"):
    """Details of a ``Status``."""

    retry_after_seconds: Count = 0
    causes: list[StatusCause] | None = None


class Status(Struct):
    """The server's answer to a failed request."""

    message: str = ""
    reason: str = ""
    code: Count = 0
    details: StatusDetails | None = None


class ApiGroupVersion(Struct):
    """A version that the server has of an API group."""

    version: str = ""


class ApiGroup(Struct):
    """The versions that the server has of an API group."""

    versions: list[ApiGroupVersion] = []


class EndpointPort(Struct):
    """A port of an endpoint slice or of Endpoints."""

    name: str | None = None
    port: int | None = None


class Target(Struct):
    """The pod behind an address."""

    kind: str = ""
    name: str = ""
    namespace: str = ""
    uid: str = ""


class Conditions(Struct):
    """The state of an endpoint; a missing value means that all is well."""

    ready: bool | None = None
    terminating: bool | None = None


class SliceEndpoint(Struct, rename="camel"):
    """One endpoint of a slice; its addresses are interchangeable."""

    addresses: list[str]
    conditions: Conditions | None = None
    hostname: str | None = None
    target_ref: Target | None = None


class EndpointSlice(Struct, rename="camel"):
    """Some of a Service's endpoints, all of one family and with the same ports."""

    metadata: Meta
    address_type: str = ""
    endpoints: list[SliceEndpoint] | None = None
    ports: list[EndpointPort] | None = None


class EndpointAddress(Struct, rename="camel"):
    """One address of Endpoints."""

    ip: str
    hostname: str | None = None
    target_ref: Target | None = None


class EndpointSubset(Struct, rename="camel"):
    """Addresses that have the same ports."""

    addresses: list[EndpointAddress] | None = None
    not_ready_addresses: list[EndpointAddress] | None = None
    ports: list[EndpointPort] | None = None


class Endpoints(Struct):
    """All of a Service's endpoints, as servers without slices have them."""

    metadata: Meta
    subsets: list[EndpointSubset] | None = None


class ContainerPort(Struct, rename="camel"):
    """A port that a container declares."""

    name: str | None = None
    container_port: int | None = None


class Container(Struct):
    """A container of a pod."""

    ports: list[ContainerPort] | None = None


class PodSpec(Struct):
    """The specification of a pod."""

    hostname: str | None = None
    containers: list[Container] | None = None


class PodCondition(Struct):
    """One condition of a pod."""

    type: str = ""
    status: str = ""


class PodStatus(Struct):
    """The status of a pod."""

    phase: str = ""
    pod_ip: str | None = field(default=None, name="podIP")
    conditions: list[PodCondition] | None = None


class Pod(Struct):
    """A pod."""

    metadata: Meta
    spec: PodSpec | None = None
    status: PodStatus | None = None
