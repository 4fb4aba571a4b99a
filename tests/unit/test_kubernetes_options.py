"""The options of ``kubernetes``: what is refused, and what libcluster calls them."""

import importlib.util
from pathlib import Path

import pytest

from cluster_kit.config.document import Document
from cluster_kit.config.options import read_options
from cluster_kit.errors import ConfigError
from cluster_kit.strategies.kubernetes import KubernetesStrategy

LIBCLUSTER = {
    "kubernetes_selector": "app=web",
    "kubernetes_node_basename": "web",
    "kubernetes_namespace": "shop",
    "mode": "hostname",
    "kubernetes_service_name": "peers",
    "kubernetes_ip_lookup_mode": "pods",
    "kubernetes_cluster_name": "east",
    "kubernetes_use_cached_resources": True,
    "kubernetes_master": "kubernetes.default.svc",
    "kubernetes_service_account_path": "/run/account",
}


def options(given):
    return read_options(Document(data=given).root, KubernetesStrategy)


def test_options_of_libcluster_are_taken_by_their_names_with_and_without_prefix():
    short = {name.removeprefix("kubernetes_"): value for name, value in LIBCLUSTER.items()}
    assert options(LIBCLUSTER) == options(short)
    strategy = KubernetesStrategy(**options(LIBCLUSTER))
    assert (strategy.selector, strategy.node_basename, strategy.namespace) == (
        "app=web",
        "web",
        "shop",
    )
    assert strategy.service_account_path == Path("/run/account")


def test_defaults_are_those_of_libcluster():
    strategy = KubernetesStrategy(selector="app=web")
    assert (strategy.mode, strategy.ip_lookup_mode, strategy.cluster_name) == (
        "ip",
        "endpoints",
        "cluster",
    )
    assert strategy.polling_interval_s == 5.0
    assert not strategy.use_cached_resources
    assert str(strategy.service_account_path) == "/var/run/secrets/kubernetes.io/serviceaccount"


def test_all_options_that_are_wrong_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        KubernetesStrategy(mode="hostname", node_basename="a@b", port=0, polling_interval_s=0)
    assert [error.path for error in caught.value.errors] == [
        "selector",
        "service_name",
        "node_basename",
        "port",
        "polling_interval_s",
    ]


def test_port_is_a_number_or_a_name():
    assert options({"port": 4000}) == {"port": 4000}
    assert options({"port": "cluster"}) == {"port": "cluster"}


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({}, "selector"),
        ({"service_name": "web", "ip_lookup_mode": "pods"}, "selector"),
        ({"selector": "app=web", "mode": "dns"}, "node_basename"),
        ({"selector": "app=web", "mode": "hostname", "node_basename": "web"}, "service_name"),
        ({"selector": "app=web", "node_basename": "web@host"}, "node_basename"),
        ({"selector": "app=web", "port": 0}, "port"),
        ({"selector": "app=web", "port": 65536}, "port"),
        ({"selector": "app=web", "port": "Not A Port"}, "port"),
        ({"selector": "app=web", "port": ""}, "port"),
        (
            {"selector": "app=web", "port": "45893"},
            "port: invalid value '45893': no port has a number",
        ),
        ({"selector": "app=web", "namespace": "../kube-system"}, "namespace"),
        ({"service_name": "web/pods"}, "service_name"),
        ({"selector": "app=web", "polling_interval_s": 0.0}, "polling_interval_s"),
        ({"selector": "app=web", "polling_interval_s": float("nan")}, "polling_interval_s"),
        ({"selector": "app=web", "master": "http://kubernetes"}, "master"),
        (
            {"selector": "app=web", "master": "10.0.0.1:6443"},
            "master: invalid value '10.0.0.1:6443': expected https://host:port",
        ),
        ({"selector": "app=web", "master": "https://$(HOST)"}, "master"),
        ({"selector": "app=web", "master": "https://host:port/"}, "master"),
        ({"selector": "app=web", "master": "https://host/path"}, "master"),
        ({"selector": "app=web", "context": ""}, "context"),
        ({"selector": "app=web", "context": "$CONTEXT"}, "context"),
        ({"selector": "app=web", "node_basename": "$(APP)"}, "node_basename"),
        ({"selector": "", "service_name": "web"}, "selector"),
        ({"selector": "app=web", "cluster_name": "east west"}, "cluster_name"),
        ({"selector": " "}, "selector"),
        ({"selector": "app=web,"}, "selector"),
        ({"selector": "app: web"}, "selector"),
        ({"selector": "app in web"}, "selector"),
        ({"selector": "app=we b"}, "selector"),
    ],
    ids=str,
)
def test_bad_option_is_named(given, option):
    with pytest.raises(ConfigError) as caught:
        KubernetesStrategy(**given)
    assert str(caught.value).startswith(option)


@pytest.mark.parametrize(
    "selector",
    [
        "app",
        "!app",
        "app=web",
        "app==web, tier != test",
        "k8s.io/app in (web, api),!canary",
        "app notin ()",
        "n > 3",
        "app=",
    ],
)
def test_selector_is_whatever_the_server_takes(selector):
    assert KubernetesStrategy(selector=selector).selector == selector


def test_domain_of_the_environment_is_named_where_it_is_wrong(monkeypatch):
    monkeypatch.setenv("CLUSTER_DOMAIN", "k8s..example")
    with pytest.raises(
        ConfigError, match=r"^CLUSTER_DOMAIN: .*'k8s\.\.example': expected a DNS name"
    ):
        KubernetesStrategy(selector="app=web")


@pytest.mark.parametrize(
    ("environ", "domain"),
    [
        ({}, "east.local"),
        ({"CLUSTER_DOMAIN": "k8s.example."}, "k8s.example"),
        ({"CLUSTER_DOMAIN": ""}, "east.local"),
    ],
)
def test_cluster_domain_wins_over_the_cluster_name(environ, domain):
    assert KubernetesStrategy(selector="app=web", cluster_name="east").domain(environ) == domain


@pytest.mark.parametrize("found", [None, "old"])
def test_missing_extra_is_reported_with_its_cure(found, monkeypatch, tmp_path):
    spec = (
        importlib.util.spec_from_loader("kubernetes", loader=None, is_package=True)
        if found
        else None
    )
    if spec is not None:
        spec.submodule_search_locations.append(str(tmp_path))  # 36 and older have no asyncio half
    monkeypatch.setattr("cluster_kit.strategies.kubernetes.options.find_spec", lambda name: spec)
    with pytest.raises(ConfigError, match=r"pip install 'cluster-kit\[kubernetes\]'"):
        KubernetesStrategy(selector="app=web")


def test_zone_in_the_url_of_a_master_is_written_as_in_a_url():
    KubernetesStrategy(selector="app=web", master="https://[fe80::1%25eth0]:6443")
