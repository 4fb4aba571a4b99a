"""``TopologyConformance``: the laws of ``cluster_kit.abc.Topology``, one test each, for clusters of several sizes."""

from __future__ import annotations

import pytest

from cluster_kit.abc import Topology
from cluster_kit.node import Node

SIZES = (1, 2, 3, 4, 5, 8, 13, 40)


class TopologyConformance:
    """Subclass it as ``Test...`` and override the fixture ``topology``.

    Override ``make_node`` as well where the choice depends on metadata.
    """

    @pytest.fixture
    def topology(self) -> Topology:
        """Return a configured instance."""
        raise NotImplementedError("override the fixture 'topology'")

    def make_node(self, number: int) -> Node:
        """Return the node with this number; its name sorts unlike the number."""
        return Node(name=f"node{number * 7919 % 1000}@10.0.0.{number}", address=f"10.0.0.{number}:4370")

    @pytest.fixture(params=SIZES)
    def nodes(self, request: pytest.FixtureRequest) -> frozenset[Node]:
        """All nodes of a cluster; each knows all the others."""
        return frozenset(self.make_node(number) for number in range(request.param))

    def test_selects_only_known_nodes(self, topology: Topology, nodes: frozenset[Node]) -> None:
        """What it selects is a subset of the roster, so never the node itself."""
        for local in nodes:
            assert topology.select(local, nodes - {local}) <= nodes - {local}

    def test_same_roster_gives_the_same_answer(self, topology: Topology, nodes: frozenset[Node]) -> None:
        """It remembers nothing: other questions in between change no answer."""
        first = _links(topology, nodes)
        for size in range(len(nodes)):
            _links(topology, frozenset(sorted(nodes, key=str)[:size]))
        assert _links(topology, nodes) == first

    def test_links_are_mutual(self, topology: Topology, nodes: frozenset[Node]) -> None:
        """A node selects another if and only if that one selects it."""
        links = _links(topology, nodes)
        one_sided = sorted(f"{one}->{other}" for one in nodes for other in links[one] if one not in links[other])
        assert not one_sided

    def test_links_connect_the_cluster(self, topology: Topology, nodes: frozenset[Node]) -> None:
        """From any node every other can be reached over links."""
        links = _links(topology, nodes)
        reached: set[Node] = set()
        to_visit = set(sorted(nodes, key=str)[:1])
        while to_visit:
            node = to_visit.pop()
            reached.add(node)
            to_visit |= links[node] - reached
        assert reached == nodes

    def test_keeps_its_promise_of_most_links(self, topology: Topology, nodes: frozenset[Node]) -> None:
        """``wait_for`` refuses at once to wait for more links than ``most_links`` allows."""
        most = topology.most_links()
        assert most is None or all(len(peers) <= most for peers in _links(topology, nodes).values())

    def test_takes_a_node_that_is_known_by_address_only(self, topology: Topology, nodes: frozenset[Node]) -> None:
        """Discovery by DNS, or of a bare ``host:port``, learns names late."""
        local = self.make_node(len(nodes))
        known = nodes | {Node(address="10.0.1.1:4370")}
        assert topology.select(local, known) <= known


def _links(topology: Topology, nodes: frozenset[Node]) -> dict[Node, frozenset[Node]]:
    return {local: topology.select(local, nodes - {local}) for local in nodes}
