"""Strategy ``kubernetes`` with few rights, old servers, and every form of what is listed."""

import logging
from functools import partial

import pytest
from kubernetes_api import ENDPOINTS, PODS, SLICES, KubernetesApi
from kubernetes_objects import endpoint, endpoint_slice, endpoints, pod
from kubernetes_stage import address, run_scenario

from cluster_kit.abc import Leaving
from cluster_kit.strategies.kubernetes.limits import Limits

FORBIDDEN = (
    'endpointslices.discovery.k8s.io is forbidden: User "system:serviceaccount:default:default" '
    'cannot {verb} resource "endpointslices" in API group '
    '"discovery.k8s.io" in the namespace "default"'
)


@pytest.fixture
def api():
    return KubernetesApi()


@pytest.fixture
def run(api, tmp_path):
    return partial(run_scenario, api, tmp_path)


class TestRights:
    def test_a_forbidden_list_is_a_failure_with_its_cure_until_it_is_granted(self, api, run):
        api.denied = {("list", SLICES), ("watch", SLICES)}

        async def scenario(heard):
            await heard.until_failed(FORBIDDEN.format(verb="list"))
            [message] = heard.failures
            assert message.startswith("kubernetes: ")
            cure = "cluster-kit manifest kubernetes --namespace default --service-account default"
            assert cure in message
            assert heard.known is None
            api.denied = set()
            await heard.until_known(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_withdrawn_rights_lose_no_node(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            api.denied = {("list", SLICES), ("watch", SLICES)}
            await api.watches[0].error(410, "Expired", "too old resource version")
            await heard.until_failed("is forbidden")
            heard.never_lost(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_where_watching_is_forbidden_it_polls_and_says_so_once(self, api, run, caplog):
        api.denied = {("watch", SLICES)}
        caplog.set_level(logging.WARNING, "cluster_kit.kubernetes")

        async def scenario(heard):
            await heard.until_known(*address(1))
            await api.until(lambda: len(api.requests("list")) >= 3, "polls")
            await api.put(SLICES, endpoint_slice("s", "10.0.0.2"))
            await heard.until_known(*address(2))
            assert not heard.failures
            [told] = [
                record.getMessage()
                for record in caplog.records
                if record.name == "cluster_kit.kubernetes"
            ]
            assert told.startswith(
                f"kubernetes: polling every 0.5 s: {FORBIDDEN.format(verb='watch')}"
            )

        run(scenario, [endpoint_slice("s", "10.0.0.1")], polling_interval_s=0.5)

    def test_a_watch_that_is_allowed_later_is_found_out(self, api, run):
        api.denied = {("watch", SLICES)}

        async def scenario(heard):
            await api.until(lambda: api.requests("watch"), "a watch")
            api.denied = set()
            await api.until_watched()
            await api.put(SLICES, endpoint_slice("s", "10.0.0.2"))
            await heard.until_known(*address(2))

        run(
            scenario,
            [endpoint_slice("s", "10.0.0.1")],
            polling_interval_s=0.5,
            limits=Limits(watch_again_s=1.0),
        )

    def test_slices_are_read_where_the_server_does_not_say_what_it_has(self, api, run):
        api.answer(
            "get", 403, "Forbidden", 'forbidden: User "x" cannot get path "/apis/discovery.k8s.io"'
        )

        async def scenario(heard):
            await heard.until_known(*address(1))
            assert not heard.failures

        run(scenario, [endpoint_slice("s", "10.0.0.1")])


class TestForms:
    def test_old_servers_have_slices_in_beta(self, api, run):
        api.slice_versions = ("v1beta1",)

        async def scenario(heard):
            await heard.until_known(*address(1))
            await api.until_watched()
            assert "/discovery.k8s.io/v1beta1/" in api.watched[0].path

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_older_servers_have_endpoints(self, api, run):
        api.slice_versions = ()

        async def scenario(heard):
            await heard.until_known(*address(1, 2))
            await api.until_watched()
            assert api.requests("list", ENDPOINTS)[0].query["fieldSelector"] == "metadata.name=web"
            await api.put(
                ENDPOINTS, endpoints("web", ["10.0.0.2"]), endpoints("other", ["10.0.0.7"])
            )
            await heard.until_known(*address(2))

        run(scenario, [endpoints("web", ["10.0.0.1"], ["10.0.0.2"])], plural=ENDPOINTS)

    def test_a_server_that_is_upgraded_has_another_version(self, api, run):
        api.slice_versions = ("v1beta1",)

        async def scenario(heard):
            await heard.watching(api)
            api.slice_versions = ("v1",)
            await api.watches[0].end()
            await api.until(
                lambda: any("/v1/" in each.path for each in api.watched), "a watch of v1"
            )
            await api.put(SLICES, endpoint_slice("s", "10.0.0.1", "10.0.0.2"))
            await heard.until_known(*address(1, 2))
            heard.never_lost(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_pods_are_found_by_their_labels(self, api, run):
        async def scenario(heard):
            await heard.until_known("web@10.0.0.1", "web@10.0.0.2")
            await api.until_watched()
            await api.put(
                PODS,
                pod("b", "10.0.0.2", deleted=True),
                pod("d", "10.0.0.4", labels=[("app", "other")]),
            )
            await heard.until(lambda each: each == Leaving("web@10.0.0.2"), "b to be leaving")
            await api.delete(PODS, "b")
            await heard.until_known("web@10.0.0.1")
            await api.put(PODS, pod("a", "10.0.0.1", labels=[("app", "other")]))
            await heard.until_known()

        objects = [
            pod("a", "10.0.0.1"),
            pod("b", "10.0.0.2", ready=False),
            pod("c", None, phase="Pending"),
        ]
        run(
            scenario,
            objects,
            plural=PODS,
            ip_lookup_mode="pods",
            selector="app=web",
            node_basename="web",
            port=4000,
        )

    def test_a_terminating_endpoint_is_leaving_until_it_is_gone(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            await api.put(
                SLICES, endpoint_slice("s", endpoint("10.0.0.1", terminating=True), "10.0.0.2")
            )
            await heard.until(
                lambda each: each == Leaving("10.0.0.1:4000"), "10.0.0.1 to be leaving"
            )
            assert heard.known == set(address(1, 2))
            await api.put(SLICES, endpoint_slice("s", "10.0.0.2"))
            await heard.until_known(*address(2))

        run(scenario, [endpoint_slice("s", "10.0.0.1", "10.0.0.2")])

    @pytest.mark.parametrize(
        ("host", "key"), [("10.0.0.1", "web@10.0.0.1"), ("fd00::1", "web@fd00::1")]
    )
    def test_a_pod_of_both_families_is_one_node_of_ours(self, run, host, key):
        async def scenario(heard):
            await heard.until_known(key)

        objects = [
            endpoint_slice("four", endpoint("10.0.0.1", pod="a")),
            endpoint_slice("six", endpoint("fd00::1", pod="a"), family="IPv6"),
        ]
        run(scenario, objects, host=host, node_basename="web")

    def test_missing_port_is_a_failure_that_removes_no_node(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            await api.put(SLICES, endpoint_slice("s", "10.0.0.1", ports=[("http", 80)]))
            await heard.until_failed(
                "EndpointSlice 's' has the ports 80 ('http'): set port to the number, or the name"
            )
            heard.never_lost(*address(1))
            await api.put(SLICES, endpoint_slice("s", "10.0.0.2"))
            await heard.until_known(*address(2), since=len(heard.observations))

        run(scenario, [endpoint_slice("s", "10.0.0.1")], port="cluster")
