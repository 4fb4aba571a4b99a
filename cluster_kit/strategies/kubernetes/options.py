"""The options of strategy ``kubernetes``, and their checks.

The application imports this module too, so it loads neither an event loop nor another package.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from cluster_kit.abc import Strategy
from cluster_kit.config.bounds import Bounds, Port, faults_of_bounds
from cluster_kit.errors import raise_all
from cluster_kit.fault import Fault
from cluster_kit.host import canonical_host, why_unexpanded
from cluster_kit.node import split_endpoint

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MIN_POLL_S = 0.5
MAX_POLL_S = 3600.0

# RFC 1123: names of namespaces, Services and ports.
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_KEY = r"[A-Za-z0-9][A-Za-z0-9._/-]*"
_VALUE = r"[A-Za-z0-9._-]*"
_COMPARISON = rf"\s*(=|==|!=|<|>)\s*{_VALUE}"
_MEMBERSHIP = rf"\s+(in|notin)\s*\(\s*{_VALUE}(\s*,\s*{_VALUE})*\s*\)"
_REQUIREMENT = rf"!\s*{_KEY}|{_KEY}({_COMPARISON}|{_MEMBERSHIP})?"
# The server checks the details.
_SELECTOR = re.compile(rf"\s*({_REQUIREMENT})\s*(,\s*({_REQUIREMENT})\s*)*")
_BASENAME = re.compile(r"[!-?A-~]{1,200}")


def _as(name: str) -> dict[str, tuple[str, ...]]:
    """Return the metadata of a field that libcluster calls ``name``."""
    return {"aliases": (name,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesOptions(Strategy):
    """Watches EndpointSlices or pods; libcluster's names of options are aliases.

    Args:
        selector: Labels to select by: those of Services, whose endpoints are read, or with
            ``ip_lookup_mode: pods`` of pods.
        service_name: The Service whose endpoints are read where there is no selector, and which
            governs hostnames.
        port: The port that peers listen on, by number, or by its name in the Service or the
            container; by default the only one.
        node_basename: The part of names before the ``@``; by default peers introduce themselves.
        mode: What the part after it is made of: the address, the pod's DNS name by address, or the
            one by hostname.
        namespace: The namespace to look in; by default the pod's own, or that of the kubeconfig's
            context.
        ip_lookup_mode: Whether to read a Service's endpoints, or pods.
        count_unready: Whether pods count that fail their readiness probe, which may be waiting for
            the cluster.
        cluster_name: The DNS domain of the cluster without its ``.local``; ``CLUSTER_DOMAIN`` in
            the environment wins.
        polling_interval_s: Seconds between lists where watching is forbidden.
        use_cached_resources: Let the API server answer from its cache, which may be a little
            behind.
        kubeconfig: How to reach the API server; by default the pod's service account, else what
            ``kubectl`` uses.
        context: The context of the kubeconfig; by default its current one.
        master: The API server, as ``https://host:port`` or as a name that the cluster's domain
            completes.
        service_account_path: The folder with ``token``, ``ca.crt`` and ``namespace``.
    """

    selector: str | None = field(default=None, metadata=_as("kubernetes_selector"))
    service_name: str | None = field(default=None, metadata=_as("kubernetes_service_name"))
    port: Port | str | None = None
    node_basename: str | None = field(default=None, metadata=_as("kubernetes_node_basename"))
    mode: Literal["ip", "dns", "hostname"] = "ip"
    namespace: str | None = field(default=None, metadata=_as("kubernetes_namespace"))
    ip_lookup_mode: Literal["endpoints", "pods"] = field(
        default="endpoints", metadata=_as("kubernetes_ip_lookup_mode")
    )
    count_unready: bool = True
    cluster_name: str = field(default="cluster", metadata=_as("kubernetes_cluster_name"))
    polling_interval_s: Annotated[float, Bounds(ge=MIN_POLL_S, le=MAX_POLL_S)] = 5.0
    use_cached_resources: bool = field(
        default=False, metadata=_as("kubernetes_use_cached_resources")
    )
    kubeconfig: Path | None = None
    context: str | None = None
    master: str | None = field(default=None, metadata=_as("kubernetes_master"))
    service_account_path: Path = field(
        default=SERVICE_ACCOUNT, metadata=_as("kubernetes_service_account_path")
    )

    def __post_init__(self) -> None:
        raise_all(_faults(self))

    def domain(self, environ: Mapping[str, str]) -> str:
        """Return the DNS domain of the cluster."""
        return environ.get("CLUSTER_DOMAIN", "").strip(".") or f"{self.cluster_name}.local"


def _faults(options: KubernetesOptions) -> Iterator[Fault]:
    if not _is_installed():
        what = "kubernetes: the package 'kubernetes', 37 or later, is not installed"
        yield Fault((), what, "pip install 'cluster-kit[kubernetes]'")
    yield from _faults_of_selection(options)
    yield from _faults_of_names(options)
    yield from faults_of_bounds(options)


def _is_installed() -> bool:
    found = find_spec("kubernetes")
    return found is not None and any(
        Path(place, "aio", "client").is_dir() for place in found.submodule_search_locations or ()
    )


def _faults_of_selection(options: KubernetesOptions) -> Iterator[Fault]:
    if options.ip_lookup_mode == "pods" and not options.selector:
        what = "is not given: ip_lookup_mode 'pods' needs the labels of the pods, such as 'app=web'"
        yield Fault(("selector",), what)
    elif not options.selector and not options.service_name:
        what = "neither selector nor service_name is given"
        yield Fault(("selector",), what, "set service_name to the Service of the peers")
    if options.mode == "hostname" and not options.service_name:
        what = "is not given: mode 'hostname' needs the headless Service of the StatefulSet"
        yield Fault(("service_name",), what)
    if options.mode != "ip" and not options.node_basename:
        what = f"is not given: mode {options.mode!r} gives only what follows it in a node's name"
        yield Fault(("node_basename",), what)


def _faults_of_names(options: KubernetesOptions) -> Iterator[Fault]:
    if options.selector is not None and not _SELECTOR.fullmatch(options.selector):
        what = f"invalid value {options.selector[:80]!r}"
        such_as = "'app=web,tier!=test' or 'app in (web, api)'"
        yield Fault(("selector",), f"{what}: expected labels such as {such_as}")
    if not _DOMAIN.fullmatch(domain := options.domain(os.environ)):
        option = "CLUSTER_DOMAIN" if os.environ.get("CLUSTER_DOMAIN") else "cluster_name"
        what = f"the cluster's domain would be {domain[:80]!r}"
        yield Fault((option,), f"{what}: expected a DNS name such as 'cluster.local'")
    named = {"namespace": options.namespace, "service_name": options.service_name}
    if isinstance(options.port, str):
        if options.port.isdecimal():
            what = f"invalid value {options.port!r}: no port has a number as its name"
            yield Fault(("port",), what, "write it without quotes")
        else:
            named["port"] = options.port
    for option, name in named.items():
        if name is not None and not _LABEL.fullmatch(name):
            what = f"invalid value {name!r}"
            wanted = "at most 63 lower-case letters, digits and dashes"
            yield Fault((option,), f"{what}: expected {wanted}")
    if options.master is not None:
        yield from _faults_of_master(options.master)
    if options.context is not None and (
        not options.context.strip() or why_unexpanded(options.context)
    ):
        wanted = "the name of a context of the kubeconfig"
        what = f"invalid value {options.context!r}: expected {wanted}"
        yield Fault(("context",), what, "leave it out for the current one")
    if options.node_basename is not None and (
        not _BASENAME.fullmatch(options.node_basename) or why_unexpanded(options.node_basename)
    ):
        what = f"invalid value {options.node_basename!r}"
        wanted = "visible ASCII without '@', such as 'web'"
        yield Fault(("node_basename",), f"{what}: expected {wanted}")


def _faults_of_master(master: str) -> Iterator[Fault]:
    try:
        if master.startswith("https://"):
            endpoint = master.removeprefix("https://").removesuffix("/")
            split_endpoint(endpoint.replace("%25", "%"))  # RFC 6874
        else:
            canonical_host(master)
    except ValueError as exc:
        wanted = "https://host:port, or a name such as kubernetes.default.svc"
        yield Fault(("master",), f"invalid value {master!r}: expected {wanted}; {exc}")
