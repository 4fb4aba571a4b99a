"""Asks the API server step by step, as the strategy would, and reports the answers.

An empty list may mean that no pod runs, or that a name is wrong. So the diagnosis then looks at
objects that the strategy itself never needs. Usually it isn't allowed to see them, and guesses.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from msgspec import Struct, field

from cluster_kit.diagnosis import Finding, empty, failed
from cluster_kit.strategies.kubernetes.api_errors import ApiError, ErrorKind, quoted, with_advice
from cluster_kit.strategies.kubernetes.client import Client
from cluster_kit.strategies.kubernetes.objects import Meta, Page, Versioned
from cluster_kit.strategies.kubernetes.options import KubernetesOptions
from cluster_kit.strategies.kubernetes.resources import PODS, Params, PeerAddress, Reading, Resource

WATCH_S = 1  # long enough to show whether it is allowed


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


class Version(Struct):
    """The server's version."""

    number: str = field(default="", name="gitVersion")


async def diagnose(options: KubernetesOptions) -> AsyncGenerator[Finding, None]:
    """Yield findings, up to the first question without an answer: those after it need one."""
    client = Client(options)
    asked, resource = "how to reach the API server", None
    try:
        access = await client.access()
        namespace = await client.namespace()
        yield Finding(asked=asked, got=f"{access.origin}; looking in namespace {namespace!r}")
        asked = f"version of {access.server}"
        version = await client.read("/version", Version)
        yield Finding(asked=asked, got=quoted(version.number) or "unknown")
        asked = "what there is to read"
        resource = await client.resource()
        yield Finding(asked=asked, got=f"{resource.name} {resource.version}")
        params = resource.params(options.selector, options.service_name)
        asked = f"list {resource.name} in namespace {namespace!r} where {params[0][1]}"
        limited = (*params, ("limit", "500"))
        page = await client.read(resource.path(namespace), resource.page, limited)
        readings = [resource.read(item, options.port) for item in page.items or ()]
        yield await _listed(client, asked, resource, readings)
        if any(reading.entries for reading in readings):
            yield _port(options, readings)
        asked = f"watch {resource.name} in namespace {namespace!r}"
        since = ("resourceVersion", page.metadata.resource_version)
        await _watch(client, resource.path(namespace), (*params, since))
        yield Finding(asked=asked, got="allowed")
    except ApiError as error:
        if error.kind is ErrorKind.FORBIDDEN and resource is not None:
            error = with_advice(error, resource, await client.namespace())
        yield failed(asked, "no answer", str(error))
    finally:
        await client.close()


async def _listed(
    client: Client, asked: str, resource: Resource, readings: Sequence[Reading]
) -> Finding:
    entries = [entry for reading in readings for entry in reading.entries]
    got = _counted(resource, len(readings), entries)
    if not entries:
        cause = await _why_nobody(client, some=bool(readings))
        return empty(asked, got, cause)
    if not (client.options.count_unready or any(entry.ready for entry in entries)):
        cause = (
            "none of them passes its readiness probe, and count_unready is false; see kubectl "
            "describe pod, or set 'count_unready: true' where the probe waits for the cluster"
        )
        return empty(asked, got, cause)
    return Finding(asked=asked, got=got)


def _counted(resource: Resource, objects: int, entries: Sequence[PeerAddress]) -> str:
    terminating = sum(entry.terminating for entry in entries)
    ready = sum(entry.ready and not entry.terminating for entry in entries)
    unready = len(entries) - ready - terminating
    states = f"{ready} ready, {unready} unready, {terminating} terminating"
    return f"{resource.plural}: {objects}; addresses: {states}"


def _port(options: KubernetesOptions, readings: Sequence[Reading]) -> Finding:
    asked = f"the port {options.port!r}" if options.port is not None else "the only port"
    entries = [entry for reading in readings for entry in reading.entries]
    ports = sorted({entry.port for entry in entries if entry.port is not None})
    if ports:
        return Finding(asked=asked, got=", ".join(map(str, ports)))
    problem = next(reading.problem for reading in readings if reading.problem)
    cause = "set port to the number, or the name, of the port that peers listen on"
    return empty(asked, problem, cause)


async def _watch(client: Client, path: str, params: Params) -> None:
    """Watch for a moment; raises ``ApiError`` if that is not allowed."""
    more = (("watch", "true"), ("timeoutSeconds", str(WATCH_S)))
    async with aclosing(client.watch(path, (*params, *more), WATCH_S)) as batches:
        await anext(batches, None)


# -- why nobody is found ---------------------------------------------------------------------------


async def _why_nobody(client: Client, *, some: bool) -> str:
    """Return the likely cause and the cure; ``some``: there are objects, but without addresses."""
    options, namespace = client.options, await client.namespace()
    try:
        if await _lacks(client, f"/api/v1/namespaces/{namespace}"):
            return f"there is no namespace {namespace!r}: set namespace to that of the peers"
        if options.ip_lookup_mode == "pods":
            return await _no_pods(client, namespace, options.selector or "")
        if options.selector and some:
            cure = "do their own selectors fit pods that run?"
            return f"the Services that the selector fits have no endpoints: {cure}"
        if options.selector:
            return await _no_services(client, namespace, options.selector)
        return await _no_endpoints(client, namespace, options.service_name or "")
    except ApiError as error:
        wrong = "selector" if options.selector else "service_name"
        likely = f"likely another namespace, or a {wrong} that fits nothing"
        return f"{likely}, or pods that have no address yet (we may not look closer: {error})"


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
    pods = f"of the {_shown(count)} pods in namespace {namespace!r}"
    return f"{pods}, none with an address carries the labels {selector!r}"


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
        return "this node may not list Services"
    names = sorted(service.metadata.name for service in page.items or ())
    return f"there are: {quoted(', '.join(names)) or 'none'}"


async def _no_endpoints(client: Client, namespace: str, name: str) -> str:
    path = f"/api/v1/namespaces/{namespace}/services/{name}"
    if await _lacks(client, path):
        there = await _services(client, namespace)
        missing = f"there is no Service {name!r} in namespace {namespace!r} ({there})"
        return f"{missing}: correct service_name or namespace"
    selector = (await client.read(path, Service)).selector
    if not selector:
        return f"Service {name!r} has no selector, and no endpoints were created for it"
    count = await _count_pods(client, namespace, (("labelSelector", selector),))
    fits = f"the selector of Service {name!r}"
    if count == 0:
        return f"{fits}, {quoted(selector)!r}, fits no pods in namespace {namespace!r}"
    return f"{fits} fits {_shown(count)} pods, and none of them has an address yet"


async def _count_pods(client: Client, namespace: str, params: Params = ()) -> int | None:
    """Return the number of pods; ``None`` where there are several and the server doesn't count."""
    page = await client.read(PODS.path(namespace), Page[Versioned], (*params, ("limit", "1")))
    if page.items and page.metadata.remaining_item_count is None and page.metadata.token:
        return None
    return len(page.items or ()) + (page.metadata.remaining_item_count or 0)


def _shown(count: int | None) -> str:
    return "several" if count is None else str(count)
