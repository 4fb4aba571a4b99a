"""Makes several Socket.IO servers act as one, over the links of a cluster_kit cluster."""

from cluster_kit_socketio.manager import ClusterManager

__all__ = ["ClusterManager"]
