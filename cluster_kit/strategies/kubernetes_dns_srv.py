"""Strategy ``kubernetes_dns_srv``: the pods of a StatefulSet by their stable names, by the cluster's DNS.

A preset of ``dns_srv`` with libcluster's options; the Service that governs the StatefulSet must be headless.

Source: libcluster ``Cluster.Strategy.Kubernetes.DNSSRV``, lib/strategy/kubernetes_dns_srv.ex.
Differs: a failed look-up is no empty cluster; ``namespace`` may be left out; ``port`` and names that are learnt.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster_kit.abc import Discovery, Observation, Strategy
from cluster_kit.errors import raise_all
from cluster_kit.strategies.dns import Family
from cluster_kit.strategies.dns.options import (
    faults_of_identity,
    faults_of_polling,
    faults_of_services,
)
from cluster_kit.strategies.dns_srv import DnsSrvStrategy
from cluster_kit.strategies.kubernetes_dns import faults_of_service, name_of

if TYPE_CHECKING:
    from cluster_kit.diagnosis import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesDnsSrvStrategy(Strategy):
    """Vouches for the pods of a StatefulSet.

    Args:
        service: Name of the headless Service, or ``_port._tcp.service`` for one of several ports.
        port: Where every node serves, in place of the Service's port.
        application_name: First part of the nodes' names, whose second part is the pod's DNS name. Without it nodes are asked.
        namespace: That of the Service; by default the search domains of resolv.conf decide, in a pod its own namespace.
        family: Which addresses of pods count; of several one is taken, that of this node's own family first.
        resolver: Addresses of name servers, as ``ip`` or ``ip:port``, separated by commas; by default those of resolv.conf.
        polling_interval_s: Seconds from one answer to the next question.
        confirmations: How many answers in a row must lack a pod before it is gone.
    """

    service: str
    port: int | None = None
    application_name: str | None = None
    namespace: str | None = None
    family: Family = "any"
    resolver: str | None = None
    polling_interval_s: float = 5.0
    confirmations: int = 2

    def __post_init__(self) -> None:
        raise_all(_faults(self))

    def stands_for(self) -> DnsSrvStrategy:
        """Return the strategy that does the work."""
        return DnsSrvStrategy(
            query=name_of(self.service, self.namespace),
            port=self.port,
            node_basename=self.application_name,
            family=self.family,
            resolver=self.resolver,
            interval_s=self.polling_interval_s,
            confirmations=self.confirmations,
        )

    def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Ask for the Service's records."""
        return self.stands_for().discover(ctx)

    def diagnose(self, ctx: Discovery) -> AsyncIterator[Finding]:
        """Say whom it asks, and what the Service's name gives."""
        return self.stands_for().diagnose(ctx)


def _faults(options: KubernetesDnsSrvStrategy) -> Iterator[str]:
    yield from faults_of_service(options.service, options.namespace)
    yield from faults_of_identity("application_name", options.application_name, options.port)
    yield from faults_of_polling(
        "polling_interval_s", options.polling_interval_s, options.confirmations
    )
    yield from faults_of_services("kubernetes_dns_srv", options.resolver)
