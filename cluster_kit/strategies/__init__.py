"""The built-in strategies: one file or folder each, named as in a configuration."""

from __future__ import annotations

from collections.abc import Mapping

from cluster_kit.hookspecs import hookimpl


@hookimpl
def cluster_kit_strategies() -> Mapping[str, str]:
    """Offer the built-in strategies."""
    return {
        "static": "cluster_kit.strategies.static:StaticStrategy",
        "hosts_file": "cluster_kit.strategies.hosts_file:HostsFileStrategy",
        "gossip": "cluster_kit.strategies.gossip:GossipStrategy",
        "kubernetes": "cluster_kit.strategies.kubernetes:KubernetesStrategy",
        "dns": "cluster_kit.strategies.dns:DnsStrategy",
        "dns_srv": "cluster_kit.strategies.dns_srv:DnsSrvStrategy",
        "kubernetes_dns": "cluster_kit.strategies.kubernetes_dns:KubernetesDnsStrategy",
        "kubernetes_dns_srv": "cluster_kit.strategies.kubernetes_dns_srv:KubernetesDnsSrvStrategy",
        "mdns": "cluster_kit.strategies.mdns:MdnsStrategy",
        "epmd": "cluster_kit.strategies.epmd:EpmdStrategy",
        "local_epmd": "cluster_kit.strategies.local_epmd:LocalEpmdStrategy",
        "erlang_hosts": "cluster_kit.strategies.erlang_hosts:ErlangHostsStrategy",
    }
