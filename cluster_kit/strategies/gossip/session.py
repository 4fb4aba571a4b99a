"""One run of the strategy: feeds the engine with datagrams and time, and carries out what it decides.

Datagrams are handled as they come in; the run itself wakes up only for what is due and for what is worth telling, since most
of them say what is known. A network that fails is reported once, and tried again each interval. Silence is judged by attended
time: a machine that was stopped and goes on finds nobody silent.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from cluster_kit.abc import Discovery, Failed, Observation
from cluster_kit.attended import AttendedClock
from cluster_kit.errors import ClusterKitError, ConfigError, NetworkError
from cluster_kit.network import Datagram, Datagrams, Group
from cluster_kit.strategies.gossip import GossipStrategy
from cluster_kit.strategies.gossip.causes import not_joined, not_sent
from cluster_kit.strategies.gossip.distrust import Distrusted, Warnings
from cluster_kit.strategies.gossip.engine import ANNOUNCE_BYTES, Action, GossipEngine, Ignored, Send, Sooner
from cluster_kit.strategies.gossip.ways import group_of
from cluster_kit.wire.gossip import MAX_DATAGRAM_BYTES

if TYPE_CHECKING:
    from cluster_kit.strategies.gossip.sealed import SealedEngine
    from cluster_kit.wire.sealing import Sealing

log = logging.getLogger("cluster_kit.gossip")

GOODBYES = 3  # nobody asks for a lost one
REPEAT_S = 60.0  # between two messages about datagrams that were of no use
MAX_NEWS = 64  # that nobody has taken yet: beyond, nothing more is heard
KEY_BYTES = 32  # of nonces


class Session:
    """Gossips as ``options`` say, for the node that ``ctx`` tells about."""

    def __init__(self, options: GossipStrategy, ctx: Discovery) -> None:
        self._options = options
        self._ctx = ctx
        self._loop = asyncio.get_running_loop()
        self._clock = AttendedClock(ctx.network.clock.monotonic_s, 2 * options.interval_s)
        sealing = ctx.security.sealing
        self._sealed = None if sealing is None else _sealed(options, ctx, sealing)
        self._engine = self._sealed or _plain(options, ctx)
        self._warnings = Warnings()
        self._news: deque[Observation] = deque()
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._group: Group | None = None
        self._datagrams: Datagrams | None = None
        self._join_at_s: float | None = self._clock.now_s()  # when to join the group anew; None while it works
        self._fault: str | None = None
        self._changed = False
        self._announced = False
        self._ignored = 0
        self._quiet_until_s = self._clock.now_s()

    async def observe(self) -> AsyncGenerator[Observation, None]:
        """Yield what is heard, until closed."""
        watching = self._loop.create_task(self._watch(), name="gossip: changes of the local node")
        try:
            while True:
                await self._step()
                while self._news:
                    yield self._news.popleft()
                await self._pause()
        except (asyncio.CancelledError, GeneratorExit):
            self._say_goodbye()  # only now: who fails starts again at once, and is not believed right after a goodbye
            raise
        finally:
            watching.cancel()
            self._close()

    async def _watch(self) -> None:
        while True:
            await self._ctx.changed()
            self._changed = True
            self._wake.set()

    # -- when to do something --------------------------------------------------------------------------------------------------

    async def _pause(self) -> None:
        """Wait until something is due, or worth telling."""
        if self._datagrams is not None:
            self._datagrams.listen(self._hear)
        self._set_timer()
        await self._wake.wait()
        self._wake.clear()

    def _set_timer(self) -> None:
        due_s = [self._engine.next_s] if self._datagrams is not None else []
        if self._join_at_s is not None:
            due_s.append(self._join_at_s)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(max(0.0, min(due_s) - self._clock.now_s()), self._wake.set)

    async def _step(self) -> None:
        """Do all that is due."""
        self._clock.tick()
        if self._join_at_s is not None and self._clock.now_s() >= self._join_at_s:
            await self._join()
        now_s = self._clock.now_s()
        if self._changed:
            self._changed = False
            self._engine.update(self._ctx.local, now_s, leaving=self._ctx.leaving)
        if self._datagrams is not None:
            self._carry_out(self._engine.tick(now_s))

    def _hear(self, datagrams: Sequence[Datagram]) -> None:
        """Take in what comes in at once; nearly all of it says nothing new, and a thousand nodes say a lot."""
        if self._datagrams is None:
            return
        actions = self._engine.receive(datagrams, self._clock.now_s())
        if not actions:
            return
        self._carry_out(actions)
        self._wake.set()
        if len(self._news) >= MAX_NEWS:  # until these have been taken
            self._datagrams.pause()

    # -- what to do ------------------------------------------------------------------------------------------------------------

    async def _join(self) -> None:
        self._join_at_s = self._clock.now_s() + self._options.interval_s
        try:
            group = await group_of(self._options, self._ctx.local.host, self._ctx.network)
        except ConfigError as error:
            self._failed(error)
            return
        try:
            datagrams = await self._ctx.network.join(group, max_bytes=MAX_DATAGRAM_BYTES)
        except NetworkError as error:
            self._failed(not_joined(group, error))
            return
        if self._datagrams is not None:
            self._datagrams.close()
        self._group, self._datagrams = group, datagrams
        self._join_at_s = None
        if self._sealed is not None:
            self._sealed.hears_at(datagrams.here)
        if not self._ctx.announce:
            self._works()
        self._engine.start(self._clock.now_s())

    def _carry_out(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Send():
                    self._send(action)
                case Ignored():
                    self._mutter(action.why)
                case Distrusted():
                    self._warn(action)
                case Sooner():  # who carries it out wakes up to look what is due
                    pass
                case _:
                    self._news.append(action)

    def _send(self, send: Send) -> None:
        assert self._datagrams is not None
        assert self._group is not None
        try:
            self._datagrams.send(send.datagram, send.to)
        except NetworkError as error:
            if self._join_at_s is None:
                self._join_at_s = self._clock.now_s() + self._options.interval_s
            self._failed(not_sent(self._group, error))
        else:
            if send.to is None:
                self._join_at_s = None
                self._works()

    def _failed(self, error: ClusterKitError) -> None:
        """Report an error, once."""
        if str(error) != self._fault:
            self._fault = str(error)
            self._news.append(Failed(error))

    def _works(self) -> None:
        if self._fault is not None or not self._announced:
            self._ctx.announced()
        self._fault = None
        self._announced = True

    def _mutter(self, why: str) -> None:
        """Log what was of no use, once in a while."""
        self._ignored += 1
        if self._clock.now_s() >= self._quiet_until_s:
            self._quiet_until_s = self._clock.now_s() + REPEAT_S
            log.debug("port %d: %s; %d datagrams ignored so far", self._options.port, why, self._ignored)

    def _warn(self, distrusted: Distrusted) -> None:
        if self._warnings.passes(distrusted, self._clock.now_s()):
            log.warning("%s", distrusted)
        else:
            self._mutter(str(distrusted))

    # -- ending ----------------------------------------------------------------------------------------------------------------

    def _say_goodbye(self) -> None:
        if self._datagrams is not None:
            for send in self._engine.goodbye() * GOODBYES:
                with suppress(NetworkError):
                    self._datagrams.send(send.datagram, send.to)

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._datagrams is not None:
            self._datagrams.close()
            self._datagrams = None


def _plain(options: GossipStrategy, ctx: Discovery, announce_bytes: int = ANNOUNCE_BYTES) -> GossipEngine:
    return GossipEngine(
        ctx.local,
        ctx.fence,
        leaving=ctx.leaving,
        announce=ctx.announce,
        interval_s=options.interval_s,
        ttl_s=options.ttl_s,
        random=ctx.random.random,
        announce_bytes=announce_bytes,
    )


def _sealed(options: GossipStrategy, ctx: Discovery, sealing: Sealing) -> SealedEngine:
    from cluster_kit.strategies.gossip.sealed import SealedEngine  # who has no secret loads none of this
    from cluster_kit.wire.envelope import ENVELOPE_BYTES

    return SealedEngine(
        _plain(options, ctx, ANNOUNCE_BYTES - sealing.overhead_bytes - ENVELOPE_BYTES),
        sealing,
        fence=ctx.fence,
        ttl_s=options.ttl_s,
        random=ctx.random.random,
        key=ctx.network.random("gossip nonces").randbytes(KEY_BYTES),
    )
