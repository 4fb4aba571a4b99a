"""Link all nodes to the hubs, and the hubs to each other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cluster_kit.abc import Topology
from cluster_kit.errors import raise_all
from cluster_kit.fault import Fault
from cluster_kit.node import Node, canonical_name
from cluster_kit.topologies.circle import unnamed


@dataclass(frozen=True, slots=True, kw_only=True)
class StarTopology(Topology):
    """Hubs are linked to all nodes; the other nodes, the spokes, are linked to the hubs only.

    If no hub is known, the node with the lowest name is the hub. A hub knows that it is one and
    dials all nodes, so spokes learn its tags over that link if their source does not give them.
    Nodes without a known name are selected as well, until their name is learned. Any
    spoke may have to be the hub one day, so the number of links has no bound.

    Args:
        hubs: The names of hubs.
        metadata: A node that carries all of these tags is a hub, too.
    """

    hubs: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        raise_all([*_faults_of_hubs(self.hubs), *_faults_of_metadata(self.metadata)])
        object.__setattr__(self, "hubs", tuple(map(canonical_name, self.hubs)))

    def select(self, local: Node, known: frozenset[Node]) -> frozenset[Node]:
        """Return all nodes for a hub, the hubs for a spoke."""
        hubs = self._hubs([local, *(node for node in known if node.name is not None)])
        return known if local in hubs else hubs | unnamed(known)

    def _hubs(self, nodes: Collection[Node]) -> frozenset[Node]:
        hubs = frozenset(filter(self._is_hub, nodes))
        return hubs or frozenset([min(nodes, key=lambda node: node.key)])

    def _is_hub(self, node: Node) -> bool:
        if node.name in self.hubs:
            return True
        return bool(self.metadata) and self.metadata.items() <= node.metadata.items()


def _faults_of_hubs(hubs: Iterable[str]) -> Iterator[Fault]:
    for index, hub in enumerate(hubs):
        try:
            Node(name=hub)
        except ValueError:
            what = f"{hub!r} is not the name of a node: expected basename@host"
            yield Fault(("hubs", index), what, "copy it from 'node' in that node's configuration")


def _faults_of_metadata(metadata: Mapping[str, str]) -> Iterator[Fault]:
    try:
        Node(name="hub@there", metadata=metadata)
    except ValueError as exc:
        yield Fault(("metadata",), f"no node can carry it: {exc}")
