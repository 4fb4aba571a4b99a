"""A member with the secret that links like any other and then sends whatever a test wants."""

import asyncio
import threading

from watched import FORMATION_S

from cluster_kit.connectors.tcp import TcpConnector
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.security import Security
from cluster_kit.security.keys import Keyring, derive
from cluster_kit.testing import RecordingLinks
from cluster_kit.wire import topics as wire

RUN = b"m" * wire.RUN_BYTES
PLENTY = 2**62
_TRANSIT_BYTES = 512 * 1024


class _Links(RecordingLinks):
    """Keeps ends of links only, as a flood would fill a list of all that is reported."""

    def message(self, node, payload):
        if self.hears is not None:
            self.hears(payload)

    def rtt(self, node, seconds):
        pass

    hears = None


def greeting(interests=(), run=RUN, max_message_bytes=PLENTY):
    """Return what it says in its handshakes."""
    return wire.encode_greeting(wire.TopicGreeting(run, max_message_bytes, dict(interests)))


class Mallory:
    """The member, in an event loop of its own, linked to one node; a context manager.

    Args:
        talk: The cluster.
        victim: The address of the node.
        told: Its greeting.
        name: Its own name.
    """

    def __init__(self, talk, victim, told=b"", name="mallory"):
        self._talk = talk
        self._victim = victim
        self._name = f"{name}@127.0.0.1"
        self._told = told
        self._news = threading.Event()

    def __enter__(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.link()
        return self

    def __exit__(self, *exc_info):
        self.unlink()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def link(self, told=None):
        """Link, as another run of the node."""
        if told is not None:
            self._told = told
        self.do(self._link())

    def unlink(self):
        self.do(self._connector.stop())

    def do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(FORMATION_S)

    async def _link(self):
        local = Node(name=self._name, boot_id=BootId.new())
        security = Security(local, Keyring(derive(self._talk.secret, self._talk.cluster)))
        links = self.links = _Links(
            fence=Fence(self._talk.cluster, "lan"), boot_id=local.boot_id, security=security
        )
        links.greeting, links.hears = self._told, self._hear
        self._said = self._arrived = 0
        self.heard = []
        self._connector = TcpConnector(host="127.0.0.1")
        await self._connector.start(local, links)
        self.peer = await self._connector.connect(Node(address=self._victim))

    @property
    def told(self):
        """What the node has said in the handshake."""
        [up] = self.links.of("up")
        return wire.decode_greeting(up.greeting)

    def say(self, *records):
        """Say records in one payload, at the pace that is asked of members."""
        payload = wire.encode(records)
        self._said += len(payload)
        self.flood(payload)
        while self._said - self._arrived > _TRANSIT_BYTES:
            assert self.is_linked
            assert self._news.wait(FORMATION_S), "it says nothing of what has arrived"
            self._news.clear()

    def flood(self, *payloads):
        """Say payloads as fast as they go."""
        self.do(self._say(payloads))

    async def _say(self, payloads):
        for payload in payloads:
            await self._connector.send(self.peer, payload)

    def records(self):
        """Return what the node has said."""
        return [record for payload in self.heard for record in wire.decode(payload)]

    def _hear(self, payload):
        self.heard.append(payload)
        for record in wire.decode(payload):
            if isinstance(record, wire.Received):
                self._arrived = record.bytes
                self._news.set()

    @property
    def is_linked(self):
        return not self.links.of("down")
