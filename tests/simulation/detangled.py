"""A ``Network`` on detangle's simulated TCP, for its scheduler to run the real connector.

It has only streams, as detangle has no multicast. In one respect detangle differs from TCP, and
``dial`` makes up for it: a dial that is cancelled late leaves the accepted end open for ever.
"""

import asyncio
from collections import deque
from functools import partial
from random import Random

import detangle

from cluster_kit.errors import NetworkError, NetworkFault
from cluster_kit.network import MAX_PORT, Clock, Endpoint, Interface, Listener, Network, Stream
from cluster_kit.network.faults import network_errors


class DetangledStream(Stream, asyncio.Protocol):
    """A stream on a transport of detangle's, which never leaves anything unsent."""

    unsent_bytes = 0

    def __init__(self, network, opened=lambda stream: None):
        self._network = network
        self._opened = opened
        self._reader = None
        self._has_ended = False

    def connection_made(self, transport):
        self.here, self.there = (
            Endpoint(*transport.get_extra_info(end)) for end in ("sockname", "peername")
        )
        self._transport = transport
        transport.pause_reading()
        self._network.streams.append(self)
        self._network.opened.set()
        self._opened(self)

    def start(self, reader):
        self._reader = reader
        if self._has_ended:
            asyncio.get_running_loop().call_soon(reader.lost)
        else:
            self._transport.resume_reading()

    def data_received(self, data):
        try:
            self._reader.received(memoryview(data))
        except BaseException:
            self.abort()
            raise

    def connection_lost(self, exc):
        self._has_ended = True
        self._network.streams.remove(self)
        if self._reader is not None:
            self._reader.lost()

    def send(self, data):
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self):
        self._transport.close()

    def abort(self):
        self._transport.abort()


class DetangledListener(Listener):
    """A server of detangle's as a listener."""

    def __init__(self, network):
        self._network = network
        self._accept = None
        self._waiting = deque()
        self._is_closed = False

    async def open(self, at):
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: DetangledStream(self._network, self._opened), *at
        )
        self.here = Endpoint(*self._server.sockets[0].getsockname())
        return self

    def _opened(self, stream):
        if self._is_closed:
            stream.abort()
            return
        self._waiting.append(stream)
        if self._accept is not None:
            self._hand_over()

    def _hand_over(self):
        while self._waiting:
            self._accept(self._waiting.popleft())

    def start(self, accept):
        self._accept = accept
        asyncio.get_running_loop().call_soon(self._hand_over)

    async def close(self):
        self._is_closed = True
        self._server.close()
        while self._waiting:
            self._waiting.popleft().abort()


class DetangledClock(Clock):
    def monotonic_s(self):
        return asyncio.get_running_loop().time()

    def wall_s(self):
        return 1_767_225_600.0 + self.monotonic_s()


class DetangledNetwork(Network):
    """The network as the machine of one address sees it.

    Args:
        address: Its address.
        names: What each host name of the network resolves to.

    Attributes:
        streams: Those that have not ended.
        opened: Set once there was one.
    """

    most_streams = 1024

    def __init__(self, address, names=None):
        self.clock = DetangledClock()
        self._address = address
        self._names = names or {}
        self.streams = []
        self.opened = asyncio.Event()
        detangle.network().ensure_host(address)

    def random(self, concern):
        return Random(f"{self._address} {concern}")

    async def resolve(self, host, *, version=None):
        found = self._names.get(host) or ([host] if host[:1].isdigit() else [])
        if not found:
            raise NetworkError("name or service not known", fault=NetworkFault.NO_SUCH_NAME)
        return found

    def interfaces(self):
        return [Interface("eth0", self._address)]

    def has_address(self, address):
        return address == self._address

    async def listen(self, at):
        self._check_port(at.port)
        if not self.has_address(at.host):
            raise NetworkError("cannot assign requested address", fault=NetworkFault.NOT_OURS)
        with network_errors():
            return await detangle.spawn(DetangledListener(self).open(at), host=self._address)

    def _check_port(self, port):
        if not 0 <= port <= MAX_PORT:
            raise NetworkError("no such port, expected 0 to 65535", fault=NetworkFault.FAILED)

    async def dial(self, to):
        self._check_port(to.port)
        loop = asyncio.get_running_loop()
        opening = detangle.spawn(
            loop.create_connection(partial(DetangledStream, self), *to), host=self._address
        )
        try:
            with network_errors():
                _, stream = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_abort)
            raise
        return stream

    async def join(self, group, *, max_bytes):
        raise NetworkError("no datagrams here", fault=NetworkFault.UNSUPPORTED)


def _abort(opening):
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[1].abort()
