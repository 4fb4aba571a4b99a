"""What strangers, broken peers and floods can do to a node that listens: nothing."""

import asyncio
import gc
import logging
import socket
from contextlib import AsyncExitStack, ExitStack

import pytest
from tcp_stage import DEADLINE_S, Local
from tcp_strangers import MALLORY, Stranger, hello
from waiting import run

from cluster_kit.connectors.tcp.admission import MAX_HALF_OPEN, SPARE
from cluster_kit.connectors.tcp.connection import Connection
from cluster_kit.connectors.tcp.session import Session
from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.events import Reason
from cluster_kit.network.system import SystemNetwork
from cluster_kit.node import BootId, Fence, Node, split_address
from cluster_kit.wire.frames import Confirm, Hello, Hint, Hints, Ping, Refusal, Welcome, encode


async def forgotten(*kinds):
    """Wait until no objects of these classes are left, but one that an error's record holds."""
    while True:
        gc.collect()
        if sum(isinstance(each, kinds) for each in gc.get_objects()) <= 1:
            return
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(512),
        b"\xff" * 100,
        bytes(100),
        encode(Ping(token=1, rtt_us=0)),
        encode(Confirm()),
    ],
    ids=["http", "tls", "ones", "zeros", "ping", "confirm"],
)
def test_garbage_gets_no_answer(garbage):
    async def scenario():
        async with Local("ann") as ann, Stranger(ann.node) as stranger:
            stranger.writer.write(garbage)
            assert await stranger.shut_out() == b""
            assert ann.links.reports == []

    run(scenario)


def test_refusal_of_a_foreigner_carries_no_identity():
    async def scenario():
        async with Local("ann") as ann, Stranger(ann.node) as stranger:
            stranger.say(hello(fence=Fence("elsewhere", "web")))
            refusal = await stranger.hear()
            assert refusal == Refusal(reason="foreign")
            assert await stranger.hear() is None

    run(scenario)


def test_another_version_is_refused_with_ours():
    async def scenario():
        async with Local("ann") as ann, Stranger(ann.node) as stranger:
            stranger.say(Hello(magic="cluster_kit", version=2, identity=None))
            assert await stranger.hear() == Refusal(reason="protocol", version=1)

    run(scenario)


def test_flood_of_half_open_connections_is_bounded_and_disturbs_no_link():
    async def scenario():
        async with Local("ann") as ann, Local("bob") as bob:
            await ann.connect(bob)
            loop = asyncio.get_running_loop()
            with ExitStack() as stack:
                flood = [stack.enter_context(socket.socket()) for _ in range(MAX_HALF_OPEN + 40)]
                for sock in flood:
                    sock.setblocking(False)
                    await loop.sock_connect(sock, split_address(ann.node.address))
                closed = [
                    asyncio.create_task(loop.sock_recv(sock, 1)) for sock in flood[MAX_HALF_OPEN:]
                ]
                await asyncio.gather(*closed, return_exceptions=True)
                late = Local("cat")
                async with late:
                    with pytest.raises(ConnectError) as caught:
                        await late.connect(ann)
                    assert caught.value.reason is ConnectReason.RESET
            async with Local("cat") as cat:
                await cat.link(ann)
            assert ann.history(bob) == bob.history(ann) == ["up"]

    run(scenario)


def test_flood_of_links_leaves_room_for_those_that_discovery_knows(caplog):
    async def scenario():
        network = SystemNetwork()
        network.most_streams = SPARE + 20
        async with Local("ann", network=network) as ann, AsyncExitStack() as stack:
            for number in range(10):
                stranger = await stack.enter_async_context(Stranger(ann.node))
                await stranger.link(Node(name=f"m{number}@127.0.0.1", boot_id=BootId(5, number)))
            one_more = await stack.enter_async_context(Stranger(ann.node))
            one_more.say(hello())
            assert (await one_more.hear()).reason == "full"
            foreigner = await stack.enter_async_context(Stranger(ann.node))
            foreigner.say(hello(fence=Fence("elsewhere", "web")))
            assert await foreigner.hear() == Refusal(reason="foreign"), (
                "it is not told who refuses it"
            )
            async with Local("bob") as bob:
                with pytest.raises(ConnectError) as caught:
                    await bob.connect(ann)
                assert caught.value.reason is ConnectReason.FULL
                assert caught.value.retryable
                ann.links.known.add(bob.name)
                await bob.link(ann)
                await ann.links.expect("up", bob.name)
            assert len(ann.links.of("up")) == 11
            messages = [record.message for record in caplog.records]
            assert (
                sum(
                    "too many links to peers unknown to discovery" in message
                    for message in messages
                )
                <= 1
            )
            assert "too many links to peers unknown to discovery" in caplog.text

    run(scenario)


def test_hundreds_of_local_nodes_may_dial_at_once():
    async def scenario():
        async with Local("ann") as ann:
            strangers = [Stranger(ann.node) for _ in range(200)]
            await asyncio.gather(*(stranger.__aenter__() for stranger in strangers))
            for number, stranger in enumerate(strangers):
                stranger.say(
                    hello(node=Node(name=f"n{number}@127.0.0.1", boot_id=BootId(number, 0)))
                )
            answers = await asyncio.gather(*(stranger.hear() for stranger in strangers))
            assert {type(answer) for answer in answers} == {Welcome}
            for stranger in strangers:
                stranger.writer.close()

    run(scenario)


def test_malformed_frame_closes_the_link_with_one_warning(caplog):
    async def scenario():
        async with Local("ann") as ann, Stranger(ann.node) as stranger:
            await stranger.link()
            await ann.links.expect("up", MALLORY.name)
            stranger.writer.write(b"\x00\x00\x00\x02\x92\x05")
            assert (await ann.links.expect("down", MALLORY.name)).reason is Reason.CLOSED
            await stranger.shut_out()

    with caplog.at_level(logging.WARNING, "cluster_kit"):
        run(scenario)
    (record,) = caplog.records
    assert MALLORY.name in record.message
    assert "malformed" in record.message


def test_oversize_frame_closes_the_link():
    async def scenario():
        async with Local("ann") as ann, Stranger(ann.node) as stranger:
            await stranger.link()
            stranger.writer.write(b"\x00\x01\x00\x01")
            assert (await ann.links.expect("down", MALLORY.name)).reason is Reason.CLOSED

    run(scenario)


def test_unknown_frames_are_skipped_on_a_link():
    async def scenario():
        async with Local("ann") as ann, Stranger(ann.node) as stranger:
            await stranger.link()
            stranger.writer.write(
                b"\x00\x00\x00\x04\x92\xcc\xc8\xc0" + encode(Ping(token=77, rtt_us=0))
            )
            assert (await stranger.hear()).token == 77
            assert ann.links.ups_and_downs(MALLORY.name) == ["up"]

    run(scenario)


def test_unwanted_hints_are_ignored():
    async def scenario():
        async with Local("ann") as ann, Stranger(ann.node) as stranger:
            await stranger.link()
            other = Node(name="bob@10.0.0.2", address="10.0.0.2:4370", boot_id=BootId(6, 6))
            stranger.say(Hints([Hint.of(other)]), Ping(token=77, rtt_us=0))
            assert (await stranger.hear()).token == 77
            assert ann.links.of("hint") == []
            assert ann.links.ups_and_downs(MALLORY.name) == ["up"]

    run(scenario)


def test_peer_that_does_not_read_is_dropped_before_it_costs_much():
    async def scenario():
        async with Local("ann", silent_s=2 * DEADLINE_S) as ann, Stranger(ann.node) as stranger:
            await stranger.link()
            await ann.links.expect("up", MALLORY.name)
            stranger.writer.transport.pause_reading()
            number = 0
            while not ann.links.of("down"):
                number += 1
                await ann.connector.update(
                    ann.node.evolve(metadata={"n": f"{number:0>1000}"}), leaving=False
                )
                if number % 100 == 0:
                    await asyncio.sleep(0)
            assert ann.links.of("down")[0].reason is Reason.CLOSED

    run(scenario)


def test_refused_stranger_is_logged_once_in_a_while_and_only_for_debugging(caplog):
    async def scenario():
        async with Local("ann") as ann:
            for _ in range(5):
                async with Stranger(ann.node) as stranger:
                    stranger.writer.write(b"\xff" * 100)
                    assert await stranger.shut_out() == b""

    with caplog.at_level(logging.DEBUG, "cluster_kit"):
        run(scenario)
    assert [record.levelname for record in caplog.records] == ["DEBUG"]


async def says_garbage(ann, number):
    async with Stranger(ann.node) as stranger:
        stranger.writer.write(b"\xff" * 100)
        await stranger.shut_out()


async def has_our_name(ann, number):
    async with Stranger(ann.node) as stranger:
        stranger.say(hello(node=Node(name=ann.name, boot_id=BootId(9, number))))
        assert (await stranger.hear()).reason == ConnectReason.CONFLICT


async def has_the_name_of_a_linked_process(ann, number):
    name = f"n{number}@127.0.0.1"
    async with Stranger(ann.node) as stranger, Stranger(ann.node) as twin:
        await stranger.link(Node(name=name, boot_id=BootId(1, 0)))
        await ann.links.expect("up", name)
        twin.say(hello(node=Node(name=name, boot_id=BootId(2, 0))))
        stranger.say(await stranger.hear())  # it is asked for a sign of life
        assert (await twin.hear()).reason == ConnectReason.CONFLICT


async def breaks_its_link(ann, number):
    async with Stranger(ann.node) as stranger:
        await stranger.link(Node(name=f"n{number}@127.0.0.1", boot_id=BootId(9, number)))
        stranger.writer.write(b"\xff" * 100)
        await stranger.shut_out()


@pytest.mark.parametrize(
    ("misbehave", "times"),
    [
        (says_garbage, 10_000),
        (has_our_name, 10_000),
        (has_the_name_of_a_linked_process, 1000),
        (breaks_its_link, 1000),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_endless_names_and_boots_fill_neither_the_log_nor_memory(misbehave, times, caplog):
    async def scenario():
        async with Local("ann", heartbeat_s=DEADLINE_S, silent_s=3 * DEADLINE_S) as ann:
            for number in range(times):
                await misbehave(ann, number)
            await forgotten(Connection, Session)
            # the worker logs the event of a conflict
            assert len(ann.links.of("event")) + len(caplog.records) == 1

    with caplog.at_level(logging.DEBUG, "cluster_kit"):
        run(scenario)
