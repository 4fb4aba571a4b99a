"""``RegistryStrategy``: nodes that meet in a store with expiring keys, such as Redis or etcd.

Each node keeps one entry there, renews it at each look, and reads those of the others. ``entry`` is
what is written, ``run`` does the work. This module declares the contract and loads the rest when it
runs, since applications import it, too.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, ClassVar

from cluster_kit.abc import Discovery, Observation, Strategy
from cluster_kit.errors import ConfigError
from cluster_kit.fault import Fault

if TYPE_CHECKING:
    from cluster_kit.diagnosis import Finding

MAX_TTL_S = 86_400.0


class RegistryStrategy(Strategy):
    """Announces this node in a store, and finds others there; a subclass reads and writes it.

    ``put`` and ``values`` raise ``DiscoveryError``, ``OSError`` or ``TimeoutError`` where the store
    can't be used, which becomes ``Failed``. A call that takes longer than a third of ``ttl_s`` is
    cancelled; one that blocks belongs in a thread.

    A goodbye is a last entry that says so. An entry that is absent means nothing, as the store may
    have lost it: a node is forgotten ``ttl_s`` seconds after its last renewal was seen, also where
    the store doesn't expire anything itself.
    """

    announces: ClassVar[bool] = True

    interval_s: float = 2.0
    """Seconds between two looks; each look renews this node's entry."""
    ttl_s: float = 10.0
    """For how long an entry counts after it was renewed; at least three intervals."""
    jitter: ClassVar[float] = 0.1
    """Fraction of the interval by which each wait varies, so that nodes don't look in step."""

    def __post_init__(self) -> None:
        """Check the options of a subclass that is a dataclass."""
        if not 0 < self.interval_s * 3 <= self.ttl_s <= MAX_TTL_S:
            at_least = f"at least three times interval_s, which is {self.interval_s:g}"
            what = f"invalid value {self.ttl_s:g}: expected {at_least}, and at most {MAX_TTL_S:g}"
            raise ConfigError(Fault(("ttl_s",), what))

    @abstractmethod
    async def put(self, key: str, value: str, ttl_s: float) -> None:
        """Write ``value`` under ``key``, and have it expire in ``ttl_s`` seconds.

        A key is made of URL-safe words with ``/`` between them. A store that can't forget removes
        old entries here.
        """

    @abstractmethod
    async def values(self, prefix: str) -> Iterable[str | bytes]:
        """Return the values of all keys that begin with ``prefix``, in any order.

        What is no entry of this cluster and group is ignored, so it may return more than that.
        """

    def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Renew and read periodically, and when this node changes; say goodbye when closed."""
        from cluster_kit.registry.run import Run

        return Run(self, ctx).observe()

    def diagnose(self, ctx: Discovery) -> AsyncIterator[Finding]:
        """Read the store once, and report which other nodes are there."""
        from cluster_kit.registry.run import Run

        return Run(self, ctx).diagnose()
