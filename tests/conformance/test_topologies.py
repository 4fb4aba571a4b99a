"""The built-in topologies keep the laws."""

import pytest

from cluster_kit.testing import TopologyConformance
from cluster_kit.topologies.full_mesh import FullMeshTopology
from cluster_kit.topologies.k_regular import KRegularTopology
from cluster_kit.topologies.ring import RingTopology
from cluster_kit.topologies.star import StarTopology


class TestFullMesh(TopologyConformance):
    @pytest.fixture
    def topology(self):
        return FullMeshTopology()


class TestRing(TopologyConformance):
    @pytest.fixture
    def topology(self):
        return RingTopology()


class TestStarAroundTheLowestName(TopologyConformance):
    @pytest.fixture
    def topology(self):
        return StarTopology()


class TestStarAroundNames(TopologyConformance):
    @pytest.fixture
    def topology(self):
        return StarTopology(hubs=tuple(self.make_node(number).name for number in (3, 4, 100)))


class TestStarAroundTags(TopologyConformance):
    @pytest.fixture
    def topology(self):
        return StarTopology(metadata={"role": "hub"})

    def make_node(self, number):
        role = "hub" if number % 5 == 3 else "spoke"
        return super().make_node(number).evolve(metadata={"role": role, "number": str(number)})


class TestKRegular(TopologyConformance):
    @pytest.fixture(params=[2, 4, 10])
    def topology(self, request):
        return KRegularTopology(k=request.param)
