"""The base of the suite for networks: what an author overrides, and recorders of what arrives."""

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
MOST_BULKS = 400  # 100 MB, more than any system buffers
CLOSE = "Stop receiving, and close once everything is sent. Idempotent."
RESEND_S = 0.5
MAX_BYTES = 100  # of a datagram


class Recorder:
    """Records calls of the network, and lets a rule wait for them.

    Attributes:
        strays: The calls from outside the event loop in which the recorder was made.
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
        """Wait until ``met()``, which is evaluated after each call of the network.

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
                f"expected {what} within {self._deadline_s:g} s; received: {self}"
            ) from None


class StreamRecorder(Recorder):
    """Records what a stream delivers.

    Attributes:
        data: The bytes received.
        losses: How often ``lost`` was called.
        late: How often anything was called after that.
        reliefs: The ``unsent_bytes`` of the stream at each call of ``relieved``.
    """

    def __init__(self, deadline_s: float, stream: Stream | None = None) -> None:
        super().__init__(deadline_s)
        self._stream = stream
        self.data = bytearray()
        self.reliefs: list[int] = []
        self.losses = 0
        self.late = 0

    def __str__(self) -> str:
        start = bytes(self.data[:40])
        return f"{len(self.data)} bytes, beginning with {start!r}, and {self.losses} calls of lost"

    def received(self, data: memoryview) -> None:
        """Record a copy."""
        self.late += bool(self.losses)
        self.data += data
        self._note("received")

    def relieved(self) -> None:
        """Record what is unsent."""
        self.late += bool(self.losses)
        self.reliefs.append(self._stream.unsent_bytes if self._stream else 0)
        self._note("relieved")

    def lost(self) -> None:
        """Count the call."""
        self.losses += 1
        self._note("lost")

    async def got(self, size_bytes: int) -> bytes:
        """Wait for so many bytes, and return all bytes received."""
        await self.until(lambda: len(self.data) >= size_bytes, f"{size_bytes} bytes")
        return bytes(self.data)

    async def ended(self) -> None:
        """Wait for the end of the stream."""
        await self.until(lambda: self.losses > 0, "lost()")


class DatagramRecorder(Recorder):
    """Records datagrams."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__(deadline_s)
        self.heard: list[Datagram] = []

    def __str__(self) -> str:
        return f"{[(data[:40], source) for data, source in self.heard]}"

    def hear(self, datagrams: Sequence[Datagram]) -> None:
        """Record them."""
        self.heard += datagrams
        self._note("hear")

    def sources_of(self, data: bytes) -> list[Endpoint]:
        """Return where the datagrams with these bytes came from."""
        return [source for heard, source in self.heard if heard == data]


class GroupMember(DatagramRecorder):
    """A member of a group that records what it receives."""

    def __init__(self, deadline_s: float, group: Group, datagrams: Datagrams) -> None:
        super().__init__(deadline_s)
        self.group = group
        self.datagrams = datagrams
        self.here = datagrams.here
        datagrams.listen(self.hear)

    def send(self, data: bytes, to: Endpoint | None = None) -> None:
        """Send once, by default to the group."""
        self.datagrams.send(data, to)


class NetworkHarness:
    """What ``NetworkConformance`` lets an author override."""

    deadline_s: float = DEADLINE_S
    """How long to wait for what must come."""
    address: str = "127.0.0.1"
    """The address of the machine of ``make_network``."""
    other_address: str = "127.0.0.1"
    """The address of the machine of ``make_other``."""
    name: str = "localhost"
    """A host name that resolves on the machine of ``make_network``."""
    foreign_address: str = "192.0.2.1"
    """An IPv4 address that neither machine has."""

    def make_network(self) -> Network:
        """Return a fresh instance, in the event loop that it serves."""
        raise NotImplementedError("override 'make_network'")

    def make_other(self) -> Network:
        """Return the network of another machine, in the same event loop; by default of this one."""
        return self.make_network()

    def make_group(self, port: int, address: str) -> Group:
        """Return a group that both machines can join; ``address`` is that of the joining one."""
        return Group("239.192.7.7", port, via=address, heard_on=address)

    def run(self, scenario: Coroutine[Any, Any, None]) -> None:
        """Run one scenario to its end in a separate event loop; every rule runs through here."""
        run_to_end(scenario, self.deadline_s)

    def play(self, rule: Callable[..., Awaitable[None]], *machines: str) -> None:
        """Run a rule with the networks of the named machines; it must leave nothing behind."""
        make = {"ann": self.make_network, "bob": self.make_other}

        async def play() -> None:
            async with leaves_nothing(self.deadline_s):
                await rule(*[make[machine]() for machine in machines])

        self.run(without_unhandled(play()))

    def reader(self, stream: Stream) -> StreamRecorder:
        """Start ``stream``, and return the recorder that reads it."""
        reader = StreamRecorder(self.deadline_s, stream)
        stream.start(reader)
        return reader

    async def fill(self, stream: Stream) -> int:
        """Send until something stays unsent; return how often ``BULK`` was sent."""
        for count in range(1, MOST_BULKS + 1):
            stream.send(BULK)
            if stream.unsent_bytes > len(BULK):
                return count
            # a slow network takes a while to fill up
            await asyncio.sleep(0.01)
        raise AssertionError(
            f"{MOST_BULKS * len(BULK):,} bytes were sent to a peer that doesn't read, and yet "
            "unsent_bytes stays low"
        )

    async def once(self, met: Callable[[], bool], what: str) -> None:
        """Wait for a condition that has no event."""

        async def wait() -> None:
            while not met():  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.01)

        await self.within(wait(), what)

    async def a_while(self, ann: Network, bob: Network) -> None:
        """Wait for as long as a stream takes to open and close: earlier data has arrived then."""
        async with self.pair(ann, bob) as (ours, theirs):
            ours.close()
            await self.reader(theirs).ended()

    @asynccontextmanager
    async def serving(
        self, other: Network
    ) -> AsyncIterator[tuple[Listener, asyncio.Queue[Stream]]]:
        """Listen on the other machine, and yield the listener with a queue of accepted streams."""
        listener = await other.listen(Endpoint(self.other_address, 0))
        accepted: asyncio.Queue[Stream] = asyncio.Queue()
        listener.start(accepted.put_nowait)
        try:
            yield listener, accepted
        finally:
            await listener.close()

    @asynccontextmanager
    async def pair(self, network: Network, other: Network) -> AsyncIterator[tuple[Stream, Stream]]:
        """Open a stream, and yield both ends, the dialling one first."""
        async with self.serving(other) as (listener, accepted):
            ours = await self.within(network.dial(listener.here), "dial")
            theirs = await self.within(accepted.get(), "a stream to be accepted")
        try:
            yield ours, theirs
        finally:
            ours.abort()
            theirs.abort()

    async def within(self, what: Awaitable[Any], name: str) -> Any:
        """Wait for what must come, until the deadline."""
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
        """Return a port that is not in use."""
        listener = await network.listen(Endpoint(address, 0))
        await listener.close()
        return listener.here.port

    @asynccontextmanager
    async def group(self, *networks: Network) -> AsyncIterator[list[GroupMember]]:
        """Join a fresh group once from each network, and yield the members; ann's comes first."""
        ann = networks[0]
        port = await self.free_port(ann, self.address)
        members: list[GroupMember] = []
        try:
            for network in networks:
                address = self.address if network is ann else self.other_address
                group = self.make_group(port, address)
                datagrams = await network.join(group, max_bytes=MAX_BYTES)
                members.append(GroupMember(self.deadline_s, group, datagrams))
            yield members
        finally:
            for member in members:
                member.datagrams.close()

    async def deliver(
        self,
        sender: GroupMember,
        data: bytes,
        receiver: DatagramRecorder,
        to: Endpoint | None = None,
    ) -> list[Endpoint]:
        """Send until it is received, as datagrams may be lost; return where they came from."""

        async def send() -> None:
            while True:
                sender.send(data, to)
                await asyncio.sleep(RESEND_S)

        sending = asyncio.create_task(send())
        try:
            await receiver.until(
                lambda: bool(receiver.sources_of(data)), f"{data!r} from {sender.here}"
            )
        finally:
            sending.cancel()
            await asyncio.wait([sending])
        return receiver.sources_of(data)
