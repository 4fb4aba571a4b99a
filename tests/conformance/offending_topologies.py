"""Topologies that break one law each; ``TopologyConformance`` must fail exactly at ``breaks``.

Collected by ``test_offending_topologies`` only, in processes of its own.
"""

import pytest

from cluster_kit.abc import Topology
from cluster_kit.testing import TopologyConformance


class Suite(TopologyConformance):
    @pytest.fixture
    def topology(self):
        return self.cls()


def breaks(*rules, also=()):
    """Run the suite on an implementation, sound without ``rules``; ``also`` are rules that may fail for the same fault."""

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
        later = frozenset(node for node in known if node.key > local.key)
        return later or frozenset(sorted(known, key=str)[:1])


@breaks("test_links_connect_the_cluster")
class LeavesIslands(Mesh):
    def select(self, local, known):
        return frozenset()


@breaks("test_keeps_its_promise_of_most_links")
class BreaksItsPromise(Mesh):
    def most_links(self):
        return 1


@breaks("test_takes_a_node_that_is_known_by_address_only")
class NeedsNames(Mesh):
    def select(self, local, known):
        return frozenset(node for node in known if node.name.count("@"))


@breaks("test_every_process_gives_the_same_answer")
class OrdersByHash(Mesh):
    """A ring, sound within one process."""

    def select(self, local, known):
        ring = sorted(known | {local}, key=lambda node: hash(node.name))
        place = ring.index(local)
        return frozenset({ring[place - 1], ring[(place + 1) % len(ring)]}) - {local}


@breaks("test_every_process_gives_the_same_answer", also=["test_links_are_mutual", "test_links_connect_the_cluster"])
class OrdersAsASetDoes(Mesh):
    """A star around whoever comes first."""

    def select(self, local, known):
        hub = next(iter({node.name for node in known if node.name} | {local.name}))
        return known if local.name == hub else frozenset(node for node in known if node.name in (hub, None))


@breaks("test_is_cheap_in_a_large_cluster")
class ComparesEachWithEach(Mesh):
    def select(self, local, known):
        ranked = {node: sorted(known, key=lambda other: (other.key != node.key, other.key)) for node in known}
        return frozenset(others[0] for others in ranked.values())
