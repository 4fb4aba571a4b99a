"""Gossip on real sockets in one process: reachability, errors and floods."""

import asyncio
import logging
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from gossip_process import options
from waiting import run

from cluster_kit.abc import Failed, Gone, Seen
from cluster_kit.errors import ConfigError, DiscoveryError
from cluster_kit.network.system import SystemNetwork
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.strategies.gossip import GossipStrategy
from cluster_kit.testing import FakeDiscovery
from cluster_kit.testing.listener import Listener, vouches
from cluster_kit.wire.gossip import Kind, Packet, encode

DEADLINE_S = 60.0
ANN = Node(name="ann@127.0.0.1", address="127.0.0.1:4001", boot_id=BootId(1, 1))
BOB = Node(name="bob@127.0.0.1", address="127.0.0.1:4002", boot_id=BootId(2, 2))
CAT = Node(name="cat@127.0.0.1", address="127.0.0.1:4003", boot_id=BootId(3, 3))
FENCE = Fence("shop", "lan")


def discovery(node, fence=FENCE, **given):
    return FakeDiscovery(node, fence=fence, **given)


def is_failed(observation):
    return isinstance(observation, Failed)


def sees(node):
    return lambda observation: vouches(observation, node)


def sender(host="127.0.0.1"):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(host))
    return sock


def heartbeat(node, fence=FENCE):
    return encode(Packet.of(node, fence, Kind.HEARTBEAT, leaving=False))


# -- what reaches whom -----------------------------------------------------------------------------


def test_two_topologies_of_one_process_share_a_port():
    gossip = GossipStrategy(**options())

    async def scenario():
        web, db = Fence("shop", "web"), Fence("shop", "db")
        async with (
            Listener(gossip, discovery(ANN, web)) as ann_web,
            Listener(gossip, discovery(ANN, db)) as ann_db,
            Listener(gossip, discovery(BOB, web)),
            Listener(gossip, discovery(CAT, db)),
        ):
            await ann_web.until(sees(BOB), "bob")
            await ann_db.until(sees(CAT), "cat")
            assert not ann_web.vouched_for(CAT)
            assert not ann_db.vouched_for(BOB)

    run(scenario)


def test_unicast_to_the_shared_port_is_not_received():
    given = options()

    async def scenario():
        ctx = discovery(ANN)
        async with Listener(GossipStrategy(**given), ctx) as ann:
            await ctx.has_announced.wait()
            with sender() as sock:
                sock.sendto(heartbeat(BOB), ("127.0.0.1", given["port"]))
                sock.sendto(heartbeat(CAT), (given["multicast_addr"], given["port"]))
            await ann.until(sees(CAT), "cat")
            assert not ann.vouched_for(BOB)

    run(scenario)


def test_source_is_the_address_of_a_node_that_announces_none():
    given = options()

    async def scenario():
        ctx = discovery(ANN)
        async with Listener(GossipStrategy(**given), ctx) as ann:
            await ctx.has_announced.wait()
            with sender("127.0.0.9") as sock:
                sock.sendto(
                    heartbeat(BOB.evolve(address="0.0.0.0:4002")),
                    (given["multicast_addr"], given["port"]),
                )
            seen = await ann.until(lambda observation: isinstance(observation, Seen), "bob")
            assert seen.node == BOB.evolve(address="127.0.0.9:4002")

    run(scenario)


def test_host_may_be_a_name():
    gossip = GossipStrategy(**options())

    async def scenario():
        local = Node(name="ann@localhost", address="127.0.0.1:4001")
        async with Listener(gossip, discovery(local)) as ann, Listener(gossip, discovery(BOB)):
            await ann.until(sees(BOB), "bob")

    run(scenario)


def test_node_resumed_after_a_stop_finds_no_peer_silent():
    ttl_s = 3.0
    given = options(interval_s=0.3, ttl_s=ttl_s)

    async def scenario():
        loop = asyncio.get_running_loop()
        running, stopped_s = loop.time, 0.0
        loop.time = lambda: running() + stopped_s
        network = SystemNetwork()
        network.clock.monotonic_s = loop.time
        ctx = discovery(ANN, network=network)
        async with Listener(GossipStrategy(**given), ctx) as ann:
            await ctx.has_announced.wait()
            group = given["multicast_addr"], given["port"]
            with sender() as sock:
                sock.sendto(heartbeat(BOB), group)
                await ann.until(sees(BOB), "bob")
                for node in (BOB, CAT):  # when cat is seen, bob has been heard again
                    sock.sendto(heartbeat(node), group)
            await ann.until(sees(CAT), "cat")
            since = len(ann.observations)
            stopped_s += 0.9 * ttl_s
            renewed = await ann.until(sees(BOB), "bob vouched for anew", since=since)
            assert renewed.ttl_s > ttl_s / 3

    run(scenario)


class Late(SystemNetwork):
    """A network that does everything later."""

    LATE_S = 0.5

    async def join(self, group, *, max_bytes):
        await asyncio.sleep(self.LATE_S)
        datagrams = await super().join(group, max_bytes=max_bytes)
        loop, listen, send = asyncio.get_running_loop(), datagrams.listen, datagrams.send
        datagrams.listen = lambda hear: listen(
            lambda heard: loop.call_later(self.LATE_S, hear, heard)
        )
        datagrams.send = lambda *sent: loop.call_later(self.LATE_S, send, *sent)
        return datagrams


def test_nodes_meet_on_a_network_that_is_late():
    gossip = GossipStrategy(**options())

    async def scenario():
        async with (
            Listener(gossip, discovery(ANN, network=Late())) as ann,
            Listener(gossip, discovery(BOB)) as bob,
        ):
            await ann.until(sees(BOB), "bob")
            await bob.until(sees(ANN), "ann")

    run(scenario)


# -- ending ----------------------------------------------------------------------------------------


def test_goodbye_is_sent_before_closing_returns():
    given = options()

    async def scenario():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ear.bind((given["multicast_addr"], given["port"]))
            membership = socket.inet_aton(given["multicast_addr"]) + socket.inet_aton("127.0.0.1")
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            ear.setblocking(False)
            ctx = discovery(ANN)
            async with Listener(GossipStrategy(**given), ctx):
                await ctx.has_announced.wait()
            kinds = [ear.recv(2000)[7] for _ in range(4)]
            assert kinds == [Kind.ANNOUNCE] + 3 * [Kind.GOODBYE]

    run(scenario)


def test_failing_run_says_no_goodbye_since_it_starts_again():
    gossip = GossipStrategy(**options())

    async def scenario():
        async with Listener(gossip, discovery(ANN)) as ann:
            failing = gossip.discover(discovery(BOB))
            await anext(failing)
            with pytest.raises(RuntimeError):
                await failing.athrow(RuntimeError())
            await ann.until(sees(BOB), "bob")
            since = len(ann.observations)
            async with Listener(gossip, discovery(BOB)):
                await ann.until(sees(BOB), "bob again", since=since)
            assert [type(observation) for observation in ann.observations[:since]] == [Seen] * since
            await ann.until(lambda observation: isinstance(observation, Gone), "bob's goodbye")

    run(scenario)


# -- a source in trouble ---------------------------------------------------------------------------


def failure(given, local=ANN, kind=DiscoveryError):
    """Run until it has failed; return the message."""
    messages = []

    async def scenario():
        async with Listener(GossipStrategy(**given), discovery(local)) as heard:
            observation = await heard.until(is_failed, "a failure")
            assert isinstance(observation.error, kind)
            messages.append(str(observation.error))

    run(scenario)
    assert "\n" not in messages[0]
    return messages[0]


def test_port_that_is_not_shared_is_reported_and_used_once_it_is_free():
    given = options(interval_s=0.1)

    async def scenario():
        ctx = discovery(ANN)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as squatter:
            squatter.bind(("0.0.0.0", given["port"]))
            async with Listener(GossipStrategy(**given), ctx) as ann:
                failed = await ann.until(is_failed, "a failure")
                assert f"{given['port']}" in str(failed.error)
                assert "the port is in use by a program that doesn't share it" in str(failed.error)
                assert not ctx.has_announced.is_set()
                squatter.close()
                await ctx.has_announced.wait()
                assert len(ann.observations) == 1  # said once, tried again quietly

    run(scenario)


def test_address_of_no_interface_is_reported():
    message = failure(options(multicast_if="192.0.2.1"))
    assert "'192.0.2.1'" in message
    assert "no interface of this machine has that address" in message


def test_host_without_address_is_reported():
    message = failure(options(), Node(name="ann@no-such-host.invalid"), ConfigError)
    assert "'no-such-host.invalid'" in message
    assert "set multicast_if" in message


def test_loopback_of_ipv6_is_refused():
    message = failure({}, Node(name="ann@::1"), ConfigError)
    cure = "use an IPv4 host such as 127.0.0.1"
    assert f"'::1': Linux carries no IPv6 multicast on loopback; {cure}" in message


UNPRIVILEGED = """
import asyncio, os
from cluster_kit.network import system
from cluster_kit.node import Node
from cluster_kit.strategies.gossip import GossipStrategy, session
from cluster_kit.testing.fakes import FakeDiscovery

async def main():
    observations = GossipStrategy(port=1).discover(FakeDiscovery(Node(name="ann@127.0.0.1")))
    print((await anext(observations)).error)
    await observations.aclose()

if os.geteuid() == 0:
    os.setgroups([])
    os.setuid(65534)
asyncio.run(main())
"""


def test_missing_permission_is_reported():
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) < 2:
        pytest.skip("here any user may use any port")
    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED], capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert "no permission; choose a port above 1023" in done.stdout, done.stderr


# -- floods ----------------------------------------------------------------------------------------


def test_flood_starves_neither_the_gossip_nor_its_event_loop():
    given = options()

    async def scenario():
        gossip = GossipStrategy(**given)
        turns = 0

        async def flood():
            nonlocal turns
            with sender() as sock:
                while True:
                    for _ in range(200):
                        sock.sendto(b"heartbeat::", (given["multicast_addr"], given["port"]))
                    turns += 1
                    await asyncio.sleep(0)

        flooding = asyncio.create_task(flood())
        async with Listener(gossip, discovery(ANN)) as ann, Listener(gossip, discovery(BOB)) as bob:
            await ann.until(sees(BOB), "bob")
            await bob.until(sees(ANN), "ann")
            before = turns
            since = len(ann.observations)
            await ann.until(sees(BOB), "bob's next heartbeat", since=since)
            assert turns > before
        flooding.cancel()

    run(scenario)


def test_foreigners_and_garbage_are_logged_once_in_a_while(caplog):
    given = options()
    caplog.set_level(logging.DEBUG, "cluster_kit.gossip")

    async def scenario():
        ctx = discovery(ANN)
        async with Listener(GossipStrategy(**given), ctx) as ann:
            await ctx.has_announced.wait()
            with sender() as sock:
                for datagram in [heartbeat(BOB, Fence("other", "lan")), b"garbage"] * 50 + [
                    heartbeat(CAT)
                ]:
                    sock.sendto(datagram, (given["multicast_addr"], given["port"]))
            await ann.until(sees(CAT), "cat")

    run(scenario)
    [record] = [record for record in caplog.records if record.name == "cluster_kit.gossip"]
    assert record.levelno == logging.DEBUG
    assert f"port {given['port']}" in record.getMessage()
    assert "cluster 'other', group 'lan' is foreign" in record.getMessage()
