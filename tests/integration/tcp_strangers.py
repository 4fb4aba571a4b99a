"""Who dials a node by hand, and says what no node would."""

import asyncio
import ssl
from contextlib import suppress
from functools import cache

from tcp_stage import FENCE

from cluster_kit.network import Endpoint
from cluster_kit.node import BootId, Node, split_address
from cluster_kit.wire.frames import Confirm, FrameReader, Hello, Identity, Welcome, decode, encode

MALLORY = Node(name="mallory@127.0.0.1", boot_id=BootId(5, 5))


def hello(fence=FENCE, node=MALLORY, features=()):
    """Return the first word of who dials."""
    identity = Identity.of(node, fence, leaving=False, wanted=True, features=features)
    return Hello(magic="cluster_kit", version=1, identity=identity)


class Stranger:
    """A bare socket at the door of a node."""

    def __init__(self, node):
        self._address = split_address(node.address)
        self._frames = FrameReader()

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(self, *exc_info):
        self.writer.close()

    def send(self, data):
        self.writer.write(data)

    def say(self, *frames):
        self.send(b"".join(map(encode, frames)))

    async def hear(self):
        while (body := self._frames.next(65536)) is None:
            data = await self.reader.read(4096)
            if not data:
                return None
            self._frames.feed(data)
        return decode(body)

    async def shut_out(self):
        """Return what is received until the node closes."""
        try:
            return await self.reader.read()
        except ConnectionResetError:
            return b""

    async def link(self, node=MALLORY, features=()):
        self.say(hello(node=node, features=features))
        assert isinstance(await self.hear(), Welcome)
        self.say(Confirm())


class StrangerInMemory(Stranger):
    """The same on a host of a network in memory, to speak to a node in virtual time."""

    def __init__(self, node, host):
        super().__init__(node)
        self._host = host

    async def __aenter__(self):
        self.reader = asyncio.StreamReader()
        self.writer = await self._host.dial(Endpoint(*self._address))
        self.writer.start(self)
        return self

    def send(self, data):
        self.writer.send(data)

    def received(self, data):
        self.reader.feed_data(bytes(data))

    def lost(self):
        self.reader.feed_eof()


@cache
def hello_of_a_client():
    """Return what a client of TLS says first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()
