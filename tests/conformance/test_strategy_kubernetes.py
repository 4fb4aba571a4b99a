"""Strategy ``kubernetes`` keeps the contract, whatever it reads."""

from typing import ClassVar

import pytest
from kubernetes_api import ENDPOINTS, PODS, SLICES, KubernetesApi, in_thread
from kubernetes_objects import endpoint_slice, endpoints, pod

from cluster_kit.strategies.kubernetes import KubernetesStrategy
from cluster_kit.testing import StrategyConformance

OBJECTS = {
    SLICES: [endpoint_slice("web-1", "10.0.0.1", "10.0.0.2")],
    ENDPOINTS: [endpoints("web", ready=["10.0.0.1"], unready=["10.0.0.2"])],
    PODS: [pod("web-1", "10.0.0.1"), pod("web-2", "10.0.0.2", ready=False)],
}


class Reading(StrategyConformance):
    slice_versions = ("v1",)
    options: ClassVar = {"service_name": "web"}

    @pytest.fixture
    def strategy(self, tmp_path):
        self.api = KubernetesApi(slice_versions=self.slice_versions)
        with in_thread(self.api) as self.in_api:
            for plural, objects in OBJECTS.items():
                self.in_api(self.api.put(plural, *objects))
            yield KubernetesStrategy(
                kubeconfig=self.api.kubeconfig(tmp_path / "kubeconfig"), **self.options
            )

    def break_source(self):
        self.in_api(self.api.stop())

    def mend_source(self):
        self.in_api(self.api.start())


class TestSlices(Reading):
    pass


class TestBetaSlices(Reading):
    slice_versions = ("v1beta1",)


class TestEndpoints(Reading):
    slice_versions = ()


class TestPods(Reading):
    options: ClassVar = {"selector": "app=web", "ip_lookup_mode": "pods", "node_basename": "web"}
