"""Strategy ``kubernetes_dns``: the pods behind a headless Service, by the cluster's DNS.

It needs no API server and no permission. A preset of ``dns`` with libcluster's options.

Source: libcluster ``Cluster.Strategy.Kubernetes.DNS``, lib/strategy/kubernetes_dns.ex.
Differs: IPv6 as well; a failed look-up doesn't mean an empty cluster; ``port`` and ``namespace``;
nodes may introduce themselves.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cluster_kit.abc import Discovery, Observation, Strategy
from cluster_kit.config.bounds import Bounds, faults_of_bounds
from cluster_kit.errors import faults_of, raise_all
from cluster_kit.fault import Fault
from cluster_kit.strategies.dns import DnsStrategy
from cluster_kit.strategies.dns.options import (
    DnsOptions,
    Family,
    Seconds,
    ServedPort,
    faults_of_addresses,
    faults_of_basename,
    read_name,
)

if TYPE_CHECKING:
    from cluster_kit.diagnosis import Finding

DEFAULT_DOMAIN = "cluster.local"


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesDnsStrategy(Strategy):
    """Vouches for the pods of a headless Service.

    Args:
        service: Name of the Service.
        port: The port of every node; may be left out where the connector dials by name.
        application_name: First part of the nodes' names, whose second part is the pod's address.
            Without it, nodes are asked for their names.
        namespace: Namespace of the Service; by default the search domains of resolv.conf decide,
            which in a pod means its own namespace.
        family: Which addresses count.
        resolver: Addresses of name servers, as ``ip`` or ``ip:port``, separated by commas; by
            default the system resolves.
        polling_interval_s: Seconds from one answer to the next question.
        confirmations: How many answers in a row must lack a pod before it is gone.
    """

    service: str
    port: ServedPort | None = None
    application_name: str | None = None
    namespace: str | None = None
    family: Family = "any"
    resolver: str | None = None
    polling_interval_s: Seconds = 5.0
    confirmations: Annotated[int, Bounds(ge=1)] = 2

    def __post_init__(self) -> None:
        raise_all(self.faults())

    def faults(self) -> Iterator[Fault]:
        """Check the options."""
        yield from self._common_faults()
        yield from faults_of_addresses(
            "application_name", self.application_name, self.port, self.resolver
        )

    def preset(self) -> DnsOptions:
        """Return the strategy that does the work."""
        return DnsStrategy(**self._preset_options())

    def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Ask for the Service's records."""
        return self.preset().discover(ctx)

    def diagnose(self, ctx: Discovery) -> AsyncIterator[Finding]:
        """Report which name servers it asks, and what the Service's name gives."""
        return self.preset().diagnose(ctx)

    def _preset_options(self) -> dict[str, Any]:
        return {
            "query": _name_of(self.service, self.namespace),
            "port": self.port,
            "node_basename": self.application_name,
            "family": self.family,
            "resolver": self.resolver,
            "interval_s": self.polling_interval_s,
            "confirmations": self.confirmations,
        }

    def _common_faults(self) -> Iterator[Fault]:
        yield from faults_of(read_name, "service", self.service)
        if self.namespace is not None:
            yield from faults_of(read_name, "namespace", self.namespace)
            yield from faults_of(_domain)
        yield from faults_of_bounds(self)
        yield from faults_of_basename("application_name", self.application_name)


def _name_of(service: str, namespace: str | None) -> str:
    """Return the DNS name of a Service, absolute where the namespace is known.

    Environment:
        CLUSTER_DOMAIN: The cluster's domain, where it isn't ``cluster.local``.
    """
    return service if namespace is None else f"{service}.{namespace}.svc.{_domain()}."


def _domain() -> str:
    domain = os.environ.get("CLUSTER_DOMAIN") or DEFAULT_DOMAIN
    return read_name("CLUSTER_DOMAIN", domain).rstrip(".")
