"""One run of the strategy: feeds the engine with datagrams and time, and carries out what it decides.

Everything happens between two observations, in the consumer's own time: who doesn't ask for more makes nothing pile up here.
A network that fails is reported once, and tried again each interval.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import nullcontext, suppress

from cluster_kit.abc import Discovery, Failed, Observation
from cluster_kit.errors import ClusterKitError, ConfigError, DiscoveryError
from cluster_kit.strategies.gossip import GossipStrategy
from cluster_kit.strategies.gossip.engine import Action, GossipEngine, Ignored, Send
from cluster_kit.strategies.gossip.sockets import Sockets, interface_of

log = logging.getLogger("cluster_kit.gossip")

BATCH = 64  # datagrams between two turns of the event loop: a flood starves nobody
GOODBYES = 3  # nobody asks for a lost one
REPEAT_S = 60.0  # between two messages about datagrams that were of no use


class Session:
    """Gossips as ``options`` say, for the node that ``ctx`` tells about."""

    def __init__(self, options: GossipStrategy, ctx: Discovery) -> None:
        self._options = options
        self._ctx = ctx
        self._engine = GossipEngine(
            ctx.local,
            ctx.fence,
            leaving=ctx.leaving,
            announce=ctx.announce,
            interval_s=options.interval_s,
            ttl_s=options.ttl_s,
            random=ctx.random,
        )
        self._wake = asyncio.Event()
        self._changed = False
        self._sockets: Sockets | None = None
        self._open_at_s: float | None = 0.0  # when to open sockets anew; None while they work
        self._fault: str | None = None
        self._announced = False
        self._ignored = 0
        self._quiet_until_s = 0.0

    async def observe(self) -> AsyncGenerator[Observation, None]:
        """Yield what is heard, until closed."""
        watching = asyncio.create_task(self._watch(), name="gossip: changes of the local node")
        try:
            while True:
                for observation in await self._step():
                    yield observation
                await self._pause()
        except (asyncio.CancelledError, GeneratorExit):
            self._say_goodbye()  # only now: who fails, starts again, and is not believed any more after a goodbye
            raise
        finally:
            watching.cancel()
            if self._sockets is not None:
                self._sockets.close()

    async def _watch(self) -> None:
        while True:
            await self._ctx.changed()
            self._changed = True
            self._wake.set()

    async def _pause(self) -> None:
        """Wait until there is something to do."""
        due_s = [self._engine.next_s] if self._sockets else []
        if self._open_at_s is not None:
            due_s.append(self._open_at_s)
        with suppress(TimeoutError), self._sockets.watched(self._wake.set) if self._sockets else nullcontext():
            async with asyncio.timeout_at(min(due_s)):
                await self._wake.wait()
        self._wake.clear()

    async def _step(self) -> list[Observation]:
        """Do all that there is to do now."""
        now_s = asyncio.get_running_loop().time()
        actions: list[Action] = []
        if self._open_at_s is not None and now_s >= self._open_at_s:
            actions += await self._open(now_s)
        if self._changed:
            self._changed = False
            actions += self._engine.update(self._ctx.local, now_s, leaving=self._ctx.leaving)
        if self._sockets is not None:
            for datagram, source in self._sockets.receive(BATCH):
                actions += self._engine.receive(datagram, source, now_s)
            actions += self._engine.tick(now_s)
        return list(self._carry_out(actions, now_s))

    async def _open(self, now_s: float) -> list[Action]:
        self._open_at_s = now_s + self._options.interval_s
        try:
            sockets = Sockets(self._options, await interface_of(self._options, self._ctx.local.host))
        except (ConfigError, DiscoveryError) as error:
            return [*self._failed(error)]
        if self._sockets is not None:
            self._sockets.close()
        self._sockets = sockets
        self._open_at_s = None
        if not self._ctx.announce:
            self._works()
        return [*self._engine.start(now_s)]

    def _carry_out(self, actions: Iterable[Action], now_s: float) -> Iterator[Observation]:
        for action in actions:
            match action:
                case Send():
                    yield from self._send(action, now_s)
                case Ignored():
                    self._mutter(action.why, now_s)
                case _:
                    yield action

    def _send(self, send: Send, now_s: float) -> list[Failed]:
        assert self._sockets is not None
        try:
            self._sockets.send(send.datagram, send.to)
        except DiscoveryError as error:
            if self._open_at_s is None:
                self._open_at_s = now_s + self._options.interval_s
            return self._failed(error)
        if send.to is None:
            self._open_at_s = None
            self._works()
        return []

    def _failed(self, error: ClusterKitError) -> list[Failed]:
        """Report an error, once."""
        if str(error) == self._fault:
            return []
        self._fault = str(error)
        return [Failed(error)]

    def _works(self) -> None:
        self._fault = None
        if not self._announced:
            self._announced = True
            self._ctx.announced()

    def _say_goodbye(self) -> None:
        if self._sockets is None:
            return
        for send in self._engine.goodbye() * GOODBYES:
            with suppress(DiscoveryError):
                self._sockets.send(send.datagram, send.to)

    def _mutter(self, why: str, now_s: float) -> None:
        """Log what was of no use, once in a while."""
        self._ignored += 1
        if now_s >= self._quiet_until_s:
            self._quiet_until_s = now_s + REPEAT_S
            log.debug("port %d: %s; %d datagrams ignored so far", self._options.port, why, self._ignored)
