"""Topologies that break one law each; ``TopologyConformance`` must fail exactly at ``breaks``.

Collected by ``test_suites_catch_offenders`` only, in a process of its own.
"""

import pytest

from cluster_kit.abc import Topology
from cluster_kit.testing import TopologyConformance


class Suite(TopologyConformance):
    @pytest.fixture
    def topology(self):
        return self.cls()


def breaks(*rules):
    """Run the suite on an implementation, sound without ``rules``."""

    def register(cls):
        name = f"Test{cls.__name__}"
        globals()[name] = type(name, (Suite,), {"cls": cls, "breaks": frozenset(rules), "__module__": __name__})
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
