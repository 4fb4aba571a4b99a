"""Strategy ``kubernetes``: the pods behind a Service, or those that carry certain labels, as the API server knows them.

The collection is listed once and then watched, so that a change is known at once and an idle cluster costs no requests.
``entries``, ``naming``, ``view`` and ``reflector`` decide what to ask and what to make of the answers, ``client`` has the
network, ``session`` puts them together. This module declares the options and loads the rest when it runs, since the application
imports it, too.

Source: libcluster ``Cluster.Strategy.Kubernetes``, lib/strategy/kubernetes.ex.
Differs: watches instead of polling; reads EndpointSlices; a 403 is a failure and no empty cluster; the certificate is always
verified; nodes need no basename and may have ports.
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
    """Watches EndpointSlices or pods. Each option that libcluster has is known by its name there, too."""

    def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Watch until closed."""
        from cluster_kit.strategies.kubernetes.session import KubernetesSession

        return KubernetesSession(self, ctx).observe()

    def diagnose(self, ctx: Discovery) -> AsyncIterator[Finding]:
        """Ask one thing after the other, and look for the cause where nobody is found."""
        from cluster_kit.strategies.kubernetes.diagnosis import diagnose

        return diagnose(self)
