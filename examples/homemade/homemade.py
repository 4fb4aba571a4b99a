"""A strategy and a topology of one's own, configured as ``homemade:Class`` without any plugin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cluster_kit import Discovery, DiscoveryError, Node, PollingStrategy, Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneBook(PollingStrategy):
    """Read a file with ``name@host address`` on each line; the fields are the options."""

    path: Path
    interval_s: float = 1.0

    async def poll(self, ctx: Discovery) -> frozenset[Node]:
        """Return everybody in the book; one that can't be read says nothing about anybody."""
        try:
            return frozenset(Node(*line.split()) for line in self.path.read_text().splitlines())
        except (OSError, TypeError, ValueError) as exc:
            raise DiscoveryError(f"phone book: cannot read {str(self.path)!r}: {exc}") from exc


class Chain(Topology):
    """Link each node to its neighbours in the order of names: a - b - c."""

    def select(self, local: Node, known: frozenset[Node]) -> frozenset[Node]:
        """Return the neighbours."""
        everybody = sorted([local, *known], key=lambda node: node.key)
        place = everybody.index(local)
        return frozenset(everybody[max(0, place - 1) : place + 2]) - {local}

    def most_links(self) -> int:
        """Return how many neighbours there can be."""
        return 2
