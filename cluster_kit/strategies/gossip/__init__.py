"""Strategy ``gossip``: nodes of one network find each other by UDP multicast.

``engine`` explains the protocol, and decides what to send and what to believe. Where the cluster
has a secret, ``sealed`` wraps it and lets in only what has proved to be live. Without a secret,
datagrams are neither sealed nor authenticated: gossip on loopback then, or on a network that you
trust. ``session`` connects these to the network, on the interface that ``group`` chooses, and
``diagnosis`` finds out why nobody is heard. All but the options are loaded when the strategy runs,
since the application imports it too.

Source: libcluster ``Cluster.Strategy.Gossip``, lib/strategy/gossip.ex.
Differs: a goodbye and a time to live, so that nodes also leave; each process is answered at a
socket of its own; the default group is that of libcluster before 3.3. Sealed datagrams are
authentic and can't be replayed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cluster_kit.abc import Discovery, Observation
from cluster_kit.host import is_loopback, is_unspecified, is_v6
from cluster_kit.strategies.gossip.options import GROUP_V4, NO_LOOPBACK, GossipOptions

if TYPE_CHECKING:
    from cluster_kit.diagnosis import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipStrategy(GossipOptions):
    """Multicasts a heartbeat, and vouches for those whose heartbeats it hears."""

    announces: ClassVar[bool] = True
    needs_secret: ClassVar[bool] = True

    def serves_on(self, host: str) -> str:
        """Return the address in use that the most other machines can reach.

        Raises:
            ValueError: It can't be used for multicast.
        """
        sending = self.multicast_if or host
        v6 = is_v6(sending if self.multicast_addr == GROUP_V4 else self.multicast_addr)
        if v6 and is_loopback(sending):
            raise ValueError(f"{sending!r}: {NO_LOOPBACK}")
        used = [
            sending,
            *([] if is_unspecified(self.if_addr) else [self.if_addr]),
            *([self.multicast_addr] * self.broadcast_only),
        ]
        return next((address for address in used if not is_loopback(address)), sending)

    def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Gossip until closed, then say goodbye."""
        from cluster_kit.strategies.gossip.session import GossipSession

        return GossipSession(self, ctx).observe()

    def diagnose(self, ctx: Discovery) -> AsyncIterator[Finding]:
        """Check interface and port, listen for ourselves and for two heartbeats of each node."""
        from cluster_kit.strategies.gossip.diagnosis import diagnose

        return diagnose(self, ctx)
