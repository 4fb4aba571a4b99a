"""What ``KubernetesStrategy.diagnose`` finds, and the cause that it names."""

import asyncio

import pytest
from kubernetes_api import PODS, SERVICES, SLICES, KubernetesApi
from kubernetes_objects import endpoint, endpoint_slice, pod, service

from cluster_kit.diagnosis import Outcome
from cluster_kit.node import Node
from cluster_kit.strategies.kubernetes import KubernetesStrategy
from cluster_kit.testing.fakes import FakeDiscovery

OK, EMPTY, FAILED = Outcome.OK, Outcome.EMPTY, Outcome.FAILED
NO_SERVICE = (
    "there is no Service 'web' in namespace 'default' (there are: none): correct service_name or "
    "namespace"
)


@pytest.fixture
def api():
    return KubernetesApi()


@pytest.fixture
def findings(api, tmp_path):
    """Return a function that fills the server, and diagnoses."""

    def findings(objects=(), serving=True, **options):
        async def main():
            for plural, each in objects:
                await api.put(plural, each)
            async with asyncio.timeout(60), api.serving():
                options.setdefault("kubeconfig", api.kubeconfig(tmp_path / "kubeconfig"))
                if not serving:
                    await api.stop()
                strategy = KubernetesStrategy(
                    **({} if "selector" in options else {"service_name": "web"}) | options
                )
                ctx = FakeDiscovery(Node(name="me@10.0.0.9"))
                return [finding async for finding in strategy.diagnose(ctx)]

        found = asyncio.run(main())
        assert found
        for each in found:
            assert "\n" not in f"{each.asked}{each.got}{each.cause}"
            assert (each.cause is None) == (each.outcome is OK)
        return found

    return findings


def test_each_step_of_a_cluster_that_works(api, findings):
    objects = [
        (SLICES, endpoint_slice("s", "10.0.0.1", endpoint("10.0.0.2", ready=False))),
        (SLICES, endpoint_slice("t", endpoint("10.0.0.3", terminating=True))),
    ]
    reach, version, what, listed, port, watch = findings(objects)
    assert reach.asked == "how to reach the API server"
    assert reach.got.endswith("/kubeconfig, context 'test'; looking in namespace 'default'")
    assert version.got == "v1.31.4"
    assert what.got == "endpointslices.discovery.k8s.io v1"
    slices = "endpointslices.discovery.k8s.io in namespace 'default'"
    assert listed.asked == f"list {slices} where kubernetes.io/service-name=web"
    assert listed.got == "endpointslices: 2; addresses: 1 ready, 1 unready, 1 terminating"
    assert port.got == "4000"
    assert (watch.asked, watch.got) == (f"watch {slices}", "allowed")
    assert {each.outcome for each in (reach, version, what, listed, port, watch)} == {OK}


def test_nothing_is_left_watching(api, findings):
    findings([(SLICES, endpoint_slice("s", "10.0.0.1"))])
    assert not api.watches


def test_no_way_to_the_server(api, findings, tmp_path):
    [only] = findings(kubeconfig=tmp_path / "none")
    assert only.outcome is FAILED
    assert "no such file or directory" in only.cause


def test_server_that_is_down(api, findings):
    _, version = findings(serving=False)
    assert version.outcome is FAILED
    assert version.cause.endswith("connection refused: is it up, and is this its address?")


def test_list_that_is_forbidden(api, findings):
    api.denied = {("list", SLICES)}
    last = findings()[-1]
    assert last.outcome is FAILED
    assert 'cannot list resource "endpointslices"' in last.cause
    assert "cluster-kit manifest kubernetes --namespace default" in last.cause


def test_watch_that_is_forbidden(api, findings):
    api.denied = {("watch", SLICES)}
    last = findings([(SLICES, endpoint_slice("s", "10.0.0.1"))])[-1]
    assert last.outcome is FAILED
    assert 'cannot watch resource "endpointslices"' in last.cause
    assert "the verbs list and watch on endpointslices" in last.cause


def empty(findings):
    [finding] = [each for each in findings if each.outcome is EMPTY]
    return finding.cause


class TestNoNodes:
    def test_namespace_that_does_not_exist(self, findings):
        assert empty(findings(namespace="shop")).startswith("there is no namespace 'shop'")

    def test_service_that_does_not_exist(self, findings):
        assert empty(findings()) == NO_SERVICE

    def test_service_without_a_selector(self, findings):
        assert empty(findings([(SERVICES, service("web"))])) == (
            "Service 'web' has no selector, and no endpoints were created for it"
        )

    def test_service_whose_selector_matches_no_pod(self, findings):
        objects = [
            (SERVICES, service("web", {"app": "web", "tier": "a"})),
            (PODS, pod("a", "10.0.0.1")),
        ]
        assert empty(findings(objects)) == (
            "the selector of Service 'web', 'app=web,tier=a', fits no pods in namespace 'default'"
        )

    def test_service_whose_pods_have_no_address_yet(self, findings):
        objects = [
            (SERVICES, service("web", {"app": "web"})),
            (SLICES, endpoint_slice("s")),
            (PODS, pod("a", None)),
        ]
        cause = "the selector of Service 'web' fits 1 pods, and none of them has an address yet"
        assert empty(findings(objects)) == cause

    def test_selector_that_was_meant_for_pods(self, findings):
        objects = [(SERVICES, service("shop", {"app": "web"})), (PODS, pod("a", "10.0.0.1"))]
        cause = empty(findings(objects, selector="app=web"))
        assert cause.startswith(
            "no Service in namespace 'default' carries the labels 'app=web' (there are: shop)"
        )
        assert "set 'ip_lookup_mode: pods', or name the Service in service_name" in cause

    def test_selector_that_fits_services_without_endpoints(self, findings):
        objects = [(SLICES, endpoint_slice("s", labels=[("app", "web")]))]
        assert empty(findings(objects, selector="app=web")).startswith(
            "the Services that the selector fits have no endpoints"
        )

    def test_selector_that_fits_no_pods(self, findings):
        objects = [(PODS, pod("a", "10.0.0.1")), (PODS, pod("b", "10.0.0.2"))]
        assert empty(findings(objects, selector="app=wbe", ip_lookup_mode="pods")) == (
            "of the 2 pods in namespace 'default', none with an address carries the labels "
            "'app=wbe'"
        )

    def test_namespace_without_pods(self, findings):
        assert empty(findings(selector="app=web", ip_lookup_mode="pods")) == (
            "namespace 'default' has no pods at all: is it that of the peers?"
        )

    @pytest.mark.parametrize("denied", [("get", SERVICES), ("list", PODS)])
    def test_forbidden_request_is_named_in_the_cause(self, api, findings, denied):
        api.denied = {denied}
        cause = empty(findings([(SERVICES, service("web", {"app": "web"}))]))
        assert "likely another namespace, or a service_name that fits nothing" in cause
        assert "is forbidden" in cause

    def test_namespaces_are_often_hidden(self, api, findings):
        api.denied = {("get", "namespaces")}
        assert empty(findings()) == NO_SERVICE


class TestPort:
    def test_port_missing_from_all_slices_is_empty(self, findings):
        finding = findings(
            [(SLICES, endpoint_slice("s", "10.0.0.1", ports=[("http", 80)]))], port="cluster"
        )[4]
        assert (finding.asked, finding.outcome) == ("the port 'cluster'", EMPTY)
        assert finding.got == "EndpointSlice 's' has the ports 80 ('http')"
        assert finding.cause.startswith("set port to ")

    def test_ports_that_differ(self, findings):
        objects = [
            (SLICES, endpoint_slice("s", "10.0.0.1", ports=[("cluster", 4000)])),
            (SLICES, endpoint_slice("t", "10.0.0.2", ports=[("cluster", 4001)])),
        ]
        assert findings(objects, port="cluster")[4].got == "4000, 4001"

    def test_pods_without_ports_are_found_by_a_number(self, findings):
        objects = [(PODS, pod("a", "10.0.0.1", ports=()))]
        assert (
            findings(objects, selector="app=web", ip_lookup_mode="pods", port=4000)[4].got == "4000"
        )


def test_failing_readiness_probes_are_named_as_the_cause(findings):
    listed = findings(
        [(SLICES, endpoint_slice("s", endpoint("10.0.0.2", ready=False)))], count_unready=False
    )[3]
    assert listed.outcome is EMPTY
    assert listed.cause.startswith(
        "none of them passes its readiness probe, and count_unready is false; see kubectl describe "
        "pod"
    )
