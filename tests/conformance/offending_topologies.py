"""Topologies that break one law each; ``TopologyConformance`` must fail exactly at ``breaks``.

Collected by ``test_offending_topologies`` only, in processes of its own.
"""

import datetime
import socket
import time

import pytest

from cluster_kit.abc import Topology
from cluster_kit.testing import TopologyConformance


class Suite(TopologyConformance):
    @pytest.fixture
    def topology(self):
        return self.cls()


def breaks(*rules, also=()):
    """Run the suite on an implementation that breaks ``rules``; ``also`` may fail with them."""

    def register(cls):
        name = f"Test{cls.__name__}"
        wrong = {"breaks": frozenset(rules), "may_break": frozenset(also)}
        globals()[name] = type(name, (Suite,), {"cls": cls, "__module__": __name__} | wrong)
        return cls

    return register


@breaks()
class Mesh(Topology):
    """Sound: everybody."""

    def select(self, local, known):
        return known


@breaks("test_selects_only_known_nodes")
class SelectsItself(Mesh):
    def select(self, local, known):
        return known if "10.0.1.1:4370" in {node.address for node in known} else known | {local}


@breaks("test_same_roster_gives_the_same_answer")
class Remembers(Mesh):
    largest = frozenset()

    def select(self, local, known):
        if len(known) < len(self.largest):
            self.forgetful = True
        self.largest = max(self.largest, known, key=len)
        return frozenset() if getattr(self, "forgetful", False) else known


@breaks("test_links_are_mutual")
class SelectsOneSidedly(Mesh):
    def select(self, local, known):
        later = frozenset(node for node in known if node.name is None or node.key > local.key)
        return later or frozenset(sorted(known, key=str)[:1])


@breaks("test_links_connect_the_cluster")
class LeavesIslands(Mesh):
    def select(self, local, known):
        return frozenset(node for node in known if node.name is None)


@breaks("test_keeps_its_promise_of_most_links")
class BreaksItsPromise(Mesh):
    def most_links(self):
        return 1


@breaks("test_takes_a_node_that_is_known_by_address_only")
class NeedsNames(Mesh):
    def select(self, local, known):
        return frozenset(node for node in known if node.name.count("@"))


@breaks("test_takes_a_node_that_is_known_by_address_only")
class LeavesNamesUnknown(Mesh):
    def select(self, local, known):
        return frozenset(node for node in known if node.name is not None)


@breaks("test_links_connect_the_cluster")
class FallsApartWhenItIsLarge(Mesh):
    """Two meshes, of the nodes with even and odd places, from a hundred nodes on."""

    def select(self, local, known):
        if len(known) < 100:
            return known
        everybody = sorted(known | {local}, key=str)
        ours = everybody.index(local) % 2
        return known & (
            frozenset(everybody[ours::2]) | {node for node in known if node.name is None}
        )


@breaks(
    "test_selects_only_known_nodes",
    "test_takes_a_node_that_is_known_by_address_only",
    also=["test_links_connect_the_cluster", "test_links_are_mutual"],
)
class LosesMetadata(Mesh):
    def select(self, local, known):
        return frozenset(node.evolve(metadata={}) for node in known) if len(known) < 50 else known


@breaks("test_every_process_gives_the_same_answer")
class OrdersByHash(Mesh):
    """A ring, sound within one process."""

    def select(self, local, known):
        unnamed = {node for node in known if node.name is None}
        ring = sorted((known | {local}) - unnamed, key=lambda node: hash(node.name))
        place = ring.index(local)
        return frozenset({ring[place - 1], ring[(place + 1) % len(ring)]} | unnamed) - {local}


@breaks(
    "test_every_process_gives_the_same_answer",
    also=["test_every_machine_gives_the_same_answer_at_any_time"],
)
class OrdersById(Mesh):
    """A star around the node that was created first."""

    def select(self, local, known):
        hub = min((node for node in known | {local} if node.name is not None), key=id)
        return (
            known
            if local is hub
            else frozenset(node for node in known if node is hub or node.name is None)
        )


@breaks(
    "test_every_process_gives_the_same_answer",
    also=["test_links_are_mutual", "test_links_connect_the_cluster"],
)
class OrdersAsASetDoes(Mesh):
    """A star around the first node."""

    def select(self, local, known):
        hub = next(iter({node.name for node in known if node.name} | {local.name}))
        return (
            known
            if local.name == hub
            else frozenset(node for node in known if node.name in (hub, None))
        )


class _Star(Mesh):
    def select(self, local, known):
        ring = sorted(node.name for node in known | {local} if node.name)
        hub = ring[self.place() % len(ring)]
        return (
            known
            if local.name == hub
            else frozenset(node for node in known if node.name in (hub, None))
        )


@breaks("test_every_machine_gives_the_same_answer_at_any_time")
class TakesTurnsByTheDay(_Star):
    def place(self):
        return int(time.time() // 86_400)


@breaks("test_every_machine_gives_the_same_answer_at_any_time")
class TakesTurnsByTheDate(_Star):
    def place(self):
        return datetime.date.today().toordinal()


@breaks("test_every_machine_gives_the_same_answer_at_any_time")
class TakesTurnsByTheHour(_Star):
    def place(self):
        return time.localtime().tm_hour


@breaks("test_every_machine_gives_the_same_answer_at_any_time")
class TakesTurnsByTheMonth(_Star):
    def place(self):
        return datetime.datetime.now(tz=datetime.UTC).month


@breaks("test_every_machine_gives_the_same_answer_at_any_time")
class GoesByTheMachine(_Star):
    def place(self):
        return sum(socket.gethostname().encode())


@breaks("test_is_cheap_in_a_large_cluster")
class ComparesEachWithEach(Mesh):
    """A star around a node that has no predecessor."""

    def select(self, local, known):
        named = [node.name for node in known | {local} if node.name is not None]
        places = {name: sum(other < name for other in named) for name in named}
        return (
            known
            if not places[local.name]
            else frozenset(node for node in known if not places.get(node.name))
        )


@breaks("test_is_cheap_in_a_large_cluster")
class Waits(Mesh):
    def select(self, local, known):
        time.sleep(0.3 if len(known) > 1_000 else 0.0)
        return known
