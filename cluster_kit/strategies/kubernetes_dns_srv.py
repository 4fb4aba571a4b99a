"""Strategy ``kubernetes_dns_srv``: the pods of a StatefulSet by their stable names, by DNS.

A preset of ``dns_srv`` with libcluster's options; the Service that governs the StatefulSet must be
headless.

Source: libcluster ``Cluster.Strategy.Kubernetes.DNSSRV``, lib/strategy/kubernetes_dns_srv.ex.
Differs: a failed look-up doesn't mean an empty cluster; ``namespace`` may be left out; ``port``;
nodes may introduce themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cluster_kit.fault import Fault
from cluster_kit.strategies.dns.options import DnsOptions, faults_of_services
from cluster_kit.strategies.dns_srv import DnsSrvStrategy
from cluster_kit.strategies.kubernetes_dns import KubernetesDnsStrategy


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesDnsSrvStrategy(KubernetesDnsStrategy):
    """Vouches for the pods of a StatefulSet.

    Args:
        service: Name of the headless Service, or ``_port._tcp.service`` for one of several ports.
        port: The port of every node, in place of the Service's port.
        application_name: First part of the nodes' names, whose second part is the pod's DNS name.
            Without it, nodes are asked for their names.
        family: Which addresses of pods count; where a pod has several, one is taken, and one of
            this node's own family is preferred.
        resolver: Addresses of name servers, as ``ip`` or ``ip:port``, separated by commas; by
            default those of resolv.conf.
    """

    def faults(self) -> Iterator[Fault]:
        """Check the options."""
        yield from self._common_faults()
        yield from faults_of_services("kubernetes_dns_srv", self.resolver)

    def preset(self) -> DnsOptions:
        """Return the strategy that does the work."""
        return DnsSrvStrategy(**self._preset_options())
