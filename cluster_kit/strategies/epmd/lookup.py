"""What the strategies ``epmd``, ``local_epmd`` and ``erlang_hosts`` do with their options."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cluster_kit.abc import Discovery, Observation
from cluster_kit.strategies.epmd.options import EpmdOptions

if TYPE_CHECKING:
    from cluster_kit.diagnosis import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class EpmdLookup(EpmdOptions):
    """Asks EPMDs for nodes, and registers this node at the one of its own host."""

    announces: ClassVar[bool] = True

    def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Look up and stay registered until closed."""
        from cluster_kit.strategies.epmd.session import EpmdSession

        return EpmdSession(self, ctx).observe()

    def diagnose(self, ctx: Discovery) -> AsyncIterator[Finding]:
        """Ask each EPMD, and look for each name."""
        from cluster_kit.strategies.epmd.diagnosis import diagnose

        return diagnose(self, ctx)
