"""A network in memory that keeps the contract, for offenders that break one sentence of it each."""

from cluster_kit import (
    Datagrams,
    Listener,
    Network,
    Stream,
)
from cluster_kit.testing import InMemory, NetworkConformance


class Suite(InMemory, NetworkConformance):
    def make_network(self):
        return self.cls(super().make_network())

    def make_other(self):
        return self.cls(super().make_other())


class SoundStream(Stream):
    """Passes everything on."""

    def __init__(self, stream):
        self.inner = stream
        self.here, self.there = stream.here, stream.there
        self.reader = None

    def start(self, reader):
        self.reader = reader
        self.inner.start(self)

    def received(self, data):
        self.reader.received(data)

    def relieved(self):
        self.reader.relieved()

    def lost(self):
        self.reader.lost()

    def send(self, data):
        self.inner.send(data)

    @property
    def unsent_bytes(self):
        return self.inner.unsent_bytes

    def close(self):
        self.inner.close()

    def abort(self):
        self.inner.abort()


class ClosingStream(SoundStream):
    """Knows whether it was closed here."""

    is_closing = False

    def close(self):
        self.is_closing = True
        super().close()

    def abort(self):
        self.is_closing = True
        super().abort()


class SoundListener(Listener):
    stream = SoundStream

    def __init__(self, listener):
        self.inner = listener
        self.here = listener.here

    def start(self, accept):
        self.inner.start(lambda stream: accept(self.stream(stream)))

    async def close(self):
        await self.inner.close()


class SoundDatagrams(Datagrams):
    def __init__(self, datagrams):
        self.inner = datagrams
        self.here = datagrams.here

    def listen(self, hear):
        self.inner.listen(hear)

    def pause(self):
        self.inner.pause()

    def send(self, data, to=None):
        self.inner.send(data, to)

    def close(self):
        self.inner.close()


class Sound(Network):
    stream = SoundStream
    listener = SoundListener
    datagrams = SoundDatagrams

    def __init__(self, network):
        self.inner = network
        self.clock = network.clock
        self.most_streams = network.most_streams

    def random(self, concern):
        return self.inner.random(concern)

    async def resolve(self, host, *, version=None):
        return await self.inner.resolve(host, version=version)

    def interfaces(self):
        return self.inner.interfaces()

    def has_address(self, address):
        return self.inner.has_address(address)

    async def listen(self, at):
        listener = self.listener(await self.inner.listen(at))
        listener.stream = self.stream
        return listener

    async def dial(self, to):
        return self.stream(await self.inner.dial(to))

    async def join(self, group, *, max_bytes):
        return self.datagrams(await self.inner.join(group, max_bytes=max_bytes))


def breaks_in(module):
    """Return a decorator that runs the suite on a network which breaks certain rules.

    Args:
        module: The namespace in which the suite is collected.
    """

    def breaks(*rules):
        def register(cls):
            parts = [part for part in (Stream, Listener, Datagrams) if issubclass(cls, part)]
            attributes = {part.__name__.lower(): cls for part in parts}
            network = type(cls.__name__, (Sound,), attributes) if parts else cls
            name = f"Test{cls.__name__}"
            suite = {"cls": network, "breaks": frozenset(rules), "__module__": module["__name__"]}
            module[name] = type(name, (Suite,), suite)
            return cls

        return register

    return breaks
