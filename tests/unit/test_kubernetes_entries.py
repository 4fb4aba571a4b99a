"""What is read of EndpointSlices, Endpoints and pods, and what nodes that makes."""

import json

import pytest
from kubernetes_objects import endpoint, endpoint_slice, endpoints, pod
from msgspec import DecodeError
from msgspec.json import decode

from cluster_kit.node import Node
from cluster_kit.strategies.kubernetes.resources import ENDPOINTS, PODS, SLICES, PeerAddress
from cluster_kit.strategies.kubernetes.view import Naming


def read(resource, found, port=None):
    return resource.read(decode(json.dumps(found).encode(), type=resource.kind), port)


def entry(**given):
    values = {
        "ip": "10.0.0.1",
        "port": 4000,
        "namespace": "default",
        "owner": "u",
        "hostname": None,
        "ready": True,
    }
    return PeerAddress(**(values | {"terminating": False} | given))


class TestSlices:
    def test_each_endpoint_is_an_entry(self):
        found = endpoint_slice(
            "s", endpoint("10.0.0.1", pod="a", hostname="a-0"), endpoint("10.0.0.2", ready=False)
        )
        first, second = read(SLICES["v1"], found).entries
        assert first == entry(owner="uid-a", hostname="a-0")
        assert (second.ip, second.ready, second.terminating) == ("10.0.0.2", False, False)

    def test_conditions_that_are_missing_count_as_ready(self):
        found = endpoint_slice("s")
        found["endpoints"] = [
            {"addresses": ["10.0.0.1"]},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": None}},
        ]
        assert [
            (each.ready, each.terminating) for each in read(SLICES["v1beta1"], found).entries
        ] == [(True, False)] * 2

    def test_terminating_endpoints_are_reported(self):
        [only] = read(
            SLICES["v1"], endpoint_slice("s", endpoint("10.0.0.1", terminating=True))
        ).entries
        assert only.terminating

    def test_addresses_of_one_endpoint_are_interchangeable(self):
        found = endpoint_slice("s")
        found["endpoints"] = [{"addresses": ["10.0.0.1", "10.0.0.9"]}, {"addresses": []}]
        assert [each.ip for each in read(SLICES["v1"], found).entries] == ["10.0.0.1"]

    def test_endpoint_may_be_without_a_pod(self):
        found = endpoint_slice("s")
        found["endpoints"] = [
            {"addresses": ["10.0.0.1"]},
            {"addresses": ["10.0.0.2"], "targetRef": {"kind": "Pod"}},
        ]
        assert [each.owner for each in read(SLICES["v1"], found).entries] == ["", ""]

    def test_domain_names_are_no_addresses(self):
        assert read(SLICES["v1"], endpoint_slice("s", "web.example", family="FQDN")).entries == ()

    def test_nulls_are_nothing(self):
        assert read(SLICES["v1"], endpoint_slice("s", ports=())).entries == ()


class TestPorts:
    @pytest.mark.parametrize(
        ("ports", "wanted", "port"),
        [
            ([("cluster", 4000)], None, 4000),
            ([(None, 4000)], None, 4000),
            ([("http", 80), ("cluster", 4000)], "cluster", 4000),
            ([("http", 80), ("cluster", 4000)], 4001, 4001),
            ([], 4001, 4001),
            ([("http", 80), ("cluster", 4000)], None, None),
            ([("http", 80)], "cluster", None),
            ([], None, None),
            ([("a", 4000), ("b", 4000)], None, 4000),
        ],
    )
    def test_the_one_that_is_wanted_or_the_only_one(self, ports, wanted, port):
        for resource, found in [
            (SLICES["v1"], endpoint_slice("s", "10.0.0.1", ports=ports)),
            (ENDPOINTS, endpoints("web", ["10.0.0.1"], ports=ports)),
            (PODS, pod("a", "10.0.0.1", ports=ports)),
        ]:
            assert [each.port for each in read(resource, found, wanted).entries] == [port]

    def test_error_lists_what_there_is_to_choose_from(self):
        many = [("http", 80), (None, 4000)]
        assert read(SLICES["v1"], endpoint_slice("s", "10.0.0.1", ports=many)).problem == (
            "EndpointSlice 's' has the ports 80 ('http'), 4000"
        )
        assert read(PODS, pod("a", "10.0.0.1", ports=())).problem == "pod 'a' has no ports"
        more = [("p" * 63, number) for number in range(500)]
        assert len(read(SLICES["v1"], endpoint_slice("s", "10.0.0.1", ports=more)).problem) < 1000

    def test_empty_slice_is_no_problem(self):
        assert read(SLICES["v1"], endpoint_slice("s", ports=())).problem is None


class TestEndpoints:
    def test_ready_and_unready_addresses_are_entries(self):
        first, second = read(ENDPOINTS, endpoints("web", ["10.0.0.1"], ["10.0.0.2"])).entries
        assert (first.ip, first.ready, first.owner) == ("10.0.0.1", True, "uid-10.0.0.1")
        assert (second.ip, second.ready, second.owner) == ("10.0.0.2", False, "")

    def test_subsets_have_ports_of_their_own(self):
        found = endpoints("web", ["10.0.0.1"], ports=[("cluster", 4000)])
        found["subsets"] += endpoints("web", ["10.0.0.2"], ports=[("cluster", 4001)])["subsets"]
        assert [(each.ip, each.port) for each in read(ENDPOINTS, found).entries] == [
            ("10.0.0.1", 4000),
            ("10.0.0.2", 4001),
        ]

    def test_object_without_subsets_has_no_entries(self):
        assert read(ENDPOINTS, {"metadata": {"name": "web", "namespace": "default"}}).entries == ()


class TestPods:
    def test_a_pod_with_an_address_is_an_entry(self):
        [only] = read(PODS, pod("web-0", "10.0.0.1", ready=False)).entries
        assert only == entry(owner="uid-web-0", hostname="web-0", ready=False)

    @pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
    def test_a_pod_that_has_ended_may_have_lost_its_address_to_another(self, phase):
        assert read(PODS, pod("a", "10.0.0.1", phase=phase)).entries == ()

    def test_pod_without_an_address_has_no_entry_yet(self):
        assert read(PODS, pod("a", None, phase="Pending")).entries == ()

    def test_a_deleted_pod_is_terminating(self):
        [only] = read(PODS, pod("a", "10.0.0.1", deleted=True)).entries
        assert only.terminating


@pytest.mark.parametrize(
    "data",
    [b"{}", b'{"metadata": 3}', b'{"metadata": {"name": 3}}', b'{"metadata": {}, "endpoints": 3}'],
)
def test_value_of_another_type_is_refused(data):
    with pytest.raises(DecodeError):
        decode(data, type=SLICES["v1"].kind)
    with pytest.raises(DecodeError):
        decode(b'{"metadata": {}, "items": [%s]}' % data, type=SLICES["v1"].page)


class TestNaming:
    @pytest.mark.parametrize(
        ("mode", "given", "name"),
        [
            ("ip", {}, "web@10.0.0.1"),
            ("ip", {"ip": "fd00::1"}, "web@fd00::1"),
            ("dns", {}, "web@10-0-0-1.default.pod.cluster.local"),
            ("dns", {"ip": "fd00::1"}, "web@fd00--1.default.pod.cluster.local"),
            ("hostname", {"hostname": "web-0"}, "web@web-0.peers.default.svc.cluster.local"),
            ("hostname", {}, None),
        ],
    )
    def test_names_are_those_of_libcluster(self, mode, given, name):
        naming = Naming(basename="web", mode=mode, service="peers", domain="cluster.local")
        assert naming.node_of(entry(**given)).name == name

    def test_without_a_basename_names_come_from_the_peers(self):
        naming = Naming(basename=None, mode="ip", service=None, domain="cluster.local")
        assert naming.node_of(entry()) == Node(name=None, address="10.0.0.1:4000")
        assert naming.node_of(entry(ip="fd00::1")).address == "[fd00::1]:4000"
        assert naming.node_of(entry(port=None)) is None

    def test_a_name_needs_no_port(self):
        naming = Naming(basename="web", mode="ip", service=None, domain="cluster.local")
        assert naming.node_of(entry(port=None)) == Node(name="web@10.0.0.1", address=None)

    def test_invalid_host_is_refused(self):
        naming = Naming(basename="web", mode="ip", service=None, domain="cluster.local")
        with pytest.raises(ValueError):
            naming.node_of(entry(ip="10.0.0.1\n"))
