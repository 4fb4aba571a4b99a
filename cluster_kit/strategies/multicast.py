"""What gossip and mdns have in common: why multicast doesn't work, or reaches only others. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cluster_kit.fault import Fault

if TYPE_CHECKING:
    from cluster_kit.netdevice import NetDevice
    from cluster_kit.network import Interface

_SHOWN = 3


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


def only_others(cures: Mapping[str, str]) -> str:
    """Return why no node is found where others are heard: the first few, each with its cure."""
    shown = sorted(cures.items())[:_SHOWN]
    return "only foreign senders: " + "; ".join(f"{who}: {cure}" for who, cure in shown)
