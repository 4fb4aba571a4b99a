"""The EPMD strategies with Debian's EPMD: which nodes they find, also while EPMD is down."""

import asyncio
import itertools
import signal

import pytest
from epmd_server import DEADLINE_S, EpmdServer
from waiting import run

from cluster_kit.abc import Failed, Found
from cluster_kit.node import Fence, Node
from cluster_kit.strategies.epmd import EpmdStrategy
from cluster_kit.strategies.epmd.client import Epmd
from cluster_kit.strategies.erlang_hosts import ErlangHostsStrategy
from cluster_kit.strategies.local_epmd import LocalEpmdStrategy
from cluster_kit.testing import FakeDiscovery, Listener
from cluster_kit.wire.epmd import Dumped, NodeType, Registration

pytestmark = pytest.mark.once

ANN = Node(name="ann@127.0.0.1", address="127.0.0.1:45001")
BOB = Node(name="bob@127.0.0.1", address="127.0.0.1:45002")
CAT = Node(name="cat@127.0.0.1", address="127.0.0.1:45003")


@pytest.fixture
def server(require):
    require("epmd")
    with EpmdServer() as server:
        yield server


async def eventually(met):
    async with asyncio.timeout(DEADLINE_S):
        while not met():  # noqa: ASYNC110 - EPMD tells nobody of a change
            await asyncio.sleep(0.02)


def keys(observation):
    return {node.key for node in observation.nodes} if isinstance(observation, Found) else set()


def failed_for(cause):
    return lambda observation: isinstance(observation, Failed) and cause in str(observation.error)


def finds(*nodes):
    return lambda observation: keys(observation) >= {node.key for node in nodes}


def local(server, **options):
    return LocalEpmdStrategy(
        **({"epmd_port": server.port, "interval_s": 0.1, "gone_after_s": 0.3} | options)
    )


# The codec and the client against the real thing


def test_registration_is_found_listed_and_dumped(server):
    async def scenario():
        epmd = Epmd("127.0.0.1", server.port, DEADLINE_S)
        mine = Registration(
            name="née", port=4711, node_type=NodeType.HIDDEN, extra=bytes(range(256))
        )
        async with epmd.answering():
            registered, _, writer = await epmd.register(mine)
            assert registered.result == 0
            assert await epmd.find("née") == mine
            assert await epmd.find("nee") is None
            assert await epmd.names() == {"née": 4711}
            assert await epmd.dump() == (Dumped("née", 4711, active=True),)
            writer.close()
            while await epmd.names():
                pass
            assert await epmd.dump() == (Dumped("née", 4711, active=False),)

    run(scenario)


@pytest.mark.parametrize("version", [0, 5, 6])
def test_both_kinds_of_answer_to_a_registration_are_understood(server, version):
    async def scenario():
        epmd = Epmd("127.0.0.1", server.port, DEADLINE_S)
        mine = Registration(name="a", port=1, highest_version=version, lowest_version=version)
        async with epmd.answering():
            first, _, writer = await epmd.register(mine)
            second, _, other = await epmd.register(mine)
            assert (first.result, second.result) == (0, 1)
            other.close()
            writer.close()

    run(scenario)


def test_longest_names_and_markers_are_taken(server):
    async def scenario():
        epmd = Epmd("127.0.0.1", server.port, DEADLINE_S)
        mine = Registration(name="n" * 253, port=1, extra=bytes(800 - 253))
        async with epmd.answering():
            registered, _, writer = await epmd.register(mine)
            assert registered.result == 0
            assert await epmd.find(mine.name) == mine
            writer.close()

    run(scenario)


def test_many_names_are_all_asked_for(server):
    async def scenario():
        epmd = Epmd("127.0.0.1", server.port, DEADLINE_S)
        async with epmd.answering():
            held = [
                await epmd.register(Registration(name=f"n{number}", port=1000 + number))
                for number in range(100)
            ]
            found = await epmd.find_all(await epmd.names())
            assert {(entry.name, entry.port) for entry in found} == {
                (f"n{number}", 1000 + number) for number in range(100)
            }
            for _, _, writer in held:
                writer.close()

    run(scenario)


# Registering


def test_running_node_is_registered_and_a_closed_one_is_not(server):
    async def scenario():
        ctx = FakeDiscovery(ANN)
        async with Listener(local(server), ctx):
            await ctx.has_announced.wait()
            assert server.names() == {"ann": 45001}
        server.until(lambda names: not names, "nobody")

    run(scenario)


@pytest.mark.parametrize(
    ("options", "ctx"),
    [
        ({"register": False}, FakeDiscovery(ANN)),
        ({}, FakeDiscovery(ANN, announce=False)),
        ({}, FakeDiscovery(Node(name="ann@127.0.0.1"))),
    ],
    ids=["register: false", "only looks", "no connector that listens"],
)
def test_node_that_is_not_to_be_registered_finds_others_all_the_same(server, options, ctx):
    async def scenario():
        async with (
            Listener(local(server), FakeDiscovery(BOB)),
            Listener(local(server, **options), ctx) as ann,
        ):
            await ann.until(finds(BOB), "bob")
            assert ctx.has_announced.is_set()
            assert server.names() == {"bob": 45002}

    run(scenario)


def test_newcomer_asks_as_soon_as_it_is_registered(server):
    async def scenario():
        first, second = FakeDiscovery(ANN), FakeDiscovery(BOB)
        strategy = local(server, interval_s=3600.0)
        async with Listener(strategy, first) as ann:
            await ann.until(lambda _: True, "an answer")
            async with Listener(strategy, second) as bob:
                await bob.until(finds(ANN), "ann")
                assert not ann.vouched_for(BOB)

    run(scenario)


def test_of_nodes_that_start_together_each_pair_has_one_that_finds_the_other(server):
    async def scenario():
        nodes = [
            Node(name=f"n{number}@127.0.0.1", address=f"127.0.0.1:{46000 + number}")
            for number in range(8)
        ]
        strategy = local(server, interval_s=3600.0)
        listeners = {node: Listener(strategy, FakeDiscovery(node)) for node in nodes}
        try:
            for listener in listeners.values():
                await listener.__aenter__()
            pairs = list(itertools.combinations(nodes, 2))
            await eventually(
                lambda: all(
                    listeners[a].vouched_for(b) or listeners[b].vouched_for(a) for a, b in pairs
                )
            )
        finally:
            for listener in listeners.values():
                await listener.close()

    run(scenario)


def test_name_that_is_taken_is_a_failure_that_names_the_holder(server):
    async def scenario():
        other = FakeDiscovery(ANN.evolve(address="127.0.0.1:45009"), fence=Fence("other", "lan"))
        ctx = FakeDiscovery(ANN)
        async with Listener(local(server), other):
            await other.has_announced.wait()
            async with Listener(local(server), ctx) as ann:
                failed = await ann.until(
                    lambda observation: isinstance(observation, Failed), "a failure"
                )
                other = "a node of cluster 'other', group 'lan', port 45009"
                assert f"refuses our name 'ann': {other}" in str(failed.error)
                assert ctx.has_announced.is_set()

    run(scenario)


def test_name_is_ours_as_soon_as_its_holder_has_gone(server):
    async def scenario():
        other, ctx = FakeDiscovery(ANN.evolve(address="127.0.0.1:45009")), FakeDiscovery(ANN)
        async with Listener(local(server), other) as first:
            await other.has_announced.wait()
            async with Listener(local(server), ctx) as ann:
                await ann.until(failed_for("refuses our name"), "a failure")
                ctx.has_announced.clear()
                await first.close()
                await asyncio.wait_for(ctx.has_announced.wait(), DEADLINE_S)
                assert server.names() == {"ann": 45001}

    run(scenario)


# EPMD in trouble


def test_start_does_not_wait_for_an_epmd_that_is_down(server):
    async def scenario():
        server.kill()
        ctx, other = FakeDiscovery(ANN), FakeDiscovery(BOB)
        async with Listener(local(server), ctx) as ann, Listener(local(server), other) as bob:
            await ann.until(failed_for("EPMD is not running there"), "a failure")
            await asyncio.wait_for(ctx.has_announced.wait(), DEADLINE_S)
            server.start()
            await ann.until(finds(BOB), "bob")
            await bob.until(finds(ANN), "ann")

    run(scenario)


def test_node_that_could_not_register_at_first_asks_as_soon_as_it_is_registered(server):
    async def scenario():
        server.kill()
        strategy = local(server, interval_s=3600.0)
        async with (
            Listener(strategy, FakeDiscovery(ANN)) as ann,
            Listener(strategy, FakeDiscovery(BOB)) as bob,
        ):
            for listener in (ann, bob):
                await listener.until(failed_for("EPMD is not running there"), "a failure")
            server.start()
            await eventually(lambda: ann.vouched_for(BOB) or bob.vouched_for(ANN))

    run(scenario)


def test_restarted_epmd_gets_all_registrations_back_and_no_node_is_lost(server):
    async def scenario():
        strategy = local(server, gone_after_s=DEADLINE_S)
        async with (
            Listener(strategy, FakeDiscovery(ANN)) as ann,
            Listener(strategy, FakeDiscovery(BOB)) as bob,
        ):
            await ann.until(finds(BOB), "bob")
            await bob.until(finds(ANN), "ann")
            sinces = len(ann.observations), len(bob.observations)
            for _ in range(3):
                since = len(ann.observations)
                server.kill()
                await ann.until(failed_for("EPMD"), "a failure", since=since)
                server.start()
                await eventually(lambda: server.names().keys() == {"ann", "bob"})
            for listener, other, since in ((ann, BOB, sinces[0]), (bob, ANN, sinces[1])):
                answers = [
                    each for each in listener.observations[since:] if isinstance(each, Found)
                ]
                assert answers
                assert all(keys(answer) == {other.key} for answer in answers)

    run(scenario)


def test_suspended_epmd_removes_no_node(server):
    async def scenario():
        strategy = local(server, deadline_s=0.5)
        async with (
            Listener(strategy, FakeDiscovery(ANN)) as ann,
            Listener(strategy, FakeDiscovery(BOB)),
        ):
            await ann.until(finds(BOB), "bob")
            since = len(ann.observations)
            server.signal(signal.SIGSTOP)
            await ann.until(failed_for("no answer within 0.5 s"), "a failure")
            server.signal(signal.SIGCONT)
            await ann.until(
                lambda observation: isinstance(observation, Found), "an answer", since=since
            )
            answers = [each for each in ann.observations[since:] if isinstance(each, Found)]
            assert all(keys(each) == {BOB.key} for each in answers)

    run(scenario)


def test_epmd_that_is_down_hides_no_node_at_the_others(server):
    async def scenario():
        strategy = EpmdStrategy(
            hosts=("bob@127.0.0.1", "cat@127.0.0.2", "dan@host.invalid"),
            epmd_port=server.port,
            interval_s=0.1,
            gone_after_s=0.3,
        )
        async with Listener(strategy, FakeDiscovery(ANN)) as ann:
            async with Listener(strategy, FakeDiscovery(BOB)):
                await ann.until(finds(BOB), "bob")
                for cause in (
                    f"127.0.0.2:{server.port}: connection refused",
                    "the host name does not resolve",
                ):
                    await ann.until(failed_for(cause), cause)
                since = len(ann.observations)
            await ann.until(
                lambda observation: observation == Found([]), "bob to be gone", since=since
            )
            await ann.until(failed_for("127.0.0.2"), "the failure to be told again", since=since)

    run(scenario)


def test_name_that_is_not_registered_is_gone_only_when_that_is_confirmed(server):
    async def scenario():
        strategy = EpmdStrategy(
            hosts=("bob@127.0.0.1",), epmd_port=server.port, interval_s=0.1, gone_after_s=0.5
        )
        async with Listener(strategy, FakeDiscovery(ANN)) as ann:
            async with Listener(strategy, FakeDiscovery(BOB)):
                await ann.until(finds(BOB), "bob")
                since = len(ann.observations)
            async with Listener(strategy, again := FakeDiscovery(BOB)):
                await again.has_announced.wait()
                await ann.until(
                    lambda each: isinstance(each, Found) and again.local in each.nodes,
                    "bob's next run",
                    since=since,
                )
                assert Found([]) not in ann.observations[since:]
                since = len(ann.observations)
            await ann.until(
                lambda observation: observation == Found([]), "bob to be gone", since=since
            )

    run(scenario)


# Who is for us


def test_foreign_nodes_are_ignored(server):
    async def scenario():
        foreign = FakeDiscovery(CAT, fence=Fence("conformance", "other"))
        async with (
            Listener(local(server), foreign) as cat,
            Listener(local(server), FakeDiscovery(BOB)),
        ):
            await foreign.has_announced.wait()
            async with Listener(local(server), FakeDiscovery(ANN)) as ann:
                await ann.until(finds(BOB), "bob")
                assert not ann.vouched_for(CAT)
            assert not cat.vouched_for(BOB)

    run(scenario)


def test_boot_distinguishes_the_runs_of_a_node(server):
    async def scenario():
        async with (
            Listener(local(server), FakeDiscovery(ANN)) as ann,
            Listener(local(server), bob := FakeDiscovery(BOB)),
        ):
            found = await ann.until(finds(BOB), "bob")
            assert found == Found([bob.local])

    run(scenario)


def test_node_of_this_host_with_another_host_name_is_found_by_its_own(server):
    async def scenario():
        other = Node(name="bob@127.0.0.7", address="127.0.0.7:45002")
        async with (
            Listener(local(server), FakeDiscovery(ANN)) as ann,
            Listener(local(server), bob := FakeDiscovery(other)),
        ):
            assert await ann.until(finds(other), "bob") == Found([bob.local])

    run(scenario)


def test_change_of_the_host_file_is_followed(server, tmp_path):
    async def scenario():
        path = tmp_path / ".hosts.erlang"
        strategy = ErlangHostsStrategy(path=path, epmd_port=server.port, interval_s=0.1)
        async with (
            Listener(strategy, FakeDiscovery(ANN)) as ann,
            Listener(strategy, FakeDiscovery(BOB)),
        ):
            await ann.until(failed_for("no host file"), "a failure")
            path.write_text("'127.0.0.1'.\n")
            await ann.until(finds(BOB), "bob")
            since = len(ann.observations)
            path.write_text("'127.0.0.1\n")
            await ann.until(failed_for("line 1"), "a failure", since=since)
            assert Found([]) not in ann.observations[since:]
            path.write_text("% nobody\n")
            await ann.until(lambda observation: observation == Found([]), "nobody", since=since)

    run(scenario)


def test_host_file_without_hosts_is_an_answer(tmp_path):
    async def scenario():
        path = tmp_path / ".hosts.erlang"
        path.write_text("% nobody yet\n")
        async with Listener(
            ErlangHostsStrategy(path=path, register=False), FakeDiscovery(ANN)
        ) as ann:
            assert await ann.until(lambda _: True, "an answer") == Found([])

    run(scenario)


def test_address_that_epmd_cannot_carry_is_named(server):
    async def scenario():
        ctx = FakeDiscovery(ANN.evolve(address="unix:/run/ann.sock"))
        async with Listener(local(server), ctx) as ann:
            await ann.until(
                failed_for("cannot register 'unix:/run/ann.sock': EPMD carries nothing but a port"),
                "the failure",
            )
            await asyncio.wait_for(ctx.has_announced.wait(), DEADLINE_S)

    run(scenario)
