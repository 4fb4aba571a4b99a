"""Where networks are tried: what ``NetworkConformance`` overrides, and ears that keep what they
hear.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from cluster_kit.errors import NetworkError
from cluster_kit.network import Datagram, Datagrams, Endpoint, Group, Listener, Network, Stream
from cluster_kit.testing.fakes import DEADLINE_S
from cluster_kit.testing.leaks import leaves_nothing
from cluster_kit.testing.rules import run_to_end, without_unhandled

BULK = bytes(range(256)) * 1024  # more than one packet
MOST_BULKS = 400  # 100 MB: no system takes in more than that for somebody who doesn't read
CLOSE = "Receive nothing more, and close once everything is sent. Idempotent."
SAY_AGAIN_S = 0.5  # a datagram may be lost


class Recorder:
    """Keeps what comes in, and lets a rule wait for it.

    Attributes:
        strays: Calls from elsewhere than the event loop in which the ear was made.
    """

    def __init__(self, deadline_s: float) -> None:
        self.strays: list[str] = []
        self._deadline_s = deadline_s
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    def _note(self, what: str) -> None:
        if asyncio._get_running_loop() is not self._loop:
            self.strays.append(what)
            self._loop.call_soon_threadsafe(self._news.set)
        else:
            self._news.set()

    async def until(self, met: Callable[[], bool], what: str) -> None:
        """Wait until ``met()``, which is asked again whenever something comes in.

        Raises:
            AssertionError: It was not met in time.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                while not met():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(
                f"expected {what} within {self._deadline_s:g} s; came in: {self}"
            ) from None


class StreamRecorder(Recorder):
    """Keeps what a stream brings.

    Attributes:
        data: What was received.
        losses: How often the end was told.
        late: How often something was told after that.
        reliefs: What was unsent each time that all had been taken.
    """

    def __init__(self, deadline_s: float, stream: Stream | None = None) -> None:
        super().__init__(deadline_s)
        self._stream = stream
        self.data = bytearray()
        self.reliefs: list[int] = []
        self.losses = 0
        self.late = 0

    def __str__(self) -> str:
        return (
            f"{len(self.data)} bytes, beginning with {bytes(self.data[:40])!r}, and {self.losses} "
            "ends"
        )

    def received(self, data: memoryview) -> None:
        """Keep a copy."""
        self.late += bool(self.losses)
        self.data += data
        self._note("received")

    def relieved(self) -> None:
        """Keep what is unsent."""
        self.late += bool(self.losses)
        self.reliefs.append(self._stream.unsent_bytes if self._stream else 0)
        self._note("relieved")

    def lost(self) -> None:
        """Count."""
        self.losses += 1
        self._note("lost")

    async def got(self, size_bytes: int) -> bytes:
        """Wait for so many bytes, and return all that came in."""
        await self.until(lambda: len(self.data) >= size_bytes, f"{size_bytes} bytes")
        return bytes(self.data)

    async def ended(self) -> None:
        """Wait for the end of the stream."""
        await self.until(lambda: self.losses > 0, "lost()")


class DatagramRecorder(Recorder):
    """Keeps datagrams, each with where it came from."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__(deadline_s)
        self.heard: list[Datagram] = []

    def __str__(self) -> str:
        return f"{[(data[:40], source) for data, source in self.heard]}"

    def hear(self, datagrams: Sequence[Datagram]) -> None:
        """Keep them."""
        self.heard += datagrams
        self._note("hear")

    def sources_of(self, data: bytes) -> list[Endpoint]:
        """Return where datagrams with these bytes came from."""
        return [source for heard, source in self.heard if heard == data]


class NetworkHarness:
    """What a suite for networks overrides, and how its rules are tried."""

    deadline_s: float = DEADLINE_S
    """How long to wait for what must come."""
    address: str = "127.0.0.1"
    """Of the machine of ``make_network``."""
    other_address: str = "127.0.0.1"
    """Of the machine of ``make_other``."""
    name: str = "localhost"
    """What resolves to an address, on the machine of ``make_network``."""
    foreign_address: str = "192.0.2.1"
    """An IPv4 address that neither machine has."""

    def make_network(self) -> Network:
        """Return a fresh instance; called in the event loop that it serves."""
        raise NotImplementedError("override 'make_network'")

    def make_other(self) -> Network:
        """Return one of another machine that ``make_network`` reaches, or of the same; called in
        the same event loop.
        """
        return self.make_network()

    def make_group(self, port: int, address: str) -> Group:
        """Return a group that both machines hear; ``address`` is that of the machine which
        joins.
        """
        return Group("239.192.7.7", port, via=address, heard_on=address)

    def run(self, scenario: Coroutine[Any, Any, None]) -> None:
        """Run one scenario to its end, in an event loop of its own; every rule comes through
        here.
        """
        run_to_end(scenario, self.deadline_s)

    def play(self, rule: Callable[..., Awaitable[None]], *machines: str) -> None:
        """Run a rule with the networks of the named machines; it must leave nothing behind."""
        make = {"ann": self.make_network, "bob": self.make_other}

        async def play() -> None:
            async with leaves_nothing(self.deadline_s):
                await rule(*[make[machine]() for machine in machines])

        self.run(without_unhandled(play()))

    def reader(self, stream: Stream) -> StreamRecorder:
        """Start ``stream`` with a reader."""
        reader = StreamRecorder(self.deadline_s, stream)
        stream.start(reader)
        return reader

    async def fill(self, stream: Stream) -> int:
        """Send until something stays unsent; return how often ``BULK`` was sent."""
        for count in range(1, MOST_BULKS + 1):
            stream.send(BULK)
            if stream.unsent_bytes > len(BULK):
                return count
            # on a slow network it takes a while until nothing more gets through
            await asyncio.sleep(0.01)
        raise AssertionError(
            f"{MOST_BULKS * len(BULK)} bytes were sent to who doesn't read, and none is unsent"
        )

    async def once(self, met: Callable[[], bool], what: str) -> None:
        """Wait for what no event tells of."""

        async def wait() -> None:
            while not met():  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.01)

        await self.within(wait(), what)

    async def a_while(self, ann: Network, bob: Network) -> None:
        """Wait as long as another stream takes to open and close: what was under way has come in by
        then.
        """
        async with self.pair(ann, bob) as (ours, theirs):
            ours.close()
            await self.reader(theirs).ended()

    @asynccontextmanager
    async def serving(
        self, other: Network
    ) -> AsyncIterator[tuple[Listener, asyncio.Queue[Stream]]]:
        """Listen on the other machine, and yield the listener with what it has accepted."""
        listener = await other.listen(Endpoint(self.other_address, 0))
        accepted: asyncio.Queue[Stream] = asyncio.Queue()
        listener.start(accepted.put_nowait)
        try:
            yield listener, accepted
        finally:
            await listener.close()

    @asynccontextmanager
    async def pair(self, network: Network, other: Network) -> AsyncIterator[tuple[Stream, Stream]]:
        """Open a stream, and yield both ends: who dialled, and who was dialled."""
        async with self.serving(other) as (listener, accepted):
            ours = await self.within(network.dial(listener.here), "dial")
            theirs = await self.within(accepted.get(), "a stream to be accepted")
        try:
            yield ours, theirs
        finally:
            ours.abort()
            theirs.abort()

    async def within(self, what: Awaitable[Any], name: str) -> Any:
        """Wait for what must come."""
        try:
            async with asyncio.timeout(self.deadline_s):
                return await what
        except TimeoutError:
            raise AssertionError(f"expected {name} within {self.deadline_s:g} s") from None

    async def refusal(self, what: Awaitable[Any], name: str) -> NetworkError:
        """Wait for what must raise a ``NetworkError``, and return that."""
        try:
            got = await self.within(what, name)
        except NetworkError as error:
            return error
        except OSError as error:
            raise AssertionError(f"{name} raised {error!r} rather than a NetworkError") from error
        raise AssertionError(f"{name} returned {got!r} rather than raise a NetworkError")

    async def free_port(self, network: Network, address: str) -> int:
        """Return a port that nobody has."""
        listener = await network.listen(Endpoint(address, 0))
        await listener.close()
        return listener.here.port

    @asynccontextmanager
    async def joined(
        self, network: Network, port: int, address: str, *, max_bytes: int = 100
    ) -> AsyncIterator[tuple[Datagrams, DatagramRecorder]]:
        """Join the group of ``port``, listen, and yield the datagrams with their ear."""
        datagrams = await network.join(self.make_group(port, address), max_bytes=max_bytes)
        hearer = DatagramRecorder(self.deadline_s)
        datagrams.listen(hearer.hear)
        try:
            yield datagrams, hearer
        finally:
            datagrams.close()

    async def say(
        self, said: Datagrams, data: bytes, hearer: DatagramRecorder, to: Endpoint | None = None
    ) -> list[Endpoint]:
        """Send until it is heard, as datagrams may be lost; return where it came from."""

        async def say() -> None:
            while True:
                said.send(data, to)
                await asyncio.sleep(SAY_AGAIN_S)

        saying = asyncio.create_task(say())
        try:
            await hearer.until(lambda: bool(hearer.sources_of(data)), f"{data!r} from {said.here}")
        finally:
            saying.cancel()
            await asyncio.wait([saying])
        return hearer.sources_of(data)
