"""Strangers and broken peers gain nothing by greetings and messages, nor by not reading."""

import asyncio
import logging
from contextlib import suppress

import pytest
from tcp_stage import Local, at
from tcp_strangers import MALLORY, Stranger, hello
from waiting import run

from cluster_kit.abc import MAX_GREETING_BYTES, MAX_PAYLOAD_BYTES
from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Node
from cluster_kit.testing.leaks import close_server
from cluster_kit.wire.frames import (
    GREETING_BYTES,
    Confirm,
    Greeting,
    Payload,
    Ping,
    Pong,
    Welcome,
    encode,
)

OTHER = Node(name="other@127.0.0.1", boot_id=BootId(6, 6))
STUCK_S = 1.0
MANY = 300  # messages: 20 MB, more than the kernel takes for who doesn't read


def greets(greeting):
    """Return the frames of a greeting, in pieces of the greatest size."""
    return [
        Greeting(greeting[start : start + GREETING_BYTES])
        for start in range(0, len(greeting), GREETING_BYTES)
    ]


@pytest.mark.parametrize("piece", [1, GREETING_BYTES])
def test_endless_greeting_is_cut_off_and_costs_no_more_than_one(piece, caplog):
    async def scenario():
        async with Local("ann") as ann, Local("bob") as bob, Stranger(ann.node) as stranger:
            await ann.link(bob)
            stranger.say(hello(features=["messages"]))
            assert isinstance(await stranger.hear(), Welcome)
            said = 0
            endless = encode(Greeting(bytes(piece))) * 1000
            while not stranger.reader.at_eof() and not stranger.writer.is_closing():
                stranger.writer.write(endless)
                said += 1000 * piece
                with suppress(ConnectionError):
                    await stranger.writer.drain()
                await asyncio.sleep(0)
            assert await stranger.shut_out() == b""
            assert said < 100 * MAX_GREETING_BYTES, "what is on the way isn't taken in"
            assert ann.links.of("up", MALLORY.name) == []
            assert ann.history(bob) == ["up"]

    with caplog.at_level(logging.DEBUG, "cluster_kit"):
        run(scenario)
    assert f"greeting of more than {MAX_GREETING_BYTES} bytes" in caplog.text


def test_acceptor_whose_greeting_is_endless_is_no_link():
    async def greet(reader, writer):
        await reader.read(100)
        with suppress(ConnectionError):
            while True:
                writer.write(encode(Greeting(bytes(GREETING_BYTES))) * 100)
                await writer.drain()
        writer.close()

    async def scenario():
        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        async with Local("ann") as ann:
            with pytest.raises(ConnectError, match="greeting of more than") as caught:
                await ann.connector.connect(at(server.sockets[0]))
            assert caught.value.reason is ConnectReason.PROTOCOL
            assert ann.links.reports == []
        await close_server(server)

    run(scenario)


def test_longest_greeting_is_accepted_only_with_the_feature():
    async def scenario():
        longest = bytes(range(256)) * (MAX_GREETING_BYTES // 256)
        async with Local("ann") as ann, Stranger(ann.node) as stranger, Stranger(ann.node) as other:
            ann.links.greeting = b"hello"
            stranger.say(hello(features=["messages"]), *greets(longest), Confirm())
            assert await stranger.hear() == Greeting(b"hello")
            up = await ann.links.expect("up", MALLORY.name)
            assert (up.greeting, up.told) == (longest, b"hello")
            other.say(
                hello(node=OTHER),
                *greets(b"nobody asked"),
                Confirm(),
                Payload(b"nor for this"),
                Ping(token=7, rtt_us=0),
            )
            assert isinstance(await other.hear(), Welcome)
            up = await ann.links.expect("up", OTHER.name)
            assert (up.greeting, up.told) == (None, b"")
            assert (await other.hear()).token == 7
            assert ann.links.of("message") == []
            with pytest.raises(ConnectError, match="no link to it that carries messages"):
                await ann.connector.send(OTHER, b"payload")

    run(scenario)


@pytest.mark.parametrize(
    "frames",
    [
        lambda: [Greeting(b"before the hello")],
        lambda: [Payload(b"before the hello")],
        lambda: [hello(features=["messages"]), Payload(b"before up")],
        lambda: [hello(features=["messages"]), Confirm(), Greeting(b"while up")],
    ],
    ids=["greeting first", "message first", "message before up", "greeting while up"],
)
def test_greeting_and_message_out_of_order_end_the_connection(frames):
    async def scenario():
        async with Local("ann") as ann, Stranger(ann.node) as stranger:
            stranger.say(*frames())
            await stranger.shut_out()
            assert ann.links.of("message") == []
            await ann.links.until(
                lambda: ann.links.ups_and_downs(MALLORY.name) in ([], ["up", "down"]), "no link"
            )

    run(scenario)


@pytest.mark.parametrize(
    "body",
    [
        b"\x92\x0e\xc5" + (MAX_PAYLOAD_BYTES + 1).to_bytes(2, "big") + bytes(MAX_PAYLOAD_BYTES + 1),
        b"\x92\x0e\xa3abc",
        b"\x92\x0e",
        b"\x91\x0e",
        b"\x92\x0e\xc6\xff\xff\xff\xffabc",
        b"\x92\x0e\xc4\x01ab",
    ],
    ids=["too long", "text", "cut off", "without", "length that lies", "more behind"],
)
def test_malformed_message_ends_the_link(body):
    async def scenario():
        async with Local("ann") as ann, Stranger(ann.node) as stranger:
            await stranger.link(features=["messages"])
            stranger.say(Payload(bytes(MAX_PAYLOAD_BYTES)))
            stranger.writer.write(len(body).to_bytes(4, "big") + body)
            assert (await ann.links.expect("down", MALLORY.name)).reason is Reason.CLOSED
            assert [len(report.data) for report in ann.links.of("message")] == [MAX_PAYLOAD_BYTES]

    run(scenario)


def test_messages_that_wait_for_a_slow_peer_do_not_count_as_its_not_reading():
    async def scenario():
        async with Local("ann") as ann, Stranger(ann.node) as stranger:
            await stranger.link(features=["messages"])
            await ann.links.expect("up", MALLORY.name)
            stranger.writer.transport.pause_reading()
            sent = [0]

            async def send():
                while sent[0] < MANY:
                    await ann.connector.send(MALLORY, bytes([sent[0] % 256]) * MAX_PAYLOAD_BYTES)
                    sent[0] += 1

            sending = asyncio.create_task(send())
            await asyncio.wait([sending], timeout=STUCK_S)
            assert not sending.done()
            stranger.writer.transport.resume_reading()
            for number in range(MANY):
                while not isinstance(message := await stranger.hear(), Payload):
                    stranger.say(Pong(token=message.token))
                assert message.payload[:1] == bytes([number % 256])
            await sending
            assert ann.links.ups_and_downs(MALLORY.name) == ["up"]

    run(scenario)
