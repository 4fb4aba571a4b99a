"""Which network interfaces can carry multicast, and the cures for those that can't. Pure.

Gossip and mdns share it, although they learn about interfaces in different ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster_kit.fault import Fault

if TYPE_CHECKING:
    from cluster_kit.netdevice import NetDevice
    from cluster_kit.network import Interface


def why_unusable(
    interface: Interface | NetDevice, *, multicast: bool = True, instead: str = ""
) -> Fault | None:
    """Return why nothing can be sent or received there; ``None`` if it looks usable.

    Args:
        interface: The interface.
        multicast: Whether it has to carry multicast.
        instead: What else to do if it doesn't.
    """
    name = interface.name
    if not interface.is_up:
        what, cure = "it is down", f"bring it up: ip link set {name} up"
    elif not interface.has_carrier:
        what, cure = "it has no carrier", "plug in its cable, or start what is at its other end"
    elif multicast and not (interface.has_multicast or interface.is_loopback):
        what = "it carries no multicast"
        cure = f"allow it: ip link set {name} multicast on; or {instead}use another strategy"
    else:
        return None
    return Fault((), what, cure, place=f"interface {name}")
