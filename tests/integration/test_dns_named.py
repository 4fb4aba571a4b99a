"""The DNS strategies with Debian's ``named``, whose zone changes and which is restarted."""

import asyncio

import pytest
from cli_process import Cluster
from dns_hostile import patient
from dns_named import Named, free_port

from cluster_kit.abc import Failed, Found
from cluster_kit.diagnosis import Outcome
from cluster_kit.node import Node
from cluster_kit.strategies.dns import DnsStrategy
from cluster_kit.strategies.dns.server import LOOKUP_S
from cluster_kit.strategies.dns_srv import DnsSrvStrategy
from cluster_kit.testing import FakeDiscovery, Listener

pytestmark = pytest.mark.once

LOCAL = Node(name="web@127.0.0.9", address="127.0.0.9:4370")


@pytest.fixture
def named(require, tmp_path):
    require("named")
    with Named(tmp_path / "named", "web A 127.0.0.2", "web A 127.0.0.3") as named:
        yield named


def run_strategy(strategy, scenario):
    async def run():
        async with (
            asyncio.timeout(60),
            Listener(strategy, FakeDiscovery(LOCAL), deadline_s=30) as heard,
        ):
            await scenario(heard)

    asyncio.run(run())


def is_found(*addresses):
    return lambda each: (
        isinstance(each, Found) and {node.address for node in each.nodes} == set(addresses)
    )


async def found(heard, *addresses):
    await heard.until(
        is_found(*addresses), f"the nodes {addresses}", since=max(0, len(heard.observations) - 1)
    )


async def failed(heard, text=""):
    since = len(heard.observations)
    await heard.until(
        lambda each: isinstance(each, Failed) and text in str(each.error), "a failure", since=since
    )


async def during(change, *arguments):
    """Change the server while the strategy goes on."""
    await asyncio.to_thread(change, *arguments)


def dns(named, query="web.shop.test", lookup_s=LOOKUP_S, **options):
    return patient(DnsStrategy, lookup_s)(
        query=query, port=4370, resolver=named.resolver, interval_s=0.1, **options
    )


def test_a_changed_zone_is_seen(named):
    async def scenario(heard):
        await found(heard, "127.0.0.2:4370", "127.0.0.3:4370")
        await during(named.rewrite, "web A 127.0.0.3", "web A 127.0.0.4", "web AAAA ::5")
        await found(heard, "127.0.0.3:4370", "127.0.0.4:4370", "[::5]:4370")

    run_strategy(dns(named), scenario)


def test_name_removed_from_the_zone_has_no_nodes_once_that_repeats(named):
    async def scenario(heard):
        await found(heard, "127.0.0.2:4370", "127.0.0.3:4370")
        await during(named.rewrite, "other A 127.0.0.3")
        await found(heard)
        first = next(each for each in heard.observations if isinstance(each, Failed))
        assert heard.observations.index(first) < len(heard.observations) - 1
        await during(named.rewrite, "web A 127.0.0.2")
        await found(heard, "127.0.0.2:4370")

    run_strategy(dns(named), scenario)


def test_killed_server_removes_no_node_and_is_used_again_when_it_is_back(named):
    async def scenario(heard):
        await found(heard, "127.0.0.2:4370", "127.0.0.3:4370")
        named.kill()
        await failed(heard)
        await failed(heard)
        assert not [
            each for each in heard.observations if isinstance(each, Found) and len(each.nodes) < 2
        ]
        await during(named.start)
        await during(named.rewrite, "web A 127.0.0.7")
        await found(heard, "127.0.0.7:4370")

    run_strategy(dns(named, lookup_s=0.5, confirmations=1), scenario)


def test_services_come_with_their_addresses(named):
    services = [
        "_web._tcp SRV 0 5 4370 a",
        "_web._tcp SRV 10 5 4371 b",
        "a A 127.0.0.2",
        "b A 127.0.0.3",
    ]

    async def scenario(heard):
        await during(named.rewrite, *services)
        await found(heard, "127.0.0.2:4370", "127.0.0.3:4371")
        await during(named.rewrite, *services[1:])
        await found(heard, "127.0.0.3:4371")

    run_strategy(
        DnsSrvStrategy(query="_web._tcp.shop.test", resolver=named.resolver, interval_s=0.1),
        scenario,
    )


def test_a_hundred_services_are_one_answer(named):
    numbers = range(100)  # more of one name named doesn't take
    records = [
        line
        for n in numbers
        for line in (f"_web._tcp SRV 0 5 4370 web-{n}", f"web-{n} A 127.1.0.{n}")
    ]

    async def scenario(heard):
        await during(named.rewrite, *records)
        await found(heard, *(f"127.1.0.{n}:4370" for n in numbers))

    run_strategy(
        DnsSrvStrategy(query="_web._tcp.shop.test", resolver=named.resolver, interval_s=0.1),
        scenario,
    )


# Search domains

WILDCARD = ["*.corp A 127.0.0.9", "other.corp A 127.0.0.8", "web A 127.0.0.2"]


@pytest.fixture
def search(monkeypatch, tmp_path):
    """Return a function that sets the search domain."""

    def search(domain):
        path = tmp_path / "resolv.conf"
        path.write_text(f"search {domain}\noptions ndots:5\n")
        for module in ("search", "server", "diagnosis"):
            monkeypatch.setattr(f"cluster_kit.strategies.dns.{module}.RESOLV_CONF", str(path))

    return search


def test_a_wildcard_in_a_search_domain_is_no_answer(named, search):
    search("corp.shop.test")
    named.rewrite(*WILDCARD)

    async def scenario(heard):
        await failed(heard, "search domain 'corp.shop.test' answers for every name (a wildcard)")
        await during(named.rewrite, *WILDCARD, "nobody A 127.0.0.3")
        await found(heard, "127.0.0.3:4370")
        assert not any(map(is_found("127.0.0.9:4370"), heard.observations))

    run_strategy(dns(named, "nobody.shop.test"), scenario)


def test_a_wildcard_does_not_stand_before_the_name_that_is_meant(named, search):
    search("corp.shop.test")
    named.rewrite(*WILDCARD)

    async def scenario(heard):
        await found(heard, "127.0.0.2:4370")
        assert len([each for each in heard.observations if isinstance(each, Found)]) == 1

    run_strategy(dns(named), scenario)


def test_the_search_domain_that_answers_is_reported(named, search, caplog):
    caplog.set_level("INFO")
    search("corp.shop.test")
    named.rewrite(*WILDCARD)

    async def scenario(heard):
        await found(heard, "127.0.0.8:4370")

    run_strategy(dns(named, "other"), scenario)
    assert "dns: 'other' is answered by search domain 'corp.shop.test'" in caplog.text


def test_a_wildcard_without_services_does_not_hide_them(named, search):
    search("corp.shop.test")
    named.rewrite(*WILDCARD, "_web._tcp SRV 0 5 4370 web")

    async def scenario(heard):
        await found(heard, "127.0.0.2:4370")

    strategy = DnsSrvStrategy(query="_web._tcp.shop.test", resolver=named.resolver, interval_s=0.1)
    run_strategy(strategy, scenario)


def diagnosed(strategy):
    async def run():
        async with asyncio.timeout(30):
            return [finding async for finding in strategy.diagnose(FakeDiscovery(LOCAL))]

    return asyncio.run(run())


def test_the_doctor_reports_the_search_domain(named, search):
    search("corp.shop.test")
    named.rewrite(*WILDCARD)
    _, a, _ = diagnosed(dns(named, "other"))
    assert a.got.startswith("1 record: 127.0.0.8; completed by search domain 'corp.shop.test'")
    _, a, _ = diagnosed(dns(named, "nobody.svc.shop.test"))
    assert "search domain 'corp.shop.test' answers for every name" in a.got
    assert a.outcome is Outcome.EMPTY
    assert "not headless" not in a.cause


# A cluster


def test_processes_that_share_a_name_and_a_port_form_a_cluster(named, tmp_path):
    """Each on a loopback address of its own, as pods or machines have theirs."""
    one, two, three = (f"web@127.0.0.{number}" for number in (2, 3, 4))
    port = free_port()
    lan = {
        "strategy": "dns",
        "config": {
            "query": "web.shop.test",
            "port": port,
            "resolver": named.resolver,
            "interval_s": 0.3,
        },
        "connector": {"name": "tcp", "port": port},
    }
    with Cluster(tmp_path) as cluster:
        file = cluster.write("dns.yaml", {"lan": lan})
        first, second = cluster.run(one, file=file), cluster.run(two, file=file)
        first.wait_for("node_up", node=two)
        second.wait_for("node_up", node=one)
        named.rewrite("web A 127.0.0.2", "web A 127.0.0.3", "web A 127.0.0.4")
        third = cluster.run(three, file=file)
        first.wait_for("node_up", node=three)
        third.wait_for("node_up", node=one)
        third.wait_for("node_up", node=two)
        named.kill()
        second.signal(9)
        first.wait_for("node_down", node=two)
        named.start()
        cluster.run(two, file=file).wait_for("node_up", node=one)
        first.wait_for("node_up", node=two, times=2)
        assert ("node_down", three) not in first.heard("node_down")


def test_names_by_basename_are_those_of_the_nodes(named, tmp_path):
    port = free_port()
    lan = {
        "strategy": "dns",
        "config": {
            "query": "web.shop.test",
            "port": port,
            "node_basename": "web",
            "resolver": named.resolver,
        },
        "connector": {"name": "tcp", "port": port},
    }
    with Cluster(tmp_path) as cluster:
        file = cluster.write("dns.yaml", {"lan": lan})
        first, second = (cluster.run(f"web@127.0.0.{number}", file=file) for number in (2, 3))
        first.wait_for("node_up", node="web@127.0.0.3")
        second.wait_for("node_up", node="web@127.0.0.2")
        told = {node for _, node in first.heard("node_found", "node_lost", "node_up")}
        assert told == {"web@127.0.0.3"}  # by its name from the start, and never itself
