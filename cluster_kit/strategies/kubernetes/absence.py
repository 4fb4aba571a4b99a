"""Finds out why the API server lists nobody, as it also does where a name is wrong.

It looks at objects that the strategy itself never needs. Where that is forbidden, which is usual,
it guesses.
"""

from __future__ import annotations

from msgspec import Struct

from cluster_kit.strategies.kubernetes.api_errors import ApiError, ErrorKind, quoted
from cluster_kit.strategies.kubernetes.client import Client
from cluster_kit.strategies.kubernetes.objects import Meta, Page, Versioned
from cluster_kit.strategies.kubernetes.resources import PODS, Params


class ServiceSpec(Struct):
    """The specification of a Service."""

    selector: dict[str, str] | None = None


class Service(Struct):
    """A Service."""

    metadata: Meta
    spec: ServiceSpec | None = None

    @property
    def selector(self) -> str:
        """The labels of its pods, as a selector."""
        labels = (self.spec and self.spec.selector) or {}
        return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


async def why_nobody(client: Client, *, some: bool) -> str:
    """Return the likely cause and the cure; ``some``: there are objects, without addresses."""
    options, namespace = client.options, await client.namespace()
    try:
        if await _lacks(client, f"/api/v1/namespaces/{namespace}"):
            return f"there is no namespace {namespace!r}: set namespace to that of the peers"
        if options.ip_lookup_mode == "pods":
            return await _no_pods(client, namespace, options.selector or "")
        if options.selector and some:
            return (
                "the Services that the selector fits have no endpoints: do their own selectors "
                "fit pods that run?"
            )
        if options.selector:
            return await _no_services(client, namespace, options.selector)
        return await _no_endpoints(client, namespace, options.service_name or "")
    except ApiError as error:
        wrong = "selector" if options.selector else "service_name"
        return (
            f"likely another namespace, or a {wrong} that fits nothing, or pods that have no "
            f"address yet (we may not look closer: {error})"
        )


async def _lacks(client: Client, path: str) -> bool:
    """Whether an object is missing; one that we may not read may exist."""
    try:
        await client.read(path, Versioned)
    except ApiError as error:
        if error.kind is ErrorKind.FORBIDDEN:
            return False
        if error.kind is ErrorKind.MISSING:
            return True
        raise
    return False


async def _no_pods(client: Client, namespace: str, selector: str) -> str:
    count = await _count_pods(client, namespace)
    if count == 0:
        return f"namespace {namespace!r} has no pods at all: is it that of the peers?"
    return (
        f"of the {_shown(count)} pods in namespace {namespace!r}, none with an address carries "
        f"the labels {selector!r}"
    )


async def _no_services(client: Client, namespace: str, selector: str) -> str:
    there = await _services(client, namespace)
    return (
        f"no Service in namespace {namespace!r} carries the labels {selector!r} ({there}): "
        "selector is for Services' own labels; to choose pods, set 'ip_lookup_mode: pods', or "
        "name the Service in service_name"
    )


async def _services(client: Client, namespace: str) -> str:
    """Return which Services there are, if we may know."""
    try:
        page = await client.read(f"/api/v1/namespaces/{namespace}/services", Page[Service])
    except ApiError:
        return "which there are we may not see"
    names = sorted(service.metadata.name for service in page.items or ())
    return f"there are: {quoted(', '.join(names)) or 'none'}"


async def _no_endpoints(client: Client, namespace: str, name: str) -> str:
    path = f"/api/v1/namespaces/{namespace}/services/{name}"
    if await _lacks(client, path):
        there = await _services(client, namespace)
        return (
            f"there is no Service {name!r} in namespace {namespace!r} ({there}): correct "
            "service_name or namespace"
        )
    selector = (await client.read(path, Service)).selector
    if not selector:
        return f"Service {name!r} has no selector, and nobody has given it endpoints"
    count = await _count_pods(client, namespace, (("labelSelector", selector),))
    if count == 0:
        return (
            f"the selector of Service {name!r}, {quoted(selector)!r}, fits no pods in namespace "
            f"{namespace!r}"
        )
    return (
        f"the selector of Service {name!r} fits {_shown(count)} pods, and none of them has an "
        "address yet"
    )


async def _count_pods(client: Client, namespace: str, params: Params = ()) -> int | None:
    """Return the number of pods; ``None`` where there are several and the server doesn't count."""
    page = await client.read(PODS.path(namespace), Page[Versioned], (*params, ("limit", "1")))
    if page.items and page.metadata.remaining_item_count is None and page.metadata.token:
        return None
    return len(page.items or ()) + (page.metadata.remaining_item_count or 0)


def _shown(count: int | None) -> str:
    return "several" if count is None else str(count)
