"""Strategy ``mdns``: nodes of one network find each other as DNS-SD services, by multicast DNS.

``records`` encodes what a node announces, ``browser`` decides what to ask and what to believe,
``hosts`` keeps addresses, ``interfaces`` chooses where to speak, ``responder`` wraps zeroconf, and
``session`` connects these; ``diagnosis`` finds out why nobody is found. All but the options are
loaded when the strategy runs, since the application imports it too. Multicast DNS is neither sealed
nor authenticated: use it on loopback, or on a network that you trust.

Source: RFC 6762 (multicast DNS), RFC 6763 (DNS-based service discovery).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cluster_kit.abc import Discovery, Observation
from cluster_kit.host import is_loopback
from cluster_kit.strategies.mdns.options import LOOPBACK, MdnsOptions

if TYPE_CHECKING:
    from cluster_kit.diagnosis import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class MdnsStrategy(MdnsOptions):
    """Registers this node as a service, and vouches for those that are registered."""

    announces: ClassVar[bool] = True

    def serves_on(self, host: str) -> str:
        """Return the interface in use, by address or name, that most other machines can reach."""
        used = ["127.0.0.1" if each == LOOPBACK else each for each in self.interfaces or (host,)]
        return next((each for each in used if not is_loopback(each)), used[0])

    def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Register and browse until closed, then say goodbye."""
        from cluster_kit.strategies.mdns.session import MdnsSession

        return MdnsSession(self, ctx).observe()

    def diagnose(self, ctx: Discovery) -> AsyncIterator[Finding]:
        """Check interfaces and port, listen for ourselves, ask who is there."""
        from cluster_kit.strategies.mdns.diagnosis import diagnose

        return diagnose(self, ctx)
