"""What replies mean to the roster, and to a diagnosis."""

import pytest

from cluster_kit.abc import Answer
from cluster_kit.node import Node
from cluster_kit.strategies.dns.causes import why_failed, why_late, why_nobody, why_one
from cluster_kit.strategies.dns.replies import (
    DnsFailure,
    DnsReply,
    RecordType,
    ReplyStatus,
    SrvRecord,
    by_family,
    kinds_of,
    no_answer,
    nodes_of_services,
    targets_of,
)

NO_NAME = DnsReply(status=ReplyStatus.NO_NAME, reason="there is no such name")
NO_DATA = DnsReply(status=ReplyStatus.NO_DATA, reason="it has no records")
FAILED = no_answer("10.0.0.2:53 does not answer", DnsFailure.SILENT)


def found(*addresses):
    return DnsReply(status=ReplyStatus.FOUND, addresses=addresses)


def node_at(address):
    return Node(address=f"{address}:4370")


def by_kind(a, aaaa):
    answers = by_family("web.test", {RecordType.A: a, RecordType.AAAA: aaaa}, node_at)
    return answers["A web.test"], answers["AAAA web.test"]


def test_own_family_comes_first():
    assert kinds_of("any", "10.0.0.1") == (RecordType.A, RecordType.AAAA)
    assert kinds_of("any", "fd00::1") == (RecordType.AAAA, RecordType.A)
    assert kinds_of("ipv4", "fd00::1") == (RecordType.A,)


@pytest.mark.parametrize("other", [NO_NAME, NO_DATA])
def test_one_family_is_enough(other):
    assert by_kind(found("10.0.0.1"), other) == (
        Answer(nodes=frozenset({node_at("10.0.0.1")})),
        Answer(),
    )


@pytest.mark.parametrize("said", [NO_NAME, NO_DATA])
def test_neither_family_is_an_error_and_yet_an_answer(said):
    for answer in by_kind(said, said):
        assert answer.complete
        assert not answer.nodes
        assert "'web.test' lists no nodes" in str(answer.error)


@pytest.mark.parametrize("other", [NO_NAME, NO_DATA, found("10.0.0.1")])
def test_a_family_that_failed_is_unknown(other):
    failed, answered = by_kind(FAILED, other)
    assert not failed.complete
    assert str(failed.error) == "dns: cannot look up A of 'web.test': 10.0.0.2:53 does not answer"
    assert answered.complete


# SRV


def services(*services):
    return DnsReply(
        status=ReplyStatus.FOUND, services=tuple(SrvRecord(*service) for service in services)
    )


def serve(reply, located=None, **options):
    return nodes_of_services("_web._tcp.test", reply, located or {}, **options)


def test_a_record_without_basename_is_an_address():
    answer = serve(services((0, "a.test", 4370)), {"a.test": found("10.0.0.1", "10.0.0.2")})
    assert answer == Answer(nodes=frozenset({Node(address="10.0.0.1:4370")}))


def test_a_record_with_basename_is_named_by_its_target():
    answer = serve(services((0, "a.test", 4370)), {"a.test": found("fd00::1")}, basename="web")
    assert answer == Answer(nodes=frozenset({Node(name="web@a.test", address="[fd00::1]:4370")}))


def test_several_ports_of_a_target_are_several_nodes_while_their_names_are_unknown():
    answer = serve(services((0, "a.test", 1), (0, "a.test", 2)), {"a.test": found("10.0.0.1")})
    assert {node.address for node in answer.nodes} == {"10.0.0.1:1", "10.0.0.1:2"}
    assert answer.error is None


def test_several_ports_of_one_name_are_ambiguous():
    answer = serve(
        services((0, "a.test", 1), (0, "a.test", 2)), {"a.test": found("10.0.0.1")}, basename="web"
    )
    assert {node.address for node in answer.nodes} == {"10.0.0.1:1"}
    # it is one port's name already
    assert str(answer.error).endswith("is listed with several ports: set port")


def test_a_port_of_ones_own_takes_the_place_of_the_records_ports():
    reply = services((0, "a.test", 0), (0, "a.test", 2))
    answer = serve(reply, {"a.test": found("10.0.0.1")}, basename="web", port=4370)
    assert answer == Answer(nodes=frozenset({Node(name="web@a.test", address="10.0.0.1:4370")}))


def test_port_0_can_t_be_dialled():
    answer = serve(services((0, "a.test", 0)), {"a.test": found("10.0.0.1")})
    assert not answer.nodes
    assert "has port 0: set port" in str(answer.error)


def test_service_declared_unavailable_is_a_complete_answer_with_an_error():
    answer = serve(services((0, "", 0)))
    assert answer.complete
    assert "declared as not available" in str(answer.error)


def test_a_target_that_doesn_t_exist_is_not_there():
    answer = serve(
        services((0, "a.test", 1), (0, "b.test", 1)),
        {"a.test": found("10.0.0.1"), "b.test": NO_NAME},
    )
    assert answer.complete
    assert {node.address for node in answer.nodes} == {"10.0.0.1:1"}
    assert "1 of 2 SRV records" in str(answer.error)
    assert "'b.test' has no address: there is no such name" in str(answer.error)


def test_a_target_that_can_t_be_looked_up_makes_the_answer_incomplete():
    answer = serve(
        services((0, "a.test", 1), (0, "b.test", 1)),
        {"a.test": found("10.0.0.1"), "b.test": FAILED},
    )
    assert not answer.complete
    assert {node.address for node in answer.nodes} == {"10.0.0.1:1"}


def test_a_target_that_is_no_host_name_is_of_no_use():
    reply = services((0, "a\\@b.test", 1), (0, "b.test", 1))
    assert targets_of(reply) == ["b.test"]
    answer = serve(reply, {"b.test": found("10.0.0.1")})
    assert len(answer.nodes) == 1
    assert "is not a host name" in str(answer.error)


def test_a_name_too_long_for_a_node_is_of_no_use():
    target = ".".join(["a" * 60] * 4)
    answer = serve(services((0, target, 1)), {target: found("10.0.0.1")}, basename="b" * 100)
    assert not answer.nodes
    assert "invalid name" in str(answer.error)


@pytest.mark.parametrize("reply", [NO_NAME, NO_DATA])
def test_absent_records_are_a_complete_answer_with_an_error(reply):
    assert serve(reply).complete
    assert serve(reply).error


def test_a_failed_look_up_of_records_is_unknown():
    assert not serve(FAILED).complete


# Causes


def test_each_failure_has_its_cause():
    causes = {failure: why_failed(no_answer("what it says", failure)) for failure in DnsFailure}
    assert "try dig" in causes[DnsFailure.SILENT]
    assert len(set(causes.values())) == len(DnsFailure) - 1  # a referral is as good as REFUSED


def test_the_cause_of_the_first_server_that_says_most_is_reported():
    both = no_answer("one is silent, one fails", DnsFailure.SILENT, DnsFailure.SERVER_FAILURE)
    assert why_failed(both) == why_failed(no_answer("it fails", DnsFailure.SERVER_FAILURE))


def test_a_short_name_is_explained_by_the_search_domains():
    assert "no search domains" in why_nobody("web", RecordType.A, NO_NAME, [])
    assert "none of the search domains corp.test" in why_nobody(
        "web", RecordType.A, NO_NAME, ["corp.test"]
    )
    assert "search domain" not in why_nobody("web.shop.test.", RecordType.A, NO_NAME, ["corp.test"])


POD = ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"]


def test_a_kubernetes_name_is_explained_by_its_service():
    for name, search in [("web.shop.svc.cluster.local.", []), ("web", POD)]:
        assert "publishNotReadyAddresses" in why_nobody(name, RecordType.A, NO_NAME, search)
    assert "Service" not in why_nobody("web.shop.test", RecordType.A, NO_NAME, [])


def test_a_single_address_that_is_no_pod_suggests_a_cluster_ip():
    name = "web.shop.svc.cluster.local."
    assert "not headless" in why_one(name, ["10.96.0.7"], "10.1.2.3", [])
    assert why_one(name, ["10.1.2.3"], "10.1.2.3", []) is None
    assert why_one(name, ["10.1.2.4", "10.1.2.5"], "10.1.2.3", []) is None
    assert why_one("web.shop.test", ["10.96.0.7"], "10.1.2.3", []) is None


def test_records_that_live_longer_than_the_interval_are_a_warning():
    assert "60 s" in why_late(60, 5.0)
    assert why_late(5, 5.0) is None
    assert why_late(None, 5.0) is None


def test_missing_services_are_explained_by_their_name():
    assert "_port._tcp" in why_nobody("web.test", RecordType.SRV, NO_DATA, [])
    assert "another type" in why_nobody("web.test", RecordType.A, NO_DATA, [])
    assert "strategy dns_srv" in why_nobody("_web._tcp.test", RecordType.A, NO_DATA, [])
