"""Strategies ``dns`` and ``dns_srv`` with failing name servers: only an answer removes nodes."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from dns_hostile import HostileServer, patient

from cluster_kit.abc import Failed, Found
from cluster_kit.node import Node
from cluster_kit.strategies.dns import DnsStrategy
from cluster_kit.strategies.dns_srv import DnsSrvStrategy
from cluster_kit.testing import FakeDiscovery, Listener

LOCAL = Node(name="web@127.0.0.9", address="127.0.0.9:4370")
WEB, DB = "web.shop.test", "db.shop.test"


@pytest.fixture
def server():
    with HostileServer(
        {(WEB, "A"): ["127.0.0.2", "127.0.0.3"], (DB, "A"): ["127.0.0.4"], (DB, "AAAA"): ["::1"]}
    ) as server:
        yield server


def dns(server, query=WEB, lookup_s=0.5, **options):
    return patient(DnsStrategy, lookup_s)(
        query=query, port=4370, resolver=server.resolver, **{"interval_s": 0.05, **options}
    )


def srv(server, query="_web._tcp.shop.test", lookup_s=0.5, **options):
    return patient(DnsSrvStrategy, lookup_s)(
        query=query, resolver=server.resolver, **{"interval_s": 0.05, **options}
    )


def addresses(found):
    return sorted(node.address for node in found.nodes)


class Story:
    """Runs a strategy and waits for what it says next."""

    def __init__(self, heard):
        self.heard = heard

    async def found(self, *expected):
        def met(observation):
            return isinstance(observation, Found) and addresses(observation) == sorted(expected)

        return await self.heard.until(met, f"the nodes {expected}", since=self.seen())

    async def failed(self, text, times=1):
        """Wait until the next failures say ``text``."""
        since = len(self.heard.observations)
        for _ in range(times):
            error = await self.heard.until(
                lambda observation: (
                    isinstance(observation, Failed) and text in str(observation.error)
                ),
                text,
                since=since,
            )
            since = self.heard.observations.index(error, since) + 1

    def seen(self):
        return max(0, len(self.heard.observations) - 1)

    def now(self):
        return addresses([each for each in self.heard.observations if isinstance(each, Found)][-1])


@asynccontextmanager
async def listening(strategy):
    async with asyncio.timeout(30), Listener(strategy, FakeDiscovery(LOCAL)) as heard:
        yield Story(heard)


def run_strategy(strategy, scenario):
    async def run():
        async with listening(strategy) as story:
            await scenario(story)

    asyncio.run(run())


TWO = ("127.0.0.2:4370", "127.0.0.3:4370")

FAULTS = {
    "silent": "does not answer",
    "servfail": "SERVFAIL",
    "refused": "REFUSED",
    "lame": "127.0.0.1 does not serve the name",
    "garbage": "does not answer",  # what can't be read is as if it weren't there
    "wrong_id": "does not answer",
    "wrong_question": "does not answer",
    "truncated_everywhere": "truncates its reply even by TCP",
    "cut": "closes the connection by TCP",
}


@pytest.mark.parametrize(("manner", "words"), FAULTS.items())
def test_failed_lookup_removes_no_node_and_names_the_fault(server, manner, words):
    async def scenario(story):
        await story.found(*TWO)
        server.manner = manner
        await story.failed(words, times=2)
        assert story.now() == list(TWO)
        server.manner = "answer"
        await story.found(*TWO)

    run_strategy(dns(server, family="ipv4", confirmations=1), scenario)


def test_truncated_answer_is_asked_for_again_by_tcp(server):
    server.manner = "truncated"

    async def scenario(story):
        await story.found(*TWO)

    run_strategy(dns(server), scenario)
    assert (WEB, "A", "tcp") in server.asked


@pytest.mark.parametrize("manner", ["truncated", "answer"], ids=["by TCP", "in one datagram"])
def test_a_thousand_addresses_come_in_one_answer(server, manner):
    many = [f"127.1.{high}.{low}" for high in range(4) for low in range(1, 251)]
    server.records[WEB, "A"] = many
    server.manner = {"A": manner}

    async def scenario(story):
        await story.found(*(f"{address}:4370" for address in many))

    run_strategy(dns(server), scenario)


@pytest.mark.parametrize("manner", ["nxdomain", "nodata"])
@pytest.mark.parametrize("confirmations", [1, 2, 3])
def test_empty_answer_is_believed_when_it_repeats(server, manner, confirmations):
    async def scenario(story):
        await story.found(*TWO)
        server.asked.clear()
        server.manner = manner
        await story.found()
        answers = sum(kind == "A" for _, kind, _ in server.asked)
        assert answers >= max(confirmations, 2)

    run_strategy(dns(server, confirmations=confirmations), scenario)


def test_a_name_that_is_gone_counts_as_failed_at_first(server):
    async def scenario(story):
        await story.found(*TWO)
        server.manner = "nxdomain"
        await story.failed("NXDOMAIN")
        assert story.now() == list(TWO)

    run_strategy(dns(server, confirmations=50), scenario)


def test_a_name_that_never_was_is_said_to_be_missing(server):
    async def scenario(story):
        await story.failed("'nope.shop.test' lists no nodes: there is no such name (NXDOMAIN)")

    run_strategy(dns(server, "nope.shop.test"), scenario)


def test_the_family_that_fails_keeps_its_nodes_while_the_other_goes_on(server):
    async def scenario(story):
        await story.found("127.0.0.4:4370", "[::1]:4370")
        server.manner = {"AAAA": "silent"}
        server.records[DB, "A"] = ["127.0.0.5"]
        await story.failed("cannot look up AAAA of 'db.shop.test'")
        await story.found("127.0.0.5:4370", "[::1]:4370")
        server.manner = "answer"
        del server.records[DB, "AAAA"]
        await story.found("127.0.0.5:4370")

    run_strategy(dns(server, DB), scenario)


def test_the_name_that_fails_keeps_its_nodes_while_the_others_go_on(server):
    async def scenario(story):
        await story.found(*TWO, "127.0.0.4:4370")
        del server.records[WEB, "A"]
        server.records[DB, "A"] = ["127.0.0.6"]
        server.manner = {"A": "answer"}
        await story.found("127.0.0.6:4370")

    run_strategy(dns(server, f"{WEB}, {DB}", family="ipv4"), scenario)


def test_addresses_of_one_family_are_no_fault(server):
    async def scenario(story):
        await story.found(*TWO)
        await story.found(*TWO)
        assert not [each for each in story.heard.observations if isinstance(each, Failed)]

    run_strategy(dns(server), scenario)


def test_the_next_server_is_asked_when_one_fails(server):
    with HostileServer() as broken:
        broken.manner = "servfail"

        async def scenario(story):
            await story.found(*TWO)
            assert not [each for each in story.heard.observations if isinstance(each, Failed)]

        both = f"{broken.resolver}, {server.resolver}"
        run_strategy(DnsStrategy(query=WEB, port=4370, resolver=both, interval_s=0.05), scenario)
        assert broken.asked


def test_nodes_are_named_by_basename_and_address(server):
    async def scenario(story):
        found = await story.heard.until(lambda each: isinstance(each, Found), "nodes")
        assert {node.name for node in found.nodes} == {"web@127.0.0.4", "web@::1"}

    run_strategy(dns(server, DB, node_basename="web"), scenario)


@pytest.mark.parametrize("manner", ["silent", "truncated_everywhere", "cut"])
def test_closing_while_a_server_hangs_is_immediate(server, manner):
    server.manner = manner

    async def scenario():
        heard = Listener(dns(server, lookup_s=30.0), FakeDiscovery(LOCAL))
        async with heard:
            assert await asyncio.to_thread(server.was_asked.wait, 20)
            async with asyncio.timeout(1):
                await heard.close()

    asyncio.run(scenario())


# SRV


@pytest.fixture
def services(server):
    server.records = {
        ("_web._tcp.shop.test", "SRV"): ["0 5 4370 a.shop.test.", "10 5 4371 b.shop.test."],
        ("a.shop.test", "A"): ["127.0.0.2"],
        ("b.shop.test", "A"): ["127.0.0.3"],
        ("b.shop.test", "AAAA"): ["::3"],
    }
    return server


BOTH = ("127.0.0.2:4370", "127.0.0.3:4371")


def test_each_record_is_a_node_at_its_target_and_port_whatever_its_priority(services):
    async def scenario(story):
        await story.found(*BOTH)

    run_strategy(srv(services), scenario)


def test_targets_that_come_along_are_not_asked_for(services):
    services.additional = [
        ("a.shop.test.", 30, "IN", "A", "127.0.0.2"),
        ("b.shop.test.", 30, "IN", "A", "127.0.0.3"),
    ]

    async def scenario(story):
        await story.found(*BOTH)

    run_strategy(srv(services), scenario)
    assert {kind for _, kind, _ in services.asked} == {"SRV"}


def test_services_are_named_by_basename_and_target(services):
    async def scenario(story):
        found = await story.heard.until(lambda each: isinstance(each, Found), "nodes")
        assert {node.name for node in found.nodes} == {"web@a.shop.test", "web@b.shop.test"}

    run_strategy(srv(services, node_basename="web"), scenario)


def test_a_target_that_can_t_be_located_keeps_everybody(services):
    async def scenario(story):
        await story.found(*BOTH)
        services.manner = {"A": "servfail"}
        del services.records["b.shop.test", "AAAA"]
        await story.failed("SERVFAIL", times=3)
        assert story.now() == list(BOTH)

    run_strategy(srv(services, confirmations=1), scenario)


def test_a_record_that_is_removed_takes_its_node_away(services):
    async def scenario(story):
        await story.found(*BOTH)
        services.records["_web._tcp.shop.test", "SRV"] = ["0 5 4370 a.shop.test."]
        await story.found("127.0.0.2:4370")

    run_strategy(srv(services), scenario)


@pytest.mark.parametrize("manner", ["silent", "servfail", "refused", "garbage", "cut"])
def test_failed_service_lookup_removes_no_node(services, manner):
    async def scenario(story):
        await story.found(*BOTH)
        services.manner = manner
        await story.failed("cannot look up SRV", times=2)
        assert story.now() == list(BOTH)

    run_strategy(srv(services, confirmations=1), scenario)


def test_a_node_on_ipv6_takes_the_targets_ipv6_address(services):
    async def scenario():
        local = Node(name="web@fd00::9", address="[fd00::9]:4370")
        async with Listener(srv(services), FakeDiscovery(local)) as heard:
            found = await heard.until(lambda each: isinstance(each, Found), "nodes")
        assert addresses(found) == ["127.0.0.2:4370", "[::3]:4371"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "text", [b"nameserver 127.0.0.1\nsearch a..b\n", b"nameserver 300.1.1.1\n", b"\xff\xfe", b""]
)
def test_a_resolv_conf_of_no_use_is_a_failure_unless_servers_are_named(
    server, text, tmp_path, monkeypatch
):
    path = tmp_path / "resolv.conf"
    path.write_bytes(text)
    monkeypatch.setattr("cluster_kit.strategies.dns.server.RESOLV_CONF", str(path))

    async def named(story):
        await story.found(*TWO)

    run_strategy(dns(server), named)

    async def unnamed(story):
        await story.heard.until(lambda each: isinstance(each, Failed), "a failure")

    run_strategy(DnsSrvStrategy(query="_web._tcp.shop.test", interval_s=0.05), unnamed)


# One name that hangs beside another


def test_a_name_that_hangs_delays_no_other_and_counts_when_it_is_answered(server):
    server.manner = {WEB: "silent"}

    async def scenario(story):
        await story.found("127.0.0.4:4370", "[::1]:4370")
        server.records[DB, "A"] = ["127.0.0.5"]
        await story.found("127.0.0.5:4370", "[::1]:4370")
        server.manner = "answer"  # it is asked again each second
        await story.found("127.0.0.2:4370", "127.0.0.3:4370", "127.0.0.5:4370", "[::1]:4370")
        assert not [each for each in story.heard.observations if isinstance(each, Failed)]

    run_strategy(dns(server, f"{WEB} {DB}", lookup_s=300.0), scenario)


def test_a_name_that_hangs_keeps_its_nodes(server):
    async def scenario(story):
        both = ["127.0.0.2:4370", "127.0.0.3:4370", "[::1]:4370"]
        await story.found("127.0.0.4:4370", *both)
        server.manner = {WEB: "silent"}
        server.records[DB, "A"] = ["127.0.0.5"]
        await story.found("127.0.0.5:4370", *both)

    run_strategy(dns(server, f"{WEB} {DB}", lookup_s=300.0, confirmations=1), scenario)


def test_services_of_a_name_that_hangs_delay_no_others(server):
    server.records["_web._tcp.shop.test", "SRV"] = [f"0 5 4370 {DB}."]
    server.records["_db._tcp.shop.test", "SRV"] = [f"0 5 4371 {WEB}."]
    server.manner = {"_db._tcp.shop.test": "silent"}

    async def scenario(story):
        await story.found("127.0.0.4:4370")

    run_strategy(srv(server, "_db._tcp.shop.test _web._tcp.shop.test", lookup_s=300.0), scenario)
