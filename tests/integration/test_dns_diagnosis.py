"""``diagnose`` of the DNS strategies: each question and its answer, and the likely cause."""

import asyncio

import pytest
from dns_hostile import HostileServer, patient

from cluster_kit.diagnosis import Outcome
from cluster_kit.node import Node
from cluster_kit.strategies.dns import DnsStrategy
from cluster_kit.strategies.dns_srv import DnsSrvStrategy
from cluster_kit.strategies.kubernetes_dns import KubernetesDnsStrategy
from cluster_kit.strategies.kubernetes_dns_srv import KubernetesDnsSrvStrategy
from cluster_kit.testing import FakeDiscovery

POD = Node(name="app@10.1.2.3", address="10.1.2.3:4370")
WEB, SERVICE = "web.shop.test", "web.shop.svc.cluster.local"


@pytest.fixture(autouse=True)
def resolv_conf(monkeypatch, tmp_path):
    path = tmp_path / "resolv.conf"
    path.write_text(
        "nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local\noptions ndots:5\n"
    )
    monkeypatch.delenv("CLUSTER_DOMAIN", raising=False)
    monkeypatch.setattr("cluster_kit.strategies.dns.diagnosis.RESOLV_CONF", str(path))
    monkeypatch.setattr("cluster_kit.strategies.dns.server.RESOLV_CONF", str(path))
    monkeypatch.setattr("cluster_kit.strategies.dns.search.RESOLV_CONF", str(path))
    return path


@pytest.fixture
def server():
    with HostileServer(
        {(WEB, "A"): ["10.1.2.3", "10.1.2.4"], (SERVICE, "A"): ["10.1.2.3", "10.1.2.4"]}
    ) as server:
        yield server


def diagnosed(strategy):
    async def run():
        async with asyncio.timeout(30):
            return [finding async for finding in strategy.diagnose(FakeDiscovery(POD))]

    return asyncio.run(run())


def dns(server, query=WEB, lookup_s=0.5, **options):
    return patient(DnsStrategy, lookup_s)(
        query=query, port=4370, **{"resolver": server.resolver, "interval_s": 60.0, **options}
    )


def test_the_option_resolver_is_reported_with_the_search_domains(server):
    whom = diagnosed(dns(server))[0]
    assert whom.asked == "which name servers the option resolver names"
    assert (
        whom.got == f"{server.resolver}; search domains shop.svc.cluster.local, svc.cluster.local"
    )


def test_each_kind_is_reported(server):
    _, a, aaaa = diagnosed(dns(server))
    assert a.asked == f"A of {WEB!r} at {server.resolver}"
    assert a.got == "2 records: 10.1.2.3, 10.1.2.4; time to live 30 s"
    assert aaaa.asked == f"AAAA of {WEB!r} at {server.resolver}"
    assert aaaa.got == "it has no AAAA records"
    assert a.outcome is aaaa.outcome is Outcome.OK  # one family is enough
    assert a.cause is aaaa.cause is None


def test_records_that_outlive_the_interval_are_a_warning(server):
    _, a, _ = diagnosed(dns(server, interval_s=5.0))
    assert a.outcome is Outcome.OK
    assert "30 s" in a.cause


FAILURES = {
    "servfail": "log",
    "refused": "resolver",
    "silent": "drops",
    "garbage": "drops",
    "cut": "cuts TCP",
}


@pytest.mark.parametrize(("manner", "cure"), FAILURES.items())
def test_no_answer_is_failed(server, manner, cure):
    server.manner = manner
    _, a, aaaa = diagnosed(dns(server))
    for finding in (a, aaaa):
        assert finding.outcome is Outcome.FAILED
        assert cure in finding.cause


@pytest.mark.parametrize(
    ("manner", "got", "cause"),
    [
        ("nxdomain", "NXDOMAIN", "or the name is misspelt"),
        ("nodata", "it has no A", "its records are of another type or family"),
    ],
)
def test_answer_without_records_is_empty(server, manner, got, cause):
    server.manner = manner
    _, a, aaaa = diagnosed(dns(server))
    for finding in (a, aaaa):
        assert finding.outcome is Outcome.EMPTY
        assert got in finding.got
        assert cause in finding.cause


def test_a_short_name_without_search_domains_is_explained(server, resolv_conf):
    resolv_conf.write_text("nameserver 10.96.0.10\n")
    finding = diagnosed(dns(server, "web"))[1]
    assert "it has no dots, and there are no search domains" in finding.cause


def test_one_of_several_name_servers_down_is_a_warning(server):
    # long enough for the second server's turn to come
    whom, a, _ = diagnosed(dns(server, lookup_s=5.0, resolver=f"127.0.0.1:1 {server.resolver}"))
    assert (whom.outcome, a.outcome) == (Outcome.OK, Outcome.OK)
    assert whom.cause.startswith("127.0.0.1:1 does not answer: questions that go there")


def test_missing_name_server_is_the_finding(resolv_conf):
    resolv_conf.unlink()
    [whom] = diagnosed(DnsSrvStrategy(query=WEB))
    assert whom.outcome is Outcome.FAILED
    assert "correct" in whom.cause


def test_a_service_with_a_cluster_ip_is_suspected(server):
    server.records[SERVICE, "A"] = ["10.96.0.7"]
    strategy = KubernetesDnsStrategy(
        service="web", namespace="shop", port=4370, resolver=server.resolver
    )
    assert "not headless" in diagnosed(strategy)[1].cause


def test_a_missing_service_is_explained(server):
    strategy = KubernetesDnsStrategy(
        service="nope", namespace="shop", port=4370, resolver=server.resolver
    )
    finding = diagnosed(strategy)[1]
    assert finding.outcome is Outcome.EMPTY
    assert "publishNotReadyAddresses" in finding.cause
    assert "CLUSTER_DOMAIN" in finding.cause


# SRV


@pytest.fixture
def services(server):
    server.records[SERVICE, "SRV"] = ["0 5 4370 web-0.shop.test.", "0 5 4370 web-1.shop.test."]
    server.records["web-0.shop.test", "A"] = ["10.1.2.3"]
    server.records["web-1.shop.test", "A"] = ["10.1.2.4"]
    return server


def srv(server, **options):
    return KubernetesDnsSrvStrategy(
        service="web", namespace="shop", resolver=server.resolver, **options
    )


def test_services_and_their_nodes_are_reported(services):
    _, records, nodes = diagnosed(srv(services, application_name="app", polling_interval_s=60.0))
    assert records.got == "2 records: web-0.shop.test:4370, web-1.shop.test:4370; time to live 30 s"
    found = "app@web-0.shop.test (10.1.2.3:4370), app@web-1.shop.test (10.1.2.4:4370)"
    assert nodes.got == f"2 nodes: {found}"
    for each in (records, nodes):
        assert (each.outcome, each.cause) == (Outcome.OK, None)


def test_targets_without_address_are_reported(services):
    del services.records["web-1.shop.test", "A"]
    nodes = diagnosed(srv(services))[-1]
    assert (nodes.got, nodes.outcome) == ("1 node: 10.1.2.3:4370", Outcome.FAILED)
    assert "'web-1.shop.test' has no address" in nodes.cause


def test_targets_that_fail_are_failed(services):
    services.manner = {"A": "servfail"}
    nodes = diagnosed(srv(services))[-1]
    assert (nodes.got, nodes.outcome) == ("0 nodes", Outcome.FAILED)


def test_a_port_that_is_missing_is_reported(services):
    services.records[SERVICE, "SRV"] = ["0 5 0 web-0.shop.test."]
    nodes = diagnosed(srv(services))[-1]
    assert nodes.outcome is Outcome.EMPTY
    assert "set port" in nodes.cause


def test_missing_services_are_explained(services):
    del services.records[SERVICE, "SRV"]
    [_, records] = diagnosed(srv(services))
    assert records.outcome is Outcome.EMPTY
    assert "_port._tcp" in records.cause
