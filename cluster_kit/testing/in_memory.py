"""``InMemory``: makes a conformance suite run on a network in memory, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import cached_property
from typing import Any

from cluster_kit.abc import Connector, Strategy
from cluster_kit.network import Endpoint, Network
from cluster_kit.node import BootId, Fence, Node, join_address, split_address
from cluster_kit.security import Security
from cluster_kit.testing.fakes import DEADLINE_S, FENCE, FakeDiscovery, RecordingLinks
from cluster_kit.testing.listener import Listener
from cluster_kit.testing.memory.host import MemoryHost
from cluster_kit.testing.memory.network import MemoryNetwork
from cluster_kit.testing.memory.transport import Handle, Streams, dialled, listening
from cluster_kit.testing.virtual_time.loop import VirtualLoop
from cluster_kit.testing.virtual_time.run import run_virtually

_ANN = Node(name="ann@127.0.0.1", address="127.0.0.1:45001")


class ProcessInMemory:
    """A process beside that of the test: a separate event loop on the same timeline."""

    def __init__(self, name: str) -> None:
        here = asyncio.get_running_loop()
        assert isinstance(here, VirtualLoop)
        self._here = here
        self.loop = VirtualLoop(here.timeline, name=name)

    async def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run ``coroutine`` in the process, and return its result."""
        over = self._here.create_future()
        task = self.loop.create_task(coroutine)
        task.add_done_callback(lambda _: self._here.call_soon(over.set_result, None))
        async with asyncio.timeout(DEADLINE_S):
            await over
        return task.result()

    def freeze(self) -> None:
        """Stop it dead, as SIGSTOP does: what it has open stays open."""
        self.loop.pause()

    def kill(self) -> None:
        """End it, as SIGKILL does."""
        self.loop.kill()


class PeerInMemory(ProcessInMemory):
    """A connector in a separate process; ``node`` is what its ``start`` returned."""

    node: Node

    async def serve(
        self, connector: Connector, local: Node, links: RecordingLinks, dial: Node | None
    ) -> None:
        """Start the connector, and connect to ``dial``."""
        self.node = await self.run(connector.start(local, links))
        if dial is not None:
            await self.run(connector.connect(dial))

    async def crash(self) -> None:
        """End without a goodbye."""
        self.kill()


class InMemory:
    """Runs a suite on a network in memory: ``class TestTcpInMemory(InMemory, TestTcp)``.

    Each scenario has a separate network. All nodes are on one machine, unless the suite asks for
    another one; peers that crash or freeze have a separate event loop.
    """

    seed: int = 0
    """The seed of the network."""
    address: str = "10.0.0.1"
    """The address of the first machine, or its loopback."""
    other_address: str = "10.0.0.2"
    """The address of the second one."""
    name: str = "ann.example"
    """The host name of the first machine."""

    @cached_property
    def memory(self) -> MemoryNetwork:
        """The network of this scenario, on which to place faults."""
        memory = MemoryNetwork(seed=self.seed)
        for address, name in (("10.0.0.1", "ann.example"), ("10.0.0.2", "bob.example")):
            memory.host(address, names=[name])
        return memory

    @property
    def machine(self) -> MemoryHost:
        """The first machine."""
        return self.memory.hosts[0]

    def run(self, scenario: Coroutine[Any, Any, None]) -> None:
        """Run one scenario in virtual time."""
        try:
            run_virtually(scenario)
        finally:
            self.__dict__.pop("memory", None)  # the next scenario gets a new network

    # For suites of networks

    def make_network(self) -> Network:
        """Return the network of the first machine."""
        return self.machine

    def make_other(self) -> Network:
        """Return the network of the second one."""
        return self.memory.hosts[1]

    # For suites of strategies

    def discovery(self, local: Node = _ANN, *, announce: bool = True) -> FakeDiscovery:
        """Return a context for a strategy on the first machine."""
        keyring = getattr(self, "keyring", None)
        return FakeDiscovery(local, announce=announce, network=self.make_network(), keyring=keyring)

    @contextmanager
    def bystander(self, strategy: Strategy, ctx: FakeDiscovery) -> Iterator[ProcessInMemory]:
        """Run a node that discovers in a separate process."""
        process = ProcessInMemory("bystander")
        process.loop.create_task(Listener(strategy, ctx).__aenter__())
        try:
            yield process
        finally:
            process.kill()

    # For suites of connectors

    def make_links(self, *, fence: Fence = FENCE, boot_id: BootId | None = None) -> RecordingLinks:
        """Return what a connector on the first machine reports to."""
        deadline_s: float = getattr(self, "deadline_s", DEADLINE_S)
        return RecordingLinks(
            fence=fence, boot_id=boot_id, deadline_s=deadline_s, network=self.make_network()
        )

    @asynccontextmanager
    async def listen_raw(self, handle: Handle) -> AsyncIterator[str]:
        """Listen as a peer that is not a connector."""
        async with listening(self.machine, Endpoint("127.0.0.1", 0), handle) as here:
            yield join_address(*here)

    async def dial_raw(self, address: str) -> Streams:
        """Dial as a peer that is not a connector."""
        return await dialled(self.machine, Endpoint(*split_address(address)))

    async def stall(self, seconds: float) -> None:
        """Stall the event loop of this process."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.timeline.call_at(loop.time() + seconds, loop.resume)
        loop.pause()
        await asyncio.sleep(0)

    def peer_apart(
        self, basename: str, *, dial: Node | None = None
    ) -> AbstractAsyncContextManager[PeerInMemory]:
        """Start a peer in a separate process."""
        suite: Any = self
        local = suite._boot(basename)

        def make_links() -> RecordingLinks:
            links = self.make_links(boot_id=local.boot_id)
            links.security = Security(local, getattr(self, "keyring", None))
            return links

        return _apart(suite.make_connector, local, make_links, dial)


@asynccontextmanager
async def _apart(
    make_connector: Callable[[], Connector],
    local: Node,
    make_links: Callable[[], RecordingLinks],
    dial: Node | None,
) -> AsyncIterator[PeerInMemory]:
    peer = PeerInMemory(local.key)
    try:
        await peer.serve(make_connector(), local, make_links(), dial)
        yield peer
    finally:
        peer.kill()
