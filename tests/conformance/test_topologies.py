"""The built-in topologies keep the laws."""

import pytest

from cluster_kit.testing import TopologyConformance
from cluster_kit.topologies.full_mesh import FullMeshTopology


class TestFullMesh(TopologyConformance):
    @pytest.fixture
    def topology(self):
        return FullMeshTopology()
