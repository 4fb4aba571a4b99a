"""Why gossip could not use the network, and the cures. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from cluster_kit.diagnosis import SourceFault
from cluster_kit.errors import NetworkError, NetworkFault
from cluster_kit.network import Group
from cluster_kit.node import join_address

_Causes = Mapping[NetworkFault, tuple[str, str]]

_JOINING: _Causes = {
    NetworkFault.IN_USE: (
        "the port is in use by a program that doesn't share it",
        "stop that, or choose another port on all nodes",
    ),
    NetworkFault.FORBIDDEN: ("no permission", "choose a port above 1023, on all nodes"),
    NetworkFault.NOT_OURS: (
        "no interface of this machine has that address",
        "correct the host in the node's name, or multicast_if, if_addr or the broadcast address",
    ),
    NetworkFault.UNSUPPORTED: ("this machine has no IPv6", "use a host with an IPv4 address"),
}

_INTERFACE_GONE = ("its interface is down or gone", "bring it back")
_SENDING: _Causes = {
    NetworkFault.FORBIDDEN: ("a firewall forbids it", "allow UDP to that port"),
    NetworkFault.UNREACHABLE: _INTERFACE_GONE,
    NetworkFault.DOWN: _INTERFACE_GONE,
    NetworkFault.NOT_OURS: _INTERFACE_GONE,
}
_BROADCASTING: _Causes = {
    **_SENDING,
    NetworkFault.FORBIDDEN: (
        "a firewall forbids it, or it is no broadcast address of this network",
        "allow UDP to that port, or correct multicast_addr",
    ),
}


def not_joined(group: Group, error: NetworkError) -> SourceFault:
    """Return why a group can't be joined."""
    return _fault("cannot use", group, error, _JOINING)


def not_sent(group: Group, error: NetworkError) -> SourceFault:
    """Return why nothing can be sent to a group."""
    return _fault("cannot send to", group, error, _BROADCASTING if group.is_broadcast else _SENDING)


def _fault(what: str, group: Group, error: NetworkError, causes: _Causes) -> SourceFault:
    cause, cure = causes.get(error.fault, (str(error), ""))
    address = join_address(group.address, group.port)
    return SourceFault(f"{what} {address} on {group.via.partition('%')[0]!r}", cause, cure)
