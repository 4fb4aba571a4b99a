"""``TopologyConformance``: the laws of ``cluster_kit.abc.Topology``, one test each, for clusters of
several sizes.
"""

from __future__ import annotations

import time

import pytest

from cluster_kit.abc import Topology
from cluster_kit.node import Node
from cluster_kit.testing.blocking import starved_s
from cluster_kit.testing.processes.selections import Selections, selections, selections_elsewhere
from cluster_kit.testing.rules import contract

# what is right in a small cluster may fall apart in a large one
SIZES = (1, 2, 3, 4, 5, 8, 13, 40, 200)
LARGE = 3_000  # what is quadratic shows here
DEAR_S = 0.2  # for one selection in a large cluster
TRIES = 3  # what is dear is so each time

PURE = "a pure function, the same answer for the same roster"
MUTUAL = (
    "``b in select(a)`` if and only if ``a in select(b)`` on equal rosters; all links together "
    "connect the cluster."
)


class TopologyConformance:
    """Subclass it as ``Test...`` and override the fixture ``topology``.

    Override ``make_node`` as well where the choice depends on metadata.
    """

    chooses_by_name: bool = True
    """False for a topology that can choose among nodes of which only the address is known: it
    needn't select them all.
    """

    @pytest.fixture
    def topology(self) -> Topology:
        """Return a configured instance, of a class at the top of a module: another process builds
        it from its options, too.
        """
        raise NotImplementedError("override the fixture 'topology'")

    def make_node(self, number: int) -> Node:
        """Return the node with this number; its name sorts unlike the number.

        An override gives each number another name, the same one each time, and metadata of each
        kind that matters in clusters of one node and more.
        """
        name = f"node{number * 7919 % 1000}@10.0.{number // 250}.{number % 250}"
        return Node(
            name=name, address=f"10.0.0.1:{number + 4370}", metadata={"number": str(number)}
        )

    @pytest.fixture(params=SIZES)
    def nodes(self, request: pytest.FixtureRequest) -> frozenset[Node]:
        """All nodes of a cluster; each knows all the others."""
        return self._cluster(request.param)

    def _cluster(self, size: int) -> frozenset[Node]:
        return frozenset(self.make_node(number) for number in range(size))

    @contract("Return the subset of ``known`` to link to; ``known`` never contains ``local``.")
    def test_selects_only_known_nodes(self, topology: Topology, nodes: frozenset[Node]) -> None:
        """What it selects is a subset of the roster, so never the node itself."""
        for local in sorted(nodes, key=str):
            unknown = topology.select(local, nodes - {local}) - (nodes - {local})
            assert not unknown, (
                f"{local} selects {_keys(unknown)}, and knows {_keys(nodes - {local})}"
            )

    @contract(PURE)
    def test_same_roster_gives_the_same_answer(
        self, topology: Topology, nodes: frozenset[Node]
    ) -> None:
        """It remembers nothing: other questions in between change no answer."""
        first = selections(topology, [nodes])
        selections(
            topology,
            [frozenset(sorted(nodes, key=str)[:size]) for size in SIZES if size < len(nodes)],
        )
        differing = _difference(first, selections(topology, [nodes]))
        assert not differing, f"asked again, {differing}"

    @contract(PURE)
    def test_every_process_gives_the_same_answer(self, topology: Topology) -> None:
        """Every node does the sum for itself: what follows from ``hash()``, or the order of a set,
        differs in each process.
        """
        differing = self._difference_elsewhere(topology, hash_seed=2, is_remote=False)
        assert not differing, (
            f"PYTHONHASHSEED is 1 in one process and 2 in another, and {differing}: hash() or a "
            "set's order?"
        )

    @contract(PURE)
    def test_every_machine_gives_the_same_answer_at_any_time(self, topology: Topology) -> None:
        """Every node does the sum for itself: clocks and the name of the host differ on each
        machine.
        """
        differing = self._difference_elsewhere(topology, hash_seed=1, is_remote=True)
        assert not differing, (
            f"on another machine, at another time, {differing}: is it the clock, or the host's "
            "name?"
        )

    def _difference_elsewhere(
        self, topology: Topology, *, hash_seed: int, is_remote: bool
    ) -> str | None:
        rosters = [self._cluster(size) for size in SIZES]
        try:
            first = selections_elsewhere(topology, rosters, hash_seed=1, is_remote=False)
            second = selections_elsewhere(
                topology, rosters, hash_seed=hash_seed, is_remote=is_remote
            )
        except LookupError as exc:
            pytest.skip(str(exc))
        return _difference(first, second)

    @contract(MUTUAL)
    def test_links_are_mutual(self, topology: Topology, nodes: frozenset[Node]) -> None:
        """A node selects another if and only if that one selects it."""
        links = _links(topology, nodes)
        one_sided = sorted(
            f"{one}->{other}"
            for one in nodes
            for other in links[one]
            if one not in links.get(other, ())
        )
        assert not one_sided, (
            f"of {len(nodes)} nodes these select who doesn't select them: {', '.join(one_sided)}"
        )

    @contract(MUTUAL)
    def test_links_connect_the_cluster(self, topology: Topology, nodes: frozenset[Node]) -> None:
        """From any node every other can be reached over links."""
        links = _links(topology, nodes)
        reached: set[Node] = set()
        to_visit = set(sorted(nodes, key=str)[:1])
        while to_visit:
            node = to_visit.pop()
            reached.add(node)
            to_visit |= links[node] - reached
        assert reached == nodes, f"no way leads from {_keys(nodes)[0]} to {_keys(nodes - reached)}"

    @contract("Return how many named nodes ``select`` picks at most, ``None`` if there is no bound")
    def test_keeps_its_promise_of_most_links(
        self, topology: Topology, nodes: frozenset[Node]
    ) -> None:
        """``wait_for`` refuses at once to wait for more links than ``most_links`` allows."""
        most = topology.most_links()
        more = {
            node.key: len(peers)
            for node, peers in _links(topology, nodes).items()
            if most is not None and len(peers) > most
        }
        assert not more, (
            f"most_links() is {most}, and of {len(nodes)} nodes these have more: {more}"
        )

    @contract(
        "A link to it is the only way to learn its name, so a topology that chooses by name "
        "selects all of these."
    )
    def test_takes_a_node_that_is_known_by_address_only(
        self, topology: Topology, nodes: frozenset[Node]
    ) -> None:
        """Discovery by DNS, or of a bare ``host:port``, learns names late."""
        local = self.make_node(len(nodes))
        unnamed = frozenset({Node(address="10.0.1.1:4370"), Node(address="10.0.1.2:4370")})
        known = nodes | unnamed
        selected = topology.select(local, known)
        assert selected <= known, (
            f"{local} selects {_keys(selected - known)}, and knows {_keys(known)}"
        )
        if self.chooses_by_name:
            left_out = _keys(unnamed - selected)
            assert not left_out, (
                f"{local} selects {_keys(selected)}, so it never learns the names of {left_out}"
            )

    @contract("It runs over the whole roster at each change, so it is cheap")
    def test_is_cheap_in_a_large_cluster(self, topology: Topology) -> None:
        """The event loop waits for it, and with it the heartbeats of all links."""
        local, known = self.make_node(LARGE), self._cluster(LARGE)
        least_s = min(_selecting_s(topology, local, known - {local}) for _ in range(TRIES))
        assert least_s < DEAR_S, f"select among {len(known)} nodes took {least_s:.2f} s"


def _links(topology: Topology, nodes: frozenset[Node]) -> dict[Node, frozenset[Node]]:
    return {local: topology.select(local, nodes - {local}) for local in nodes}


def _keys(nodes: frozenset[Node]) -> list[str]:
    return sorted(node.key for node in nodes)


def _difference(first: Selections, second: Selections) -> str | None:
    """Say where two answers differ first."""
    for one, other in zip(first, second, strict=True):
        for key, selected in one.items():
            if selected != other[key]:
                return f"of {len(one)} nodes, {key} selects {selected} and then {other[key]}"
    return None


def _selecting_s(topology: Topology, local: Node, known: frozenset[Node]) -> float:
    """Return for how long an event loop would stand still, without the time during which the
    machine ran something else.
    """
    began_s, waited_s = time.monotonic(), starved_s()
    topology.select(local, known)
    return time.monotonic() - began_s - (starved_s() - waited_s)
