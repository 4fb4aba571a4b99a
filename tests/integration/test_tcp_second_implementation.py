"""A node links to a second implementation of docs/protocol.md: this one, with ``msgpack`` alone."""

import asyncio
import struct

import msgpack
import pytest
from tcp_stage import Local
from waiting import run

from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.events import Reason
from cluster_kit.node import Node, split_address
from cluster_kit.testing.leaks import close_server

(
    HELLO,
    ANSWER,
    REFUSAL,
    CONFIRM,
    PING,
    PONG,
    WANT,
    UPDATE,
    GOODBYE,
    APP,
    PEERS,
    SECRETS,
    GREETING,
    MESSAGE,
) = range(1, 15)
BOOT = [1_700_000_000_000, 7]
OTHER = "eve@127.0.0.1"


def identity(wanted=True, features=()):
    return [
        "shop",
        "web",
        OTHER,
        BOOT,
        "127.0.0.1:4370",
        {"lang": "other"},
        False,
        wanted,
        list(features),
    ]


class Wire:
    """One connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def say(self, *frame):
        body = msgpack.packb(list(frame))
        self.writer.write(struct.pack(">I", len(body)) + body)

    async def hear(self, *kinds):
        """Return the next frame of one of the kinds, its type left out."""
        while True:
            (length,) = struct.unpack(">I", await self.reader.readexactly(4))
            kind, *fields = msgpack.unpackb(await self.reader.readexactly(length))
            if kind == PING:
                self.say(PONG, fields[0])
            if kind in kinds:
                return fields

    async def ended(self):
        return await self.reader.read() == b""


async def dial(node):
    """Link to a node."""
    wire = Wire(*await asyncio.open_connection(*split_address(node.node.address)))
    wire.say(HELLO, "cluster_kit", 1, identity(features=["exchange", "of a later release"]))
    (introduced,) = await wire.hear(ANSWER)
    assert introduced[:3] == ["shop", "web", node.name]
    wire.say(CONFIRM)
    await node.links.expect("up", OTHER)
    return wire


def test_link_that_the_other_implementation_dials():
    async def scenario():
        async with Local("ann", exchange=True) as ann, Local("bob", exchange=True) as bob:
            wire = await dial(ann)
            wire.say(99, {"a frame": "of a later release"})
            wire.say(PING, 4_000_000_000, 0, "a field of a later release")
            assert await wire.hear(PONG) == [4_000_000_000]
            wire.say(UPDATE, {"lang": "another"}, True)
            assert (await ann.links.expect("updated", OTHER)).node.metadata == {"lang": "another"}
            await ann.links.expect("leaving", OTHER)
            await bob.link(ann)
            (hints,) = await wire.hear(PEERS)
            assert [hint[0] for hint in hints] == [bob.name]
            wire.say(WANT, False)
            assert await wire.hear(GOODBYE) == ["unwanted", None]
            assert await ann.down(Node(name=OTHER)) is Reason.UNWANTED
            assert await wire.ended()
            wire.writer.close()

    run(scenario)


def test_link_that_the_other_implementation_accepts():
    async def accept(reader, writer):
        wire = Wire(reader, writer)
        magic, version, introduced = await wire.hear(HELLO)
        assert (magic, version, introduced[7]) == ("cluster_kit", 1, True)
        wire.say(ANSWER, identity(wanted=False))
        assert await wire.hear(CONFIRM) == []
        wire.say(PING, 1, 0)
        assert await wire.hear(PONG) == [1]
        wire.say(GOODBYE, "leaving")
        writer.close()

    async def scenario():
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        async with server, Local("ann") as ann:
            host, port = server.sockets[0].getsockname()
            assert (
                await ann.connector.connect(Node(name=OTHER, address=f"{host}:{port}"))
            ).metadata == {"lang": "other"}
            assert await ann.down(Node(name=OTHER)) is Reason.LEFT

    run(scenario)


LONG = bytes(range(250)) * 50  # of three frames


def test_messages_with_the_other_implementation_that_dials():
    async def scenario():
        async with Local("ann") as ann:
            ann.links.greeting = LONG
            wire = Wire(*await asyncio.open_connection(*split_address(ann.node.address)))
            wire.say(HELLO, "cluster_kit", 1, identity(features=["messages"]))
            said = b""
            while len(said) < len(LONG):
                said += (await wire.hear(GREETING, ANSWER))[0]
            assert said == LONG
            (introduced,) = await wire.hear(GREETING, ANSWER)
            assert "messages" in introduced[8]
            for word in (b"I am ", b"free"):
                wire.say(GREETING, word, "a field of a later release")
            wire.say(CONFIRM)
            wire.say(MESSAGE, b"at once")
            up = await ann.links.expect("up", OTHER)
            assert (up.greeting, up.told) == (b"I am free", LONG)
            assert (await ann.links.expect("message", OTHER)).data == b"at once"
            for payload in (b"", b"x" * 65_000):
                await ann.connector.send(up.node, payload)
                assert await wire.hear(MESSAGE) == [payload]
            wire.writer.close()

    run(scenario)


@pytest.mark.parametrize(("features", "greeting"), [(["messages"], b""), ([], None)])
def test_messages_with_the_other_implementation_that_accepts(features, greeting):
    heard = []

    async def accept(reader, writer):
        wire = Wire(reader, writer)
        assert "messages" in (await wire.hear(HELLO))[2][8]
        wire.say(ANSWER, identity(features=features))
        while word := await wire.hear(GREETING, CONFIRM):
            heard.append(word[0])
        if features:
            heard.extend(await wire.hear(MESSAGE))
        wire.say(MESSAGE, b"hello")
        wire.say(GOODBYE, "leaving")
        writer.close()

    async def scenario():
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        async with server, Local("ann") as ann:
            ann.links.greeting = b"I am ann"
            host, port = server.sockets[0].getsockname()
            peer = await ann.connector.connect(Node(name=OTHER, address=f"{host}:{port}"))
            up = await ann.links.expect("up", OTHER)
            assert up.greeting == greeting
            if features:
                await ann.connector.send(peer, b"hello")
            else:
                with pytest.raises(ConnectError, match="no link to it that carries messages"):
                    await ann.connector.send(peer, b"hello")
            assert await ann.down(Node(name=OTHER)) is Reason.LEFT
            assert heard == ([b"I am ann", b"hello"] if features else [])
            assert [report.data for report in ann.links.of("message")] == (
                [b"hello"] if features else []
            )

    run(scenario)


@pytest.mark.parametrize(
    ("reason", "retryable"), [("leaving", True), ("foreign", False), ("of a later release", True)]
)
def test_refusal_by_the_other_implementation(reason, retryable):
    async def refuse(reader, writer):
        wire = Wire(reader, writer)
        await wire.hear(HELLO)
        wire.say(REFUSAL, reason)
        writer.close()

    async def scenario():
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        async with server, Local("ann") as ann:
            host, port = server.sockets[0].getsockname()
            with pytest.raises(ConnectError) as caught:
                await ann.connector.connect(Node(address=f"{host}:{port}"))
            assert caught.value.retryable is retryable
            assert caught.value.reason in (reason, ConnectReason.FAILED)

    run(scenario)


class Crossing:
    """A node whose hello is out to the other implementation, which has not answered it yet."""

    def __init__(self, basename):
        self.node = Local(basename)
        self._accepted = asyncio.Queue()

    async def __aenter__(self):
        self._server = await asyncio.start_server(
            lambda *ends: self._accepted.put(Wire(*ends)), "127.0.0.1", 0
        )
        await self.node.__aenter__()
        host, port = self._server.sockets[0].getsockname()
        self.linking = asyncio.create_task(
            self.node.connector.connect(Node(name=OTHER, address=f"{host}:{port}"))
        )
        self.theirs = await self._accepted.get()
        await self.theirs.hear(HELLO)
        return self

    async def __aexit__(self, *exc_info):
        self.theirs.writer.close()
        await close_server(self._server)
        await self.node.__aexit__(*exc_info)


def test_crossed_dial_of_the_other_implementation_wins_if_its_name_is_lower():
    async def scenario():
        async with Crossing("zoe") as crossing:
            wire = await dial(crossing.node)
            assert await crossing.theirs.ended()
            assert (await crossing.linking).name == OTHER
            wire.writer.close()

    run(scenario)


def test_crossed_dial_of_the_node_wins_if_its_name_is_lower():
    async def scenario():
        async with Crossing("ann") as crossing:
            wire = Wire(*await asyncio.open_connection(*split_address(crossing.node.node.address)))
            wire.say(HELLO, "cluster_kit", 1, identity())
            assert (await wire.hear(REFUSAL))[0] == "crossed"
            crossing.theirs.say(ANSWER, identity())
            assert await crossing.theirs.hear(CONFIRM) == []
            assert (await crossing.linking).name == OTHER
            wire.writer.close()

    run(scenario)
