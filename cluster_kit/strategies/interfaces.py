"""Which network interfaces can carry multicast, and the cures for those that can't. Pure.

Gossip and mdns share it, whichever way they learn about interfaces.
"""

from __future__ import annotations

from typing import Protocol

from cluster_kit.diagnosis import SourceFault


class Device(Protocol):
    """A network interface: ``network.Interface`` or ``netdevice.NetDevice``."""

    @property
    def name(self) -> str:
        """Such as ``eth0``."""

    @property
    def is_up(self) -> bool:
        """Whether it is switched on."""

    @property
    def has_carrier(self) -> bool:
        """Whether the other end is connected."""

    @property
    def is_loopback(self) -> bool:
        """Whether it never leaves this machine."""

    @property
    def has_multicast(self) -> bool:
        """Whether it carries multicast by its flags."""


def why_unusable(
    device: Device, *, multicast: bool = True, instead: str = ""
) -> SourceFault | None:
    """Return why nothing can be sent or heard there; ``None`` where nothing speaks against it.

    Args:
        device: The interface.
        multicast: Whether it has to carry multicast.
        instead: What else to do where it doesn't.
    """
    name = device.name
    where = f"interface {name}"
    if not device.is_up:
        return SourceFault(where, "it is down", f"bring it up: ip link set {name} up")
    if not device.has_carrier:
        cure = "plug in its cable, or start what is at its other end"
        return SourceFault(where, "it has no carrier", cure)
    if multicast and not (device.has_multicast or device.is_loopback):
        cure = f"allow it: ip link set {name} multicast on; or {instead}use another strategy"
        return SourceFault(where, "it carries no multicast", cure)
    return None
