"""A network that wraps another and delays everything by a second, as a user might write it."""

import asyncio
from collections import deque

from cluster_kit import Datagrams, Listener, Network, Stream

DELAY_S = 1.0


class DelayedStream(Stream):
    """Hands over a second later what comes in, and the end with it."""

    def __init__(self, stream):
        self._stream = stream
        self.here, self.there = stream.here, stream.there
        self._loop = asyncio.get_running_loop()
        self._reader = None
        self._is_closed = False
        self._has_ended = False

    def start(self, reader):
        self._reader = reader
        self._stream.start(self)

    def received(self, data):
        self._loop.call_later(DELAY_S, self._receive, bytes(data))

    def _receive(self, data):
        if not self._is_closed and not self._has_ended:
            self._reader.received(memoryview(data))

    def relieved(self):
        self._loop.call_later(DELAY_S, self._relieve)

    def _relieve(self):
        if not self._is_closed and not self._has_ended and not self.unsent_bytes:
            self._reader.relieved()

    def lost(self):
        self._loop.call_later(DELAY_S, self._lose)

    def _lose(self):
        self._has_ended = True
        self._reader.lost()

    def send(self, data):
        self._stream.send(data)

    @property
    def unsent_bytes(self):
        return self._stream.unsent_bytes

    def close(self):
        self._is_closed = True
        self._stream.close()

    def abort(self):
        self._is_closed = True
        self._stream.abort()


class DelayedListener(Listener):
    def __init__(self, listener):
        self._listener = listener
        self.here = listener.here
        self._waiting = {}

    def start(self, accept):
        def later(stream):
            loop = asyncio.get_running_loop()
            self._waiting[stream] = loop.call_later(DELAY_S, hand_over, stream)

        def hand_over(stream):
            del self._waiting[stream]
            accept(DelayedStream(stream))

        self._listener.start(later)

    async def close(self):
        await self._listener.close()
        for stream, timer in self._waiting.items():
            timer.cancel()
            stream.abort()
        self._waiting.clear()


class DelayedDatagrams(Datagrams):
    def __init__(self, datagrams):
        self._datagrams = datagrams
        self.here = datagrams.here
        self._hear = None
        self._waiting = deque()
        self._is_closed = False

    def listen(self, hear):
        self._hear = hear
        loop = asyncio.get_running_loop()
        loop.call_soon(self._empty)
        self._datagrams.listen(lambda datagrams: loop.call_later(DELAY_S, self._take_in, datagrams))

    def _take_in(self, datagrams):
        self._waiting += datagrams
        self._empty()

    def _empty(self):
        while self._waiting and self._hear is not None and not self._is_closed:
            self._hear([self._waiting.popleft()])

    def pause(self):
        self._hear = None
        self._datagrams.pause()

    def send(self, data, to=None):
        self._datagrams.send(data, to)

    def close(self):
        self._is_closed = True
        self._datagrams.close()


class DelayedNetwork(Network):
    def __init__(self, network):
        self._network = network
        self.clock = network.clock
        self.most_streams = network.most_streams

    def random(self, concern):
        return self._network.random(concern)

    async def resolve(self, host, *, version=None):
        await asyncio.sleep(DELAY_S)
        return await self._network.resolve(host, version=version)

    def interfaces(self):
        return self._network.interfaces()

    def has_address(self, address):
        return self._network.has_address(address)

    async def listen(self, at):
        await asyncio.sleep(DELAY_S)
        return DelayedListener(await self._network.listen(at))

    async def dial(self, to):
        await asyncio.sleep(DELAY_S)
        return DelayedStream(await self._network.dial(to))

    async def join(self, group, *, max_bytes):
        await asyncio.sleep(DELAY_S)
        return DelayedDatagrams(await self._network.join(group, max_bytes=max_bytes))


class LateStream(Stream):
    """Sends a second later, and receives at once."""

    def __init__(self, stream):
        self._stream = stream
        self.here, self.there = stream.here, stream.there
        self._reader = None
        self._is_closed = False

    def _later(self, do, *args):
        asyncio.get_running_loop().call_later(DELAY_S, do, *args)

    def start(self, reader):
        self._reader = reader
        self._later(self._stream.start, self)

    def received(self, data):
        if not self._is_closed:
            self._reader.received(data)

    def relieved(self):
        if not self._is_closed:
            self._reader.relieved()

    def lost(self):
        self._is_closed = True
        self._reader.lost()

    def send(self, data):
        if not self._is_closed:
            self._later(self._stream.send, data)

    @property
    def unsent_bytes(self):
        return self._stream.unsent_bytes

    def close(self):
        self._is_closed = True
        self._later(self._stream.close)

    def abort(self):
        self._is_closed = True
        self._later(self._stream.abort)


class LateListener(DelayedListener):
    def start(self, accept):
        def late(stream):
            accept(LateStream(stream))

        asyncio.get_running_loop().call_later(DELAY_S, self._listener.start, late)


class LateDatagrams(DelayedDatagrams):
    def listen(self, hear):
        self._hear = hear
        self._datagrams.listen(self._take_in)

    def send(self, data, to=None):
        asyncio.get_running_loop().call_later(DELAY_S, self._send, data, to)

    def _send(self, data, to):
        if not self._is_closed:
            self._datagrams.send(data, to)


class LateNetwork(DelayedNetwork):
    """Delays on the way out, and by other means."""

    async def listen(self, at):
        return LateListener(await self._network.listen(at))

    async def dial(self, to):
        stream = await self._network.dial(to)
        try:
            await asyncio.sleep(DELAY_S)
        except BaseException:
            stream.abort()
            raise
        return LateStream(stream)

    async def join(self, group, *, max_bytes):
        return LateDatagrams(await self._network.join(group, max_bytes=max_bytes))
