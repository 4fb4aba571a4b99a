"""Asks the API server step by step, as the strategy would, and reports the answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from msgspec import Struct, field

from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.strategies.kubernetes.absence import why_nobody
from cluster_kit.strategies.kubernetes.api_errors import (
    ApiError,
    ErrorKind,
    advise_on_rights,
    quoted,
)
from cluster_kit.strategies.kubernetes.client import Client
from cluster_kit.strategies.kubernetes.entries import PeerAddress, Reading
from cluster_kit.strategies.kubernetes.options import KubernetesOptions
from cluster_kit.strategies.kubernetes.resources import Params, Resource

WATCH_S = 1  # long enough to be allowed or not


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
        page = await client.read(
            resource.path(namespace), resource.page, (*params, ("limit", "500"))
        )
        readings = [resource.read(item, options.port) for item in page.items or ()]
        yield await _listed(client, asked, resource, readings)
        if any(reading.entries for reading in readings):
            yield _port(options, readings)
        asked = f"watch {resource.name} in namespace {namespace!r}"
        await _watch(
            client,
            resource.path(namespace),
            (*params, ("resourceVersion", page.metadata.resource_version)),
        )
        yield Finding(asked=asked, got="allowed")
    except ApiError as error:
        yield Finding(
            asked=asked,
            got="no answer",
            outcome=Outcome.FAILED,
            cause=await _cause(client, error, resource),
        )
    finally:
        await client.close()


async def _listed(
    client: Client, asked: str, resource: Resource, readings: Sequence[Reading]
) -> Finding:
    entries = [entry for reading in readings for entry in reading.entries]
    got = _counted(resource, len(readings), entries)
    if not entries:
        return Finding(
            asked=asked,
            got=got,
            outcome=Outcome.EMPTY,
            cause=await why_nobody(client, some=bool(readings)),
        )
    if not (client.options.count_unready or any(entry.ready for entry in entries)):
        cause = (
            "none of them passes its readiness probe, and count_unready is false; see kubectl "
            "describe pod, or set 'count_unready: true' where the probe waits for the cluster"
        )
        return Finding(asked=asked, got=got, outcome=Outcome.EMPTY, cause=cause)
    return Finding(asked=asked, got=got)


def _counted(resource: Resource, objects: int, entries: Sequence[PeerAddress]) -> str:
    terminating = sum(entry.terminating for entry in entries)
    ready = sum(entry.ready and not entry.terminating for entry in entries)
    unready = len(entries) - ready - terminating
    return (
        f"{resource.plural}: {objects}; addresses: {ready} ready, {unready} unready, {terminating} "
        "terminating"
    )


def _port(options: KubernetesOptions, readings: Sequence[Reading]) -> Finding:
    asked = f"the port {options.port!r}" if options.port is not None else "the only port"
    ports = sorted(
        {entry.port for reading in readings for entry in reading.entries if entry.port is not None}
    )
    if ports:
        return Finding(asked=asked, got=", ".join(map(str, ports)))
    problem = next(reading.problem for reading in readings if reading.problem)
    cause = "set port to the number, or the name, of that at which peers listen"
    return Finding(asked=asked, got=problem, outcome=Outcome.EMPTY, cause=cause)


async def _watch(client: Client, path: str, params: Params) -> None:
    """Watch for a moment; raises ``ApiError`` if that is not allowed."""
    more = (("watch", "true"), ("timeoutSeconds", str(WATCH_S)))
    async with aclosing(client.watch(path, (*params, *more), WATCH_S)) as batches:
        await anext(batches, None)


async def _cause(client: Client, error: ApiError, resource: Resource | None) -> str:
    if error.kind is not ErrorKind.FORBIDDEN or resource is None:
        return str(error)
    return advise_on_rights(str(error), resource, await client.namespace())
