"""A channel layer for Django Channels, over the links of a cluster_kit cluster."""

from cluster_kit_channels.layer import ClusterChannelLayer

__all__ = ["ClusterChannelLayer"]
