"""Turns entries into nodes: their names and addresses. Pure.

Source: libcluster ``Cluster.Strategy.Kubernetes``, lib/strategy/kubernetes.ex, ``format_node``.
Differs: IPv6 addresses make valid names in mode ``dns``; ``CLUSTER_DOMAIN`` counts for names, too;
without a basename, or for a pod without a hostname in mode ``hostname``, a node is known by its
address until it tells its name.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from cluster_kit.node import Node, join_address
from cluster_kit.strategies.kubernetes.entries import PeerAddress

Mode = Literal["ip", "dns", "hostname"]


class Naming(Struct, frozen=True, kw_only=True):
    """How nodes are named.

    Attributes:
        basename: The part before the ``@``; ``None`` where peers tell their names.
        mode: What the part after it is made of.
        service: The Service that governs hostnames.
        domain: The cluster's DNS domain.
    """

    basename: str | None
    mode: Mode
    service: str | None
    domain: str

    def node_of(self, entry: PeerAddress) -> Node | None:
        """Return the node at ``entry``; ``None`` where neither name nor address is known.

        Raises:
            ValueError: The entry holds what can't be a host.
        """
        host = self._host(entry) if self.basename else None
        if host is None and entry.port is None:
            return None
        return Node(
            name=f"{self.basename}@{host}" if host else None,
            address=join_address(entry.ip, entry.port) if entry.port is not None else None,
        )

    def _host(self, entry: PeerAddress) -> str | None:
        match self.mode:
            case "ip":
                return entry.ip
            case "dns":
                dashed = entry.ip.replace(".", "-").replace(":", "-")
                return f"{dashed}.{entry.namespace}.pod.{self.domain}"
            case "hostname":
                return (
                    f"{entry.hostname}.{self.service}.{entry.namespace}.svc.{self.domain}"
                    if entry.hostname
                    else None
                )
