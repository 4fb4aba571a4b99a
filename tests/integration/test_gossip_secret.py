"""Sealed gossip on real sockets: recordings, other secrets, floods, and their diagnosis."""

import asyncio
import logging
import socket
from contextlib import AsyncExitStack

import pytest
from gossip_process import options
from waiting import run

from cluster_kit.abc import Seen
from cluster_kit.network.system import SystemNetwork
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.security.keys import Keyring, SecretKeys
from cluster_kit.strategies.gossip import GossipStrategy
from cluster_kit.strategies.gossip.distrust import MOST_AT_ONCE
from cluster_kit.testing import FakeDiscovery
from cluster_kit.testing.listener import Listener, vouches
from cluster_kit.wire.gossip import Kind, Packet, encode
from cluster_kit.wire.sealing import Sealing

DEADLINE_S = 60.0
FENCE = Fence("shop", "lan")
ANN = Node(name="ann@127.0.0.1", address="127.0.0.1:4001")
BOB = Node(name="bob@127.0.0.1", address="127.0.0.1:4002")
CAT = Node(name="cat@127.0.0.1", address="127.0.0.1:4003")


def keyring(letter):
    return Keyring(SecretKeys(id=letter * 8, authority=letter * 32, datagrams=letter * 32))


OURS, OTHER = keyring(b"o"), keyring(b"x")


def discovery(node, ring=OURS, **given):
    return FakeDiscovery(node, fence=FENCE, keyring=ring, **given)


def sees(node):
    return lambda observation: vouches(observation, node)


def sender():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    return sock


class Recorded(SystemNetwork):
    """A network on which somebody records all that is sent, and notes where."""

    def __init__(self):
        super().__init__()
        self.sent = []
        self.here = None

    async def join(self, group, *, max_bytes):
        datagrams = await super().join(group, max_bytes=max_bytes)
        self.here = datagrams.here
        send = datagrams.send

        def record(data, to=None):
            self.sent.append(data)
            send(data, to)

        datagrams.send = record
        return datagrams


def test_new_node_ignores_recordings_of_departed_nodes():
    given = options(interval_s=0.1)
    gossip = GossipStrategy(**given)

    async def scenario():
        bob_s, ann_s = Recorded(), Recorded()
        async with (
            Listener(gossip, discovery(ANN, network=ann_s)) as ann,
            Listener(gossip, discovery(BOB, network=bob_s)) as bob,
        ):
            await ann.until(sees(BOB), "bob")
            await bob.until(sees(ANN), "ann")
        recordings = [*bob_s.sent, *ann_s.sent]
        assert len(recordings) >= 4 + 6  # announcements, question and answer; goodbyes
        later = Recorded()
        ctx = discovery(ANN, network=later)
        async with Listener(gossip, ctx) as ann:
            await ctx.has_announced.wait()
            with sender() as sock:
                for _ in range(20):
                    for recording in recordings:
                        for to in ((given["multicast_addr"], given["port"]), later.here):
                            sock.sendto(recording, to)
                    await asyncio.sleep(0)
            async with Listener(gossip, discovery(CAT)):
                await ann.until(sees(CAT), "cat")
            seen = [each.node.name for each in ann.observations if isinstance(each, Seen)]
            assert set(seen) == {CAT.name}

    run(scenario)


def test_forged_goodbye_is_nothing():
    given = options(interval_s=0.1)
    gossip = GossipStrategy(**given)

    async def scenario():
        bob_ctx = discovery(BOB)
        forger = Sealing(BOB.name, bob_ctx.local.boot_id, OTHER)
        async with Listener(gossip, discovery(ANN)) as ann, Listener(gossip, bob_ctx):
            await ann.until(sees(BOB), "bob")
            goodbye = encode(Packet.of(bob_ctx.local, FENCE, Kind.GOODBYE, leaving=True))
            with sender() as sock:
                sock.sendto(goodbye, (given["multicast_addr"], given["port"]))
                sock.sendto(
                    forger.seal(goodbye, FENCE, 1e9), (given["multicast_addr"], given["port"])
                )
            async with Listener(gossip, discovery(CAT)):
                await ann.until(sees(CAT), "cat")
            assert all(isinstance(observation, Seen) for observation in ann.observations[:-1])

    run(scenario)


@pytest.mark.parametrize(
    ("ours", "theirs", "why"),
    [
        (OURS, OTHER, "its secret differs from this node's"),
        (OURS, None, "it has no secret, and this node has one"),
        (None, OURS, "it has a secret, and this node has none"),
    ],
)
def test_whose_secret_differs_is_warned_about_once_by_name_and_address(ours, theirs, why, caplog):
    caplog.set_level(logging.WARNING, "cluster_kit.gossip")
    gossip = GossipStrategy(**options(interval_s=0.1))

    async def scenario():
        async with AsyncExitStack() as running:
            ann = await running.enter_async_context(Listener(gossip, discovery(ANN, ours)))
            await running.enter_async_context(Listener(gossip, discovery(BOB, theirs)))
            await running.enter_async_context(Listener(gossip, discovery(CAT, ours)))
            await ann.until(sees(CAT), "cat")
            beats = len(ann.observations)
            await ann.until(lambda seen: vouches(seen, CAT), "a later word of cat", since=beats)
            assert not ann.vouched_for(BOB)

    run(scenario)
    cure = "give all nodes of a cluster the same secret"
    expected = f"gossip: {BOB.name} at 127.0.0.1: {why}; {cure}"
    # ann and cat, once each
    assert [record.getMessage() for record in caplog.records].count(expected) == 2
    assert len(caplog.records) == 4  # bob about each of them


def test_made_up_names_do_not_fill_the_log(caplog):
    caplog.set_level(logging.DEBUG, "cluster_kit.gossip")
    given = options(interval_s=0.1)
    gossip = GossipStrategy(**given)

    async def scenario():
        async with Listener(gossip, discovery(ANN)) as ann:
            with sender() as sock:
                for number in range(3000):
                    forger = Sealing(f"made-up-{number}@127.0.0.1", BootId(number, 1), OTHER)
                    sock.sendto(
                        forger.seal(b"", FENCE, 0.0), (given["multicast_addr"], given["port"])
                    )
                    await asyncio.sleep(0)
            async with Listener(gossip, discovery(BOB)):
                await ann.until(sees(BOB), "bob")

    run(scenario)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert (
        len([record for record in warnings if "made-up" in record.getMessage()]) <= 2 * MOST_AT_ONCE
    )
    assert len(caplog.records) <= 2 * (MOST_AT_ONCE + 2)


def test_two_topologies_of_one_worker_keep_apart_what_they_receive():
    gossip = GossipStrategy(**options())

    async def scenario():
        web, db = Fence("shop", "web"), Fence("shop", "db")
        ann_web, ann_db = (FakeDiscovery(ANN, fence=fence, keyring=OURS) for fence in (web, db))
        bob_web = FakeDiscovery(BOB, fence=web, keyring=OURS)
        cat_db = FakeDiscovery(CAT, fence=db, keyring=OURS)
        async with (
            Listener(gossip, ann_web) as web_heard,
            Listener(gossip, ann_db) as db_heard,
            Listener(gossip, bob_web),
            Listener(gossip, cat_db),
        ):
            await web_heard.until(sees(BOB), "bob")
            await db_heard.until(sees(CAT), "cat")
            assert not web_heard.vouched_for(CAT)
            assert not db_heard.vouched_for(BOB)

    run(scenario)


# -- diagnosis -------------------------------------------------------------------------------------


def diagnosed_beside(others, ring=OURS):
    """Return what is found out last, while others gossip."""
    given = options(interval_s=0.2)
    gossip = GossipStrategy(**given)

    async def scenario():
        async with AsyncExitStack() as gossiping:
            for ctx in others:
                await gossiping.enter_async_context(Listener(gossip, ctx))
                await ctx.has_announced.wait()
            return [
                finding async for finding in gossip.diagnose(discovery(ANN, ring, announce=False))
            ]

    findings = run(scenario)
    assert "heard back in" in findings[-2].got
    return findings[-1]


def test_diagnosis_finds_sealed_nodes():
    assert (
        diagnosed_beside([discovery(BOB), discovery(CAT)]).got == f"2 nodes: {BOB.name}, {CAT.name}"
    )


@pytest.mark.parametrize(
    ("ring", "other", "cause"),
    [
        (
            OURS,
            discovery(BOB, OTHER),
            (
                f"{BOB.name} with a secret that this node doesn't have from 127.0.0.1: "
                "give both the same"
            ),
        ),
        (
            None,
            discovery(BOB, OTHER),
            (
                f"{BOB.name} with a secret that this node doesn't have from 127.0.0.1: "
                "give both the same"
            ),
        ),
        (
            OURS,
            discovery(BOB, None),
            f"{BOB.name} without a secret from 127.0.0.1: give it the secret of this node",
        ),
        (
            OURS,
            FakeDiscovery(BOB, fence=Fence("other", "lan"), keyring=OURS),
            (
                "sealed gossip of another cluster or group from 127.0.0.1: give both the same "
                "cluster and group"
            ),
        ),
    ],
    ids=["another secret", "none here", "none there", "foreign"],
)
def test_diagnosis_says_why_no_sender_can_be_trusted(ring, other, cause):
    finding = diagnosed_beside([other], ring)
    assert finding.cause.startswith(f"only foreign senders: {cause}")
