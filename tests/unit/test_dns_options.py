"""The options of the DNS strategies: what is refused, and in which words."""

import pytest

from cluster_kit.errors import ConfigError
from cluster_kit.strategies.dns import DnsStrategy
from cluster_kit.strategies.dns.options import read_names, read_servers
from cluster_kit.strategies.dns_srv import DnsSrvStrategy
from cluster_kit.strategies.kubernetes_dns import KubernetesDnsStrategy
from cluster_kit.strategies.kubernetes_dns_srv import KubernetesDnsSrvStrategy


def test_names_are_separated_by_commas_or_blanks_and_each_is_asked_once():
    assert read_names("query", "a.test, b.test  c.test.,a.test") == ("a.test", "b.test", "c.test.")


@pytest.mark.parametrize("query", ["10.0.0.1", "web.test fd00::1"])
def test_an_address_needs_no_dns(query):
    with pytest.raises(ConfigError, match=r"^query: .*an address.*strategy static"):
        DnsStrategy(query=query, port=4370)


@pytest.mark.parametrize(
    "query",
    [
        "",
        " , ",
        "a..test",
        "-a.test",
        "a b\u00e9.test",
        "a" * 64,
        ".".join(["a" * 60] * 5),
        "a/b",
        "[::1]",
    ],
)
def test_invalid_name_is_refused(query):
    with pytest.raises(ConfigError, match=r"^query: "):
        DnsStrategy(query=query, port=4370)


def test_server_port_defaults_to_the_dns_port():
    assert read_servers("10.0.0.2, 10.0.0.3:5353 fd00::2,[fd00::3]:54") == (
        ("10.0.0.2", 53),
        ("10.0.0.3", 5353),
        ("fd00::2", 53),
        ("fd00::3", 54),
    )


@pytest.mark.parametrize(
    "resolver", ["dns.test", "10.0.0.2:0", "10.0.0.2:99999", "10.0.0", "[fd00::2", "", ", "]
)
def test_a_resolver_that_is_no_address_is_refused(resolver):
    with pytest.raises(ConfigError, match=r"^resolver: .*expected the address of a name server"):
        DnsStrategy(query="a.test", port=4370, resolver=resolver)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("port", 0),
        ("port", 65536),
        ("interval_s", 0),
        ("interval_s", -1.0),
        ("interval_s", float("nan")),
        ("confirmations", 0),
        ("node_basename", "a@b"),
        ("node_basename", "a b"),
        ("node_basename", ""),
        ("node_basename", "a" * 250),
    ],
)
@pytest.mark.parametrize("strategy", [DnsStrategy, DnsSrvStrategy])
def test_invalid_option_is_refused_by_name(strategy, option, value):
    with pytest.raises(ConfigError, match=f"^{option}: "):
        strategy(**{"query": "a.test", "port": 4370, option: value})


def test_addresses_need_a_port_unless_nodes_are_dialled_by_name():
    with pytest.raises(ConfigError, match="port: is missing"):
        DnsStrategy(query="a.test")
    assert DnsStrategy(query="a.test", node_basename="web").port is None


@pytest.mark.parametrize(
    "build",
    [
        lambda: DnsSrvStrategy(query="a.test"),
        lambda: DnsStrategy(query="a.test", port=1, resolver="10.0.0.2"),
        lambda: KubernetesDnsSrvStrategy(service="web"),
        lambda: KubernetesDnsStrategy(service="web", port=1, resolver="10.0.0.2"),
    ],
)
def test_a_missing_extra_is_reported_with_the_cure(build, monkeypatch):
    monkeypatch.setattr("cluster_kit.strategies.dns.options.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'cluster-kit\[dns\]'"):
        build()


def test_addresses_by_the_system_need_no_extra(monkeypatch):
    monkeypatch.setattr("cluster_kit.strategies.dns.options.find_spec", lambda name: None)
    DnsStrategy(query="a.test", port=4370)
    KubernetesDnsStrategy(service="web", port=4370)


# Presets


def test_kubernetes_service_of_a_namespace_is_asked_for_by_its_whole_name(monkeypatch):
    monkeypatch.delenv("CLUSTER_DOMAIN", raising=False)
    preset = KubernetesDnsStrategy(
        service="web",
        namespace="shop",
        application_name="app",
        port=4370,
        polling_interval_s=2.0,
        confirmations=3,
    ).preset()
    assert preset == DnsStrategy(
        query="web.shop.svc.cluster.local.",
        node_basename="app",
        port=4370,
        interval_s=2.0,
        confirmations=3,
    )


def test_kubernetes_service_without_namespace_is_left_to_the_search_domains():
    assert KubernetesDnsStrategy(service="web", port=4370).preset().query == "web"


@pytest.mark.parametrize("domain", ["corp.test", "corp.test."])
def test_kubernetes_domain_comes_from_the_environment(domain, monkeypatch):
    monkeypatch.setenv("CLUSTER_DOMAIN", domain)
    preset = KubernetesDnsSrvStrategy(
        service="web", namespace="shop", application_name="app"
    ).preset()
    assert preset == DnsSrvStrategy(query="web.shop.svc.corp.test.", node_basename="app")


def test_kubernetes_port_can_be_asked_for_by_name(monkeypatch):
    monkeypatch.delenv("CLUSTER_DOMAIN", raising=False)
    preset = KubernetesDnsSrvStrategy(service="_cluster._tcp.web", namespace="shop").preset()
    assert preset.query == "_cluster._tcp.web.shop.svc.cluster.local."


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("service", "a, b"),
        ("service", ""),
        ("namespace", "a b"),
        ("application_name", "a@b"),
        ("polling_interval_s", 0),
        ("port", 0),
        ("resolver", "dns"),
    ],
)
@pytest.mark.parametrize("strategy", [KubernetesDnsStrategy, KubernetesDnsSrvStrategy])
def test_presets_name_the_option_that_is_wrong(strategy, option, value):
    with pytest.raises(ConfigError, match=f"^{option}: "):
        strategy(**{"service": "web", "port": 4370, option: value})


# All at once


@pytest.mark.parametrize(
    ("build", "options"),
    [
        (DnsStrategy, ("query", "port", "interval_s", "confirmations", "resolver")),
        (DnsSrvStrategy, ("query", "port", "interval_s", "confirmations", "resolver")),
        (
            KubernetesDnsStrategy,
            ("service", "port", "polling_interval_s", "confirmations", "resolver"),
        ),
        (
            KubernetesDnsSrvStrategy,
            ("service", "port", "polling_interval_s", "confirmations", "resolver"),
        ),
    ],
)
def test_all_options_that_are_wrong_are_reported_at_once(build, options):
    wrong = {"query": "a b/c", "service": "a b", "resolver": "dns"}
    with pytest.raises(ConfigError) as caught:
        build(**{option: wrong.get(option, 0) for option in options})
    assert [error.path for error in caught.value.errors] == list(options)
