"""``diagnose`` reports each step's question, its answer, and the cure if there was none."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from epmd_server import DEADLINE_S, EpmdServer

from cluster_kit.diagnosis import Outcome
from cluster_kit.node import Fence, Node
from cluster_kit.strategies.epmd import EpmdStrategy
from cluster_kit.strategies.erlang_hosts import ErlangHostsStrategy
from cluster_kit.strategies.local_epmd import LocalEpmdStrategy
from cluster_kit.testing import FakeDiscovery, Listener, leaves_nothing

ANN = Node(name="ann@127.0.0.1", address="127.0.0.1:45001")
LOOKING = {"announce": False}


@pytest.fixture
def server(require):
    require("epmd")
    with EpmdServer() as server:
        yield server


def running(name, port=45002, **ctx):
    host = name.partition("@")[2]
    return FakeDiscovery(Node(name=name, address=f"{host}:{port}"), **ctx)


def diagnose(server, strategy, *nodes, local=ANN):
    """Return the findings while ``nodes`` are registered."""

    async def scenario():
        async with asyncio.timeout(2 * DEADLINE_S), AsyncExitStack() as stack:
            for ctx in nodes:
                await stack.enter_async_context(
                    Listener(LocalEpmdStrategy(epmd_port=server.port), ctx)
                )
                await ctx.has_announced.wait()
            return [finding async for finding in strategy.diagnose(FakeDiscovery(local, **LOOKING))]

    return asyncio.run(scenario())


def of(findings, asked):
    (finding,) = [finding for finding in findings if asked in finding.asked]
    return finding


def listed(server, *hosts, **options):
    return EpmdStrategy(hosts=hosts, epmd_port=server.port, **options)


def test_registered_name_is_found(server):
    findings = diagnose(server, listed(server, "bob@127.0.0.1"), running("bob@127.0.0.1"))
    assert of(findings, ": names").got == "1 name: bob"
    found = of(findings, "bob@")
    assert (found.outcome, found.cause) == (Outcome.OK, None)
    assert found.got == "a node of cluster 'conformance', group 'conformance', port 45002"


def test_similar_registered_name_is_reported(server):
    finding = of(
        diagnose(server, listed(server, "web@127.0.0.1"), running("web1@127.0.0.1")), "web@"
    )
    assert (finding.got, finding.outcome) == ("not registered", Outcome.EMPTY)
    assert "knows 'web1'" in finding.cause


def test_name_that_was_registered_is_reported(server):
    diagnose(server, listed(server, "bob@127.0.0.1"), running("bob@127.0.0.1"))
    server.until(lambda names: not names, "nobody")
    finding = of(
        diagnose(server, listed(server, "bob@127.0.0.1"), running("eve@127.0.0.1")), "bob@"
    )
    assert "until its process ended" in finding.cause


def test_unknown_name_is_reported_with_those_that_are_known(server):
    finding = of(
        diagnose(server, listed(server, "bob@127.0.0.1"), running("eve@127.0.0.1")), "bob@"
    )
    assert "knows only eve" in finding.cause


def test_name_under_another_host_name_is_reported(server):
    finding = of(
        diagnose(server, listed(server, "bob@localhost"), running("bob@127.0.0.1")), "bob@"
    )
    assert finding.outcome is Outcome.EMPTY
    assert "it calls itself bob@127.0.0.1" in finding.cause


@pytest.mark.parametrize("strategy", ["listed", "all"])
def test_foreign_node_is_reported_with_both_fences(server, strategy):
    chosen = (
        listed(server, "bob@127.0.0.1")
        if strategy == "listed"
        else LocalEpmdStrategy(epmd_port=server.port)
    )
    foreign = running("bob@127.0.0.1", fence=Fence("elsewhere", "conformance"))
    finding = of(diagnose(server, chosen, foreign), "bob@")
    assert finding.outcome is Outcome.EMPTY
    assert "cluster 'elsewhere'" in finding.cause
    assert "cluster 'conformance'" in finding.cause


def test_empty_epmd_is_empty_not_failed(server):
    finding = of(diagnose(server, LocalEpmdStrategy(epmd_port=server.port)), ": names")
    assert (finding.got, finding.outcome) == ("no names", Outcome.EMPTY)


def test_epmd_that_knows_only_us_is_empty(server):
    finding = of(
        diagnose(server, LocalEpmdStrategy(epmd_port=server.port), running(ANN.name)), ": names"
    )
    assert (finding.got, finding.outcome) == ("no name but our own", Outcome.EMPTY)


def test_epmd_that_is_down_is_reported(server):
    server.kill()
    findings = diagnose(server, listed(server, "bob@127.0.0.1", "cat@host.invalid"))
    assert {finding.outcome for finding in findings} == {Outcome.FAILED}
    assert (
        f"epmd -port {server.port} -daemon" in of(findings, f"127.0.0.1:{server.port}: names").cause
    )
    assert "does not resolve" in of(findings, "host.invalid").cause


def test_name_of_ours_that_is_free_is_reported(server):
    finding = of(diagnose(server, LocalEpmdStrategy(epmd_port=server.port)), "our own name 'ann'")
    assert finding.outcome is Outcome.OK
    assert finding.got.startswith("free")


def test_name_of_ours_that_we_hold_is_reported(server):
    finding = of(
        diagnose(server, LocalEpmdStrategy(epmd_port=server.port), running(ANN.name)),
        "our own name 'ann'",
    )
    assert finding.outcome is Outcome.OK
    assert finding.got == "registered by a running process of this cluster, port 45002"


@pytest.mark.parametrize(
    "holder", [running("ann@127.0.0.1", fence=Fence("other", "x")), running("ann@127.0.0.3")]
)
def test_name_of_ours_that_another_holds_is_reported(server, holder):
    finding = of(
        diagnose(server, LocalEpmdStrategy(epmd_port=server.port), holder), "our own name 'ann'"
    )
    assert finding.outcome is Outcome.FAILED
    assert finding.got.startswith("taken by a node")


def test_epmd_on_loopback_only_is_reported(server):
    local = Node(name="ann@192.0.2.1", address="192.0.2.1:45001")  # TEST-NET-1: no host has it
    findings = diagnose(
        server, LocalEpmdStrategy(epmd_port=server.port, deadline_s=1.0), local=local
    )
    finding = of(findings, "as other hosts ask")
    assert finding.outcome is Outcome.FAILED
    assert "ERL_EPMD_ADDRESS" in finding.cause


def test_list_without_other_nodes_is_reported(server, tmp_path):
    path = tmp_path / ".hosts.erlang"
    path.write_text("% nobody yet\n")
    for strategy in (
        listed(server, ANN.name),
        ErlangHostsStrategy(path=path, epmd_port=server.port),
    ):
        finding = of(diagnose(server, strategy), "nodes that it names")
        assert (finding.got, finding.outcome) == ("nobody else", Outcome.EMPTY)


def test_missing_host_file_is_reported(server, tmp_path):
    strategy = ErlangHostsStrategy(path=tmp_path / "nowhere", epmd_port=server.port)
    finding = of(diagnose(server, strategy), "which hosts")
    assert finding.outcome is Outcome.FAILED
    assert "nowhere" in finding.cause


def test_diagnosis_announces_nothing_and_leaves_nothing(server):
    async def scenario():
        async with leaves_nothing():
            ctx = FakeDiscovery(ANN)
            assert [
                finding async for finding in LocalEpmdStrategy(epmd_port=server.port).diagnose(ctx)
            ]
            assert not ctx.has_announced.is_set()

    asyncio.run(scenario())
    assert server.names() == {}


def test_each_text_is_one_line(server):
    findings = diagnose(
        server,
        listed(server, "bob@127.0.0.1", "cat@host.invalid", "x@127.0.0.1"),
        running("bob@127.0.0.1"),
    )
    for finding in findings:
        assert "\n" not in f"{finding.asked}{finding.got}{finding.cause}"
