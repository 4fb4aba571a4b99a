"""A connector that carries payloads, and the forwarding of a worker beside it, for tests."""

import asyncio

from memory_channel import MemoryChannel

from cluster_kit.abc import MAX_PAYLOAD_BYTES, Connector
from cluster_kit.node import BootId, Node
from cluster_kit.pipe.messages import LinkOpened
from cluster_kit.worker.forwarding import Forwarding
from cluster_kit.worker.outbox import Outbox

DEADLINE_S = 30.0
BOB = Node(name="bob@h", boot_id=BootId(1, 1))
LATER_BOB = BOB.evolve(boot_id=BootId(2, 2))
CAT = Node(name="cat@h", boot_id=BootId(1, 1))
LARGE = b"x" * MAX_PAYLOAD_BYTES


class Carrier(Connector):
    """Sends what there is room for, and fails as told."""

    carries_messages = True
    max_message_bytes = 1000

    def __init__(self):
        self.sent = []
        self.room = asyncio.Event()
        self.room.set()
        self.error = None
        self.under_way = 0
        self.tried = 0
        self.news = asyncio.Event()

    async def start(self, local, links):
        return local

    async def connect(self, node):
        return node

    async def disconnect(self, node):
        pass

    async def stop(self):
        pass

    async def send(self, node, payload):
        assert not self.under_way
        self.under_way += 1
        self.tried += 1
        self.news.set()
        try:
            await self.room.wait()
            if self.error is not None:
                raise self.error
            self.sent.append((node, payload))
        finally:
            self.under_way -= 1


class Deaf(Carrier):
    carries_messages = False


class Clock:
    def now_s(self):
        return 0.0


class Stage:
    """A worker's forwarding, and its application at the other end of the pipe."""

    def __init__(self, connector=Carrier):
        loop = asyncio.get_running_loop()
        self.connector = connector()
        self._far, channel = MemoryChannel.pair(pickled=True)
        outbox = Outbox(channel, loop)
        self.channel = channel
        self.forwarding = Forwarding(self.connector, outbox, loop, clock=Clock(), greeting=b"hello")
        self.heard = []
        self._news = asyncio.Event()
        channel.attach(
            loop, hear=self.forwarding.send, ended=lambda _: None, relieved=self._relieved
        )

    def listen(self):
        """Let the application take what it is sent."""
        self._far.attach(
            asyncio.get_running_loop(), hear=self._hear, ended=lambda _: None, relieved=lambda: None
        )

    def _relieved(self):
        self.forwarding.report_links()
        self.forwarding.catch_up()

    def _hear(self, message):
        self.heard.append(message)
        self._news.set()

    def send(self, link, *payloads):
        for payload in payloads:
            self._far.send_parcel(link, payload)

    async def until(self, met):
        async with asyncio.timeout(DEADLINE_S):
            while not met():
                self._news.clear()
                await self._news.wait()

    async def until_tried(self, count):
        """Wait until the connector was told to send so many payloads."""
        async with asyncio.timeout(DEADLINE_S):
            while self.connector.tried < count:
                self.connector.news.clear()
                await self.connector.news.wait()

    async def until_heard(self, *last):
        await self.until(lambda: self.heard[-len(last) :] == list(last))

    async def fill_pipe(self):
        """Have the application take nothing, and the pipe be full."""
        self.forwarding.up(CAT, b"", b"hello")
        while self.channel.pending_bytes <= MAX_PAYLOAD_BYTES:
            self.forwarding.message(CAT, LARGE)
        for _ in range(10):
            self.forwarding.message(CAT, LARGE)


def opened(link, node=BOB, *, greeting=b"", outdated=False, greetings=0):
    return LinkOpened(
        link=link, node=node, greeting=greeting, outdated=outdated, greetings=greetings
    )


def staged(scenario):
    """Run the test on a stage of its own."""

    def test(caplog):
        async def main():
            stage = Stage()
            stage.caplog = caplog
            raised = []
            asyncio.get_running_loop().set_exception_handler(
                lambda _, context: raised.append(context)
            )
            await scenario(stage)
            assert not raised

        asyncio.run(main())

    test.__name__ = scenario.__name__
    return test
