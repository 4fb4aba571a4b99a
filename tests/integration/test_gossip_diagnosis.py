"""Gossip diagnosed on real sockets: how each cause of finding no node is described."""

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
from contextlib import AsyncExitStack, contextmanager

import pytest
from gossip_process import options
from netns_lab import Lab

from cluster_kit.diagnosis import Outcome
from cluster_kit.node import Fence, Node
from cluster_kit.strategies.gossip import GossipStrategy
from cluster_kit.testing import FakeDiscovery, Listener
from cluster_kit.testing.listener import vouches

DEADLINE_S = 60.0
FENCE = Fence("shop", "lan")
ANN = Node(name="ann@127.0.0.1", address="127.0.0.1:4001")
BOB = Node(name="bob@127.0.0.1", address="127.0.0.1:4002")
CAT = Node(name="cat@127.0.0.1", address="127.0.0.1:4003")


def discovery(node=ANN, fence=FENCE, **given):
    return FakeDiscovery(node, fence=fence, **given)


async def diagnose(given, ctx):
    async with asyncio.timeout(DEADLINE_S):
        return [finding async for finding in GossipStrategy(**given).diagnose(ctx)]


def diagnosed(given, local=ANN):
    return asyncio.run(diagnose(given, discovery(local, announce=False)))


def diagnosed_beside(given, *others):
    """Diagnose while others gossip, each once it has announced itself."""

    async def scenario():
        async with AsyncExitStack() as gossiping:
            for ctx in others:
                await gossiping.enter_async_context(Listener(GossipStrategy(**given), ctx))
                await ctx.has_announced.wait()
            return await diagnose(given, discovery(announce=False))

    return asyncio.run(scenario())


@contextmanager
def speaking(given, datagram):
    """Send a datagram to the group again and again."""
    code = (
        "import socket, time\n"
        "sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "sock.bind(('127.0.0.1', 0))\n"
        "sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, "
        "socket.inet_aton('127.0.0.1'))\n"
        "while True:\n"
        f"    sock.sendto({datagram!r}, {(given['multicast_addr'], given['port'])!r})\n"
        "    time.sleep(0.05)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        yield
        process.kill()


# -- who is there ----------------------------------------------------------------------------------


def test_lone_node_passes_every_step_and_finds_no_other():
    given = options()
    *steps, last = diagnosed(given)
    assert [finding.asked for finding in steps] == [
        "interface of 127.0.0.1",
        f"UDP port {given['port']}",
        f"datagram to {given['multicast_addr']}:{given['port']}",
    ]
    assert {finding.outcome for finding in steps} == {Outcome.OK}
    assert last.asked == "heartbeats of cluster 'shop', group 'lan'"
    assert last.outcome is Outcome.EMPTY
    assert "no nodes within" in last.got
    assert "no other such node runs on this machine" in last.cause


def test_nodes_are_counted_and_named():
    last = diagnosed_beside(options(), discovery(BOB), discovery(CAT))[-1]
    assert (last.outcome, last.got) == (Outcome.OK, "2 nodes: bob@127.0.0.1, cat@127.0.0.1")


def test_this_node_running_elsewhere_is_not_another_node():
    last = diagnosed_beside(options(), discovery(ANN.evolve()))[-1]
    assert last.outcome is Outcome.EMPTY
    assert last.got.startswith("only this node within")


def test_foreign_cluster_is_the_cause_if_nothing_else_is_received():
    last = diagnosed_beside(options(), discovery(BOB, Fence("shop-test", "lan")))[-1]
    assert last.outcome is Outcome.EMPTY
    assert last.cause == (
        "only foreign senders: cluster 'shop-test', group 'lan' from 127.0.0.1: give both the "
        "same cluster and group, or leave them out"
    )


def test_foreign_cluster_is_a_remark_beside_nodes_of_ours():
    last = diagnosed_beside(options(), discovery(BOB), discovery(CAT, Fence("shop-test", "lan")))[
        -1
    ]
    assert last.outcome is Outcome.OK
    ignored = "cluster 'shop-test', group 'lan' from 127.0.0.1"
    assert last.got == f"1 node: bob@127.0.0.1; ignored: {ignored}"


def test_libcluster_on_this_port_is_recognised():
    given = options()
    with speaking(given, b"heartbeat::\x83t\x00\x00\x00\x01"):
        last = diagnosed(given)[-1]
    assert last.outcome is Outcome.EMPTY
    assert "libcluster's own gossip from 127.0.0.1" in last.cause


# -- what is in the way ----------------------------------------------------------------------------


def test_unshared_port_names_the_process_that_holds_it():
    given = options()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as squatter:
        squatter.bind(("0.0.0.0", given["port"]))
        last = diagnosed(given)[-1]
    assert (last.outcome, last.asked) == (Outcome.FAILED, f"UDP port {given['port']}")
    assert f"({os.getpid()})" in last.cause
    assert "trying again" not in last.cause


@pytest.mark.parametrize("given", [{"multicast_if": "192.0.2.1"}, {"if_addr": "192.0.2.1"}])
def test_address_of_no_interface_failed_first(given):
    last = diagnosed(options(**given))[-1]
    assert (last.outcome, last.asked) == (Outcome.FAILED, "interface of 192.0.2.1")
    assert "127.0.0.1 (lo)" in last.cause


def test_host_without_an_address_failed_first():
    [finding] = diagnosed(options(), Node(name="ann@no-such-host.invalid"))
    assert finding.outcome is Outcome.FAILED
    assert "no-such-host.invalid" in finding.cause


# -- what others notice of it ----------------------------------------------------------------------


def test_diagnosis_goes_unnoticed_by_other_nodes(caplog):
    caplog.set_level(logging.DEBUG, "cluster_kit")
    given = options()

    async def scenario():
        looking = discovery(ANN, announce=False)
        async with Listener(GossipStrategy(**given), discovery(BOB)) as bob:
            assert (await diagnose(given, looking))[-1].got == "1 node: bob@127.0.0.1"
            async with Listener(GossipStrategy(**given), discovery(CAT)):
                await bob.until(lambda observation: vouches(observation, CAT), "cat")
            assert not bob.vouched_for(looking.local)
        assert bob.error is None

    asyncio.run(scenario())
    assert caplog.messages == []


# -- between hosts ---------------------------------------------------------------------------------

DIAGNOSE = """
import asyncio, json, sys
from cluster_kit.node import Fence, Node
from cluster_kit.strategies.gossip import GossipStrategy
from cluster_kit.testing.fakes import FakeDiscovery

async def main():
    ctx = FakeDiscovery(Node(name=sys.argv[1]), announce=False)
    async for finding in GossipStrategy(**json.loads(sys.argv[2])).diagnose(ctx):
        print(json.dumps([finding.outcome, finding.asked, finding.got, finding.cause]))

asyncio.run(main())
"""


def diagnosed_at(place, given):
    command = [sys.executable, "-c", DIAGNOSE, f"ann@{place.address}", json.dumps(given)]
    process = place.run(command, stdout=subprocess.PIPE, text=True)
    output, _ = process.communicate(timeout=DEADLINE_S)
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.netns
def test_alone_on_a_network_the_usual_obstacles_are_named():
    with Lab(1) as lab:
        outcome, _, _, cause = diagnosed_at(lab.nodes[0], options())[-1]
    assert outcome == "empty"
    assert "a router is in between (multicast_ttl is 1)" in cause
    assert "use dns, kubernetes or static" in cause


@pytest.mark.netns
@pytest.mark.parametrize(
    ("state", "got"),
    [("down", "eth0: it is down"), ("multicast off", "eth0: it carries no multicast")],
)
def test_interface_that_can_not_be_used_failed(state, got):
    with Lab(1) as lab:
        place = lab.nodes[0]
        assert place.run(["ip", "link", "set", "eth0", *state.split()]).wait() == 0
        last = diagnosed_at(place, options())[-1][:3]
        assert last == ["failed", f"interface of {place.address}", got]


@pytest.mark.netns
@pytest.mark.parametrize(
    ("hook", "got", "cause"),
    [
        ("input", "not heard back within 1 s", "a firewall of this host drops UDP"),
        ("output", "cannot be sent", "a firewall forbids it"),
    ],
)
def test_firewall_failed(require, hook, got, cause):
    require("nft")
    given = options()
    with Lab(1) as lab:
        for rule in (
            "add table inet t",
            f"add chain inet t c {{ type filter hook {hook} priority 0; }}",
            "add rule inet t c ip protocol udp drop",
        ):
            assert lab.nodes[0].run(["nft", rule]).wait() == 0
        findings = diagnosed_at(lab.nodes[0], given)
    [failed] = [finding for finding in findings if finding[0] == "failed"]
    assert failed[1:3] == [f"datagram to {given['multicast_addr']}:{given['port']}", got]
    assert cause in failed[3]
