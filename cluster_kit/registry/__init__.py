"""``RegistryStrategy``: nodes that meet in a store with expiring keys, such as Redis or etcd.

Each node keeps one entry in the store, renews it periodically, and reads those of the others.
``entry`` has the format of an entry, ``run`` does the work. This module has the contract alone and
loads the rest on use, since applications import it, too.
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

    ``put`` and ``values`` raise ``DiscoveryError``, ``OSError`` or ``TimeoutError`` if the store
    can't be used, which becomes ``Failed``. A call that takes longer than a third of ``ttl_s`` is
    cancelled; run blocking calls in a thread.

    A node that leaves writes a last entry that says so. A missing entry means nothing, as the store
    may have lost it: a node is forgotten ``ttl_s`` seconds after its last renewal was seen, even if
    the store never expires entries.
    """

    announces: ClassVar[bool] = True

    interval_s: float = 2.0
    """Seconds between two reads; before each, this node's entry is renewed."""
    ttl_s: float = 10.0
    """Seconds for which an entry is valid after its renewal; at least three intervals."""
    jitter: ClassVar[float] = 0.1
    """Fraction of the interval by which each wait varies, so that nodes don't read in step."""

    def __post_init__(self) -> None:
        """Check the options of a subclass that is a dataclass."""
        if not 0 < self.interval_s * 3 <= self.ttl_s <= MAX_TTL_S:
            least = f"at least three times interval_s, which is {self.interval_s:g}"
            what = f"invalid value {self.ttl_s:g}: expected {least}, and at most {MAX_TTL_S:g}"
            raise ConfigError(Fault(("ttl_s",), what))

    @abstractmethod
    async def put(self, key: str, value: str, ttl_s: float) -> None:
        """Write ``value`` under ``key``, to expire in ``ttl_s`` seconds.

        A key consists of URL-safe words, separated by ``/``. If the store can't expire entries,
        this method should remove old ones.
        """

    @abstractmethod
    async def values(self, prefix: str) -> Iterable[str | bytes]:
        """Return the values of all keys that begin with ``prefix``, in any order.

        It may return more: values that aren't entries of this cluster and group are ignored.
        """

    def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Renew and read periodically, and when this node changes; say goodbye when closed."""
        from cluster_kit.registry.run import Run

        return Run(self, ctx).observe()

    def diagnose(self, ctx: Discovery) -> AsyncIterator[Finding]:
        """Read the store once, and report which other nodes are there."""
        from cluster_kit.registry.run import Run

        return Run(self, ctx).diagnose()
