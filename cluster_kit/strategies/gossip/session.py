"""One run of the strategy: feeds the engine, and carries out the engine's actions.

Datagrams are handled as they arrive. The run itself wakes up only when something is due or worth
reporting, since most datagrams repeat what is known. A network that fails is reported once, and
tried again each interval. Silence is judged by attended time, so a machine that was stopped and
continues finds no peer silent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from cluster_kit.abc import Discovery, Observation
from cluster_kit.attended import AttendedClock
from cluster_kit.errors import ClusterKitError, ConfigError, DiscoveryError, NetworkError
from cluster_kit.fault import Fault
from cluster_kit.network import Datagram, Datagrams, Group
from cluster_kit.reporter import Reporter
from cluster_kit.strategies.gossip.distrust import Distrusted, DistrustThrottle
from cluster_kit.strategies.gossip.engine import (
    ANNOUNCE_BYTES,
    Action,
    GossipEngine,
    IgnoredDatagram,
    Send,
    Sooner,
)
from cluster_kit.strategies.gossip.group import group_of, not_joined, not_sent
from cluster_kit.strategies.gossip.options import GossipOptions
from cluster_kit.throttle import Throttle
from cluster_kit.wire.gossip import MAX_DATAGRAM_BYTES

if TYPE_CHECKING:
    from cluster_kit.strategies.gossip.sealed import SealedEngine
    from cluster_kit.wire.sealing import Sealing

log = logging.getLogger("cluster_kit.gossip")

GOODBYES = 3  # sent at once, as one may get lost
MAX_QUEUED = 64  # observations that the worker has not taken; beyond, the session stops listening
KEY_BYTES = 32  # of nonces


class GossipSession:
    """Gossips as ``options`` say."""

    def __init__(self, options: GossipOptions, ctx: Discovery) -> None:
        self._options = options
        self._ctx = ctx
        self._loop = asyncio.get_running_loop()
        self._clock = AttendedClock(ctx.network.clock.monotonic_s, 2 * options.interval_s)
        sealing = ctx.security.sealing
        self._sealed = None if sealing is None else _sealed(options, ctx, sealing)
        self._engine = self._sealed or _plain(options, ctx)
        self._warnings = DistrustThrottle()
        self._throttle = Throttle()
        self._reporter = Reporter(ctx.announced)
        self._group: Group | None = None
        self._datagrams: Datagrams | None = None
        self._join_at_s: float | None = self._clock.now_s()  # None while the group works
        self._changed = False

    async def observe(self) -> AsyncGenerator[Observation, None]:
        """Yield what is heard, until closed."""
        watching = self._loop.create_task(self._watch(), name="gossip: changes of the local node")
        try:
            while True:
                await self._step()
                for observation in self._reporter.take():
                    yield observation
                await self._pause()
        except (asyncio.CancelledError, GeneratorExit):
            # not where the run fails: it restarts at once, and is not believed after a goodbye
            self._say_goodbye()
            raise
        finally:
            watching.cancel()
            self._close()

    async def _watch(self) -> None:
        while True:
            await self._ctx.changed()
            self._changed = True
            self._reporter.wake()

    # -- when to do something ----------------------------------------------------------------------

    async def _pause(self) -> None:
        """Wait until something is due, or there is something to report."""
        if self._datagrams is not None:
            self._datagrams.listen(self._received)
        due_s = [self._engine.next_s] if self._datagrams is not None else []
        if self._join_at_s is not None:
            due_s.append(self._join_at_s)
        await self._reporter.wait(min(due_s) - self._clock.now_s())

    async def _step(self) -> None:
        """Do everything that is due."""
        self._clock.tick()
        if self._join_at_s is not None and self._clock.now_s() >= self._join_at_s:
            await self._join()
        now_s = self._clock.now_s()
        if self._changed:
            self._changed = False
            self._engine.update(self._ctx.local, now_s, leaving=self._ctx.leaving)
        if self._datagrams is not None:
            self._carry_out(self._engine.tick(now_s))

    def _received(self, datagrams: Sequence[Datagram]) -> None:
        """Handle datagrams; nearly all repeat what is known, and a thousand nodes send many."""
        if self._datagrams is None:
            return
        actions = self._engine.receive(datagrams, self._clock.now_s())
        if not actions:
            return
        self._carry_out(actions)
        self._reporter.wake()
        if len(self._reporter) >= MAX_QUEUED:  # until these have been taken
            self._datagrams.pause()

    # -- what to do --------------------------------------------------------------------------------

    async def _join(self) -> None:
        self._join_at_s = self._clock.now_s() + self._options.interval_s
        try:
            group = await group_of(self._options, self._ctx.local.host, self._ctx.network)
        except ConfigError as error:
            self._reporter.failed(error)
            return
        try:
            datagrams = await self._ctx.network.join(group, max_bytes=MAX_DATAGRAM_BYTES)
        except NetworkError as error:
            self._reporter.failed(_retried(not_joined(group, error)))
            return
        if self._datagrams is not None:
            self._datagrams.close()
        self._group, self._datagrams = group, datagrams
        self._join_at_s = None
        if self._sealed is not None:
            self._sealed.hears_at(datagrams.here)
        if not self._ctx.announce:
            self._reporter.works()
        self._engine.start(self._clock.now_s())

    def _carry_out(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Send():
                    self._send(action)
                case IgnoredDatagram():
                    self._ignore(action.why)
                case Distrusted():
                    self._warn(action)
                case Sooner():  # the session wakes up anyway, and sees what is due
                    pass
                case _:
                    self._reporter.say(action)

    def _send(self, send: Send) -> None:
        assert self._datagrams is not None
        assert self._group is not None
        try:
            self._datagrams.send(send.datagram, send.to)
        except NetworkError as error:
            if self._join_at_s is None:
                self._join_at_s = self._clock.now_s() + self._options.interval_s
            self._reporter.failed(_retried(not_sent(self._group, error)))
        else:
            if send.to is None:
                self._join_at_s = None
                self._reporter.works()

    def _ignore(self, why: str) -> None:
        """Log an ignored datagram, once in a while."""
        if self._throttle.passes("ignored", self._clock.now_s()):
            log.debug("port %d: %s%s", self._options.port, why, self._throttle.more("ignored"))

    def _warn(self, distrusted: Distrusted) -> None:
        if self._warnings.passes(distrusted, self._clock.now_s()):
            log.warning("%s", distrusted)
        else:
            self._ignore(str(distrusted))

    # -- ending ------------------------------------------------------------------------------------

    def _say_goodbye(self) -> None:
        if self._datagrams is not None:
            for send in self._engine.goodbye() * GOODBYES:
                with suppress(NetworkError):
                    self._datagrams.send(send.datagram, send.to)

    def _close(self) -> None:
        if self._datagrams is not None:
            self._datagrams.close()
            self._datagrams = None


def _retried(fault: Fault) -> ClusterKitError:
    return DiscoveryError(f"gossip: {fault}; trying again", strategy="gossip")


def _plain(options: GossipOptions, ctx: Discovery, padded: int = ANNOUNCE_BYTES) -> GossipEngine:
    return GossipEngine(
        ctx.local,
        ctx.fence,
        leaving=ctx.leaving,
        announce=ctx.announce,
        interval_s=options.interval_s,
        ttl_s=options.ttl_s,
        random=ctx.random.random,
        announce_bytes=padded,
    )


def _sealed(options: GossipOptions, ctx: Discovery, sealing: Sealing) -> SealedEngine:
    # loaded only if there is a secret
    from cluster_kit.strategies.gossip.sealed import SealedEngine
    from cluster_kit.wire.envelope import ENVELOPE_BYTES

    return SealedEngine(
        _plain(options, ctx, ANNOUNCE_BYTES - sealing.overhead_bytes - ENVELOPE_BYTES),
        sealing,
        fence=ctx.fence,
        ttl_s=options.ttl_s,
        random=ctx.random.random,
        key=ctx.network.random("gossip nonces").randbytes(KEY_BYTES),
    )
