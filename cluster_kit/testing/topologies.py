"""``TopologyConformance``: the rules of ``cluster_kit.abc.Topology``, for clusters of all sizes."""

from __future__ import annotations

import time

import pytest

from cluster_kit.abc import Topology
from cluster_kit.node import Node
from cluster_kit.testing.blocking import starved_s
from cluster_kit.testing.processes.selections import Selections, selections, selections_elsewhere
from cluster_kit.testing.rules import contract

SIZES = (1, 2, 3, 4, 5, 8, 13, 40, 200)
LARGE = 3_000  # enough for a quadratic algorithm to show
SLOW_S = 0.2  # for one selection in a large cluster
TRIES = 3  # the fastest one counts, since the machine may be busy

PURE = "a pure function, the same answer for the same roster"
MUTUAL = (
    "``b in select(a)`` if and only if ``a in select(b)`` on equal rosters; all links together "
    "connect the cluster."
)


class TopologyConformance:
    """Subclass it as ``Test...`` and override the fixture ``topology``.

    Override ``make_node`` as well if the topology depends on metadata.
    """

    chooses_by_name: bool = True
    """False for a topology that can choose among nodes known by address only."""

    @pytest.fixture
    def topology(self) -> Topology:
        """Return a configured instance of a class at the top level of a module.

        Another process builds the same from its options.
        """
        raise NotImplementedError("override the fixture 'topology'")

    def make_node(self, number: int) -> Node:
        """Return the node with this number; the order of names is not that of the numbers.

        An override returns a different name for each number, always the same one, and all kinds of
        metadata that matter, even in small clusters.
        """
        name = f"node{number * 7919 % 1000}@10.0.{number // 250}.{number % 250}"
        return Node(
            name=name, address=f"10.0.0.1:{number + 4370}", metadata={"number": str(number)}
        )

    @pytest.fixture(params=SIZES)
    def nodes(self, request: pytest.FixtureRequest) -> frozenset[Node]:
        """Return all nodes of a cluster; each knows all others."""
        return self._cluster(request.param)

    def _cluster(self, size: int) -> frozenset[Node]:
        return frozenset(self.make_node(number) for number in range(size))

    @contract("Return the subset of ``known`` to link to; ``known`` never contains ``local``.")
    def test_selects_only_known_nodes(self, topology: Topology, nodes: frozenset[Node]) -> None:
        """The selection is a subset of the roster, so it never contains the node itself."""
        for local in sorted(nodes, key=str):
            unknown = topology.select(local, nodes - {local}) - (nodes - {local})
            assert not unknown, (
                f"{local} selects {_keys(unknown)}, and knows only {_keys(nodes - {local})}"
            )

    @contract(PURE)
    def test_same_roster_gives_the_same_answer(
        self, topology: Topology, nodes: frozenset[Node]
    ) -> None:
        """A topology has no memory: other calls in between change no answer."""
        first = selections(topology, [nodes])
        selections(
            topology,
            [frozenset(sorted(nodes, key=str)[:size]) for size in SIZES if size < len(nodes)],
        )
        differing = _difference(first, selections(topology, [nodes]))
        assert not differing, f"after other calls the answer changes: {differing}"

    @contract(PURE)
    def test_every_process_gives_the_same_answer(self, topology: Topology) -> None:
        """Every node selects for itself, so all processes must agree.

        An answer that depends on ``hash()``, or on the order of a set, differs between processes.
        """
        differing = self._difference_elsewhere(topology, hash_seed=2, is_remote=False)
        assert not differing, (
            f"processes with PYTHONHASHSEED 1 and 2 disagree: {differing}; does the answer depend "
            "on hash() or on the order of a set?"
        )

    @contract(PURE)
    def test_every_machine_gives_the_same_answer_at_any_time(self, topology: Topology) -> None:
        """Every node selects for itself, with its own clock and host name."""
        differing = self._difference_elsewhere(topology, hash_seed=1, is_remote=True)
        assert not differing, (
            f"two machines at different times disagree: {differing}; does the answer depend on the "
            "clock or on the host name?"
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
        assert not one_sided, f"one-sided links among {len(nodes)} nodes: {', '.join(one_sided)}"

    @contract(MUTUAL)
    def test_links_connect_the_cluster(self, topology: Topology, nodes: frozenset[Node]) -> None:
        """Every node can be reached from every other over links."""
        links = _links(topology, nodes)
        reached: set[Node] = set()
        to_visit = set(sorted(nodes, key=str)[:1])
        while to_visit:
            node = to_visit.pop()
            reached.add(node)
            to_visit |= links[node] - reached
        assert reached == nodes, f"no path leads from {_keys(nodes)[0]} to {_keys(nodes - reached)}"

    @contract("Return the most named nodes that ``select`` can pick; ``None`` if there is no bound")
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
            f"most_links() is {most}, and {len(more)} of {len(nodes)} have more: {more}"
        )

    @contract(
        "A link to it is the only way to learn its name, so a topology that chooses by name "
        "selects all of these."
    )
    def test_takes_a_node_that_is_known_by_address_only(
        self, topology: Topology, nodes: frozenset[Node]
    ) -> None:
        """Names are learnt late if discovery is by DNS, or finds a bare ``host:port``."""
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
        """Selecting blocks the event loop, and with it the heartbeats of all links."""
        local, known = self.make_node(LARGE), self._cluster(LARGE)
        least_s = min(_selecting_s(topology, local, known - {local}) for _ in range(TRIES))
        assert least_s < SLOW_S, f"select among {len(known)} nodes took {least_s:.2f} s"


def _links(topology: Topology, nodes: frozenset[Node]) -> dict[Node, frozenset[Node]]:
    return {local: topology.select(local, nodes - {local}) for local in nodes}


def _keys(nodes: frozenset[Node]) -> list[str]:
    return sorted(node.key for node in nodes)


def _difference(first: Selections, second: Selections) -> str | None:
    """Return where two answers first differ."""
    for one, other in zip(first, second, strict=True):
        for key, selected in one.items():
            if selected != other[key]:
                return f"of {len(one)} nodes, {key} selects first {selected} and then {other[key]}"
    return None


def _selecting_s(topology: Topology, local: Node, known: frozenset[Node]) -> float:
    """Return how long selecting takes, without the time in which the machine ran other things."""
    began_s, waited_s = time.monotonic(), starved_s()
    topology.select(local, known)
    return time.monotonic() - began_s - (starved_s() - waited_s)
