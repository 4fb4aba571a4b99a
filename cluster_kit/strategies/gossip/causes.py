"""Why the network could not be used for gossip, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping

from cluster_kit.errors import DiscoveryError, NetworkError, NetworkFault
from cluster_kit.network import Group
from cluster_kit.node import join_address

_JOIN_CURES = {
    NetworkFault.IN_USE: (
        "the port is in use by a program that doesn't share it; stop that, or choose another port on all nodes"
    ),
    NetworkFault.FORBIDDEN: "no permission; choose a port above 1023, on all nodes",
    NetworkFault.NOT_OURS: (
        "no interface of this machine has that address; correct the host in the node's name, or multicast_if, if_addr "
        "or the broadcast address"
    ),
    NetworkFault.UNSUPPORTED: "this machine has no IPv6; use a host with an IPv4 address",
}

_INTERFACE_GONE = "its interface is down or gone; bring it back"
_SEND_CURES = {
    NetworkFault.FORBIDDEN: "a firewall forbids it; allow UDP to that port",
    NetworkFault.UNREACHABLE: _INTERFACE_GONE,
    NetworkFault.DOWN: _INTERFACE_GONE,
    NetworkFault.NOT_OURS: _INTERFACE_GONE,
}
_BROADCAST_CURES = _SEND_CURES | {
    NetworkFault.FORBIDDEN: (
        "a firewall forbids it, or it is no broadcast address of this network; allow UDP to that port, or "
        "correct multicast_addr"
    ),
}


def not_joined(group: Group, error: NetworkError) -> DiscoveryError:
    """Return what to say when a group can't be joined."""
    return _told("use", group, error, _JOIN_CURES)


def not_sent(group: Group, error: NetworkError) -> DiscoveryError:
    """Return what to say when nothing can be sent to a group."""
    return _told("send to", group, error, _BROADCAST_CURES if group.is_broadcast else _SEND_CURES)


def _told(
    doing: str, group: Group, error: NetworkError, cures: Mapping[NetworkFault, str]
) -> DiscoveryError:
    whom = join_address(group.address, group.port)
    why = cures.get(error.fault, str(error))
    return DiscoveryError(
        f"gossip: cannot {doing} {whom} on {group.via.partition('%')[0]!r}: {why}; trying again",
        strategy="gossip",
    )
