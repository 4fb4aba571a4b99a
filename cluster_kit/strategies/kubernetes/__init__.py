"""Strategy ``kubernetes``: the pods behind a Service, or those with certain labels.

The API server lists the collection once and is then watched, so a change is known at once and an
idle cluster costs no requests. The modules:

==================================  ================================================================
``session``                         one run of the strategy; connects the others
``reflector``                       decides what to ask next
``objects``, ``resources``          decode API objects, and extract the addresses of peers
``view``                            makes nodes of the addresses, and finds out what is new
``client``, ``api_errors``          talk to the server, and classify its errors
``access``, ``exec_plugin``,        find the server, our credentials and the proxy
``proxy``, ``package``
``diagnosis``, ``manifest``         for ``cluster-kit doctor`` and ``cluster-kit manifest``
==================================  ================================================================

All but the options are loaded when the strategy runs, since the application imports it too.

Source: libcluster ``Cluster.Strategy.Kubernetes``, lib/strategy/kubernetes.ex.
Differs: watches instead of polling; reads EndpointSlices; a 403 is a failure, not an empty cluster;
the certificate is always verified; nodes need no basename and may have ports.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster_kit.abc import Discovery, Observation
from cluster_kit.strategies.kubernetes.options import KubernetesOptions

if TYPE_CHECKING:
    from cluster_kit.diagnosis import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesStrategy(KubernetesOptions):
    """Watches EndpointSlices or pods; libcluster's names of options are aliases."""

    def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Watch until closed."""
        from cluster_kit.strategies.kubernetes.session import KubernetesSession

        return KubernetesSession(self, ctx).observe()

    def diagnose(self, ctx: Discovery) -> AsyncIterator[Finding]:
        """Ask step by step, and look for the cause where nobody is found."""
        from cluster_kit.strategies.kubernetes.diagnosis import diagnose

        return diagnose(self)
