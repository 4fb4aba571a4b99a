"""Runs one strategy: reports its observations, restarts it when it raises, and knows its health.

A strategy that raises is restarted with back-off, while links and roster stay as they are. One that
raises too often is *degraded*: it is still restarted, but only at the longest back-off. A strategy
that yields without pause lets other tasks run after each batch.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable

from cluster_kit.abc import Failed, Found, Observation, Seen, Strategy
from cluster_kit.config import ChildSpec
from cluster_kit.errors import described, text_of
from cluster_kit.node import Node
from cluster_kit.pipe.messages import SourceHealth
from cluster_kit.retry import Backoff, Intensity
from cluster_kit.worker.local_node import LocalNode
from cluster_kit.worker.plugin_calls import CLOSE_S, attempt
from cluster_kit.worker.plugin_values import check_observation, checked_stream
from cluster_kit.worker.report_receivers import SourceReceiver

log = logging.getLogger("cluster_kit.worker")

_BATCH = 128  # observations between two turns of the event loop: about a millisecond of work
_FIRST_RESTART_S = 0.1
_LAST_RESTART_S = 15.0
_HEALTH_S = 1.0  # between two reports on the health of a source that changes all the time


class StrategyContext:
    """The ``Discovery`` that one strategy sees.

    Args:
        name: The name of its source.
        here: This node.
        announced: Called when the strategy has announced this node.
    """

    def __init__(self, name: str, here: LocalNode, announced: Callable[[], None]) -> None:
        self.fence = here.fence
        self.network = here.network
        self.security = here.security
        self.announce = here.announce
        self.announced = announced
        self.random = here.network.random(f"strategy {name}")
        self.found: frozenset[Node] = frozenset()
        self._here = here
        self._changed = asyncio.Event()

    @property
    def local(self) -> Node:
        """See ``Discovery.local``."""
        return self._here.node

    @property
    def leaving(self) -> bool:
        """See ``Discovery.leaving``."""
        return self._here.leaving

    async def changed(self) -> None:
        """See ``Discovery.changed``."""
        await self._changed.wait()
        self._changed.clear()

    def notify(self) -> None:
        """Wake the strategy that waits in ``changed``."""
        self._changed.set()


class StrategyRunner:
    """Runs one strategy, from ``run`` until that is cancelled.

    Args:
        name: The name of the source.
        strategy: What it runs.
        child_spec: How often the strategy may raise.
        here: This node.
        receiver: Gets each observation at once, and the health of the source at intervals.
    """

    def __init__(
        self,
        name: str,
        strategy: Strategy,
        child_spec: ChildSpec,
        *,
        here: LocalNode,
        receiver: SourceReceiver,
    ) -> None:
        self.name = name
        self._strategy = strategy
        self._receiver = receiver
        self._calm_s = child_spec.max_seconds
        self._intensity = Intensity(child_spec.max_restarts, child_spec.max_seconds)
        self._backoff = Backoff(_FIRST_RESTART_S, _LAST_RESTART_S)
        self._crashes = 0  # in a row
        self._crash: str | None = None  # how the strategy raised last, until it has run for long
        self._fault: str | None = None  # what it said last of its source, if that was ``Failed``
        self._degraded = False
        self._failing = False  # the membership knows that the source fails
        self._reported = SourceHealth(name, None)  # what the supervisor knows
        self._reported_at_s = -math.inf
        self._reporting: asyncio.Handle | None = None
        self.context = StrategyContext(name, here, self._announced)

    async def run(self) -> None:
        """Run the strategy until it ends normally; cancel this to make it say goodbye."""
        loop = asyncio.get_running_loop()
        while True:
            started_s = loop.time()
            calm = loop.call_later(self._calm_s, self._forget_crashes)
            try:
                error = (await attempt(self._consume)).error
            finally:
                calm.cancel()
            if error is None:
                self._forget_crashes()
                return
            self._crashed(error, ran_s=loop.time() - started_s, now_s=loop.time())
            jitter = self.context.random.random()
            if self._degraded:
                await asyncio.sleep(_LAST_RESTART_S * jitter)
            else:
                await asyncio.sleep(self._backoff.delay_s(self._crashes, jitter))

    async def _consume(self) -> None:
        observations = checked_stream(self._strategy.discover(self.context))
        try:
            if not self._strategy.announces:
                self._receiver.announced(self.name)
            count = 0
            async for observation in observations:
                self._observed(observation)
                count += 1
                if count % _BATCH == 0:
                    await asyncio.sleep(0)
        finally:
            close = getattr(observations, "aclose", None)
            if close is not None:
                await self._close(close)

    async def _close(self, close: Callable[[], Awaitable[None]]) -> None:
        """Close the generator in the task that ran it, within the time that a goodbye may take."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await close()
        except TimeoutError:
            log.warning("%s: the strategy did not end within %g s", self.name, CLOSE_S)

    def _observed(self, observation: Observation) -> None:
        check_observation(observation)
        if self._fault is not None or not isinstance(observation, Seen):
            self._judge(observation)
        self._receiver.observed(self.name, observation)

    def _judge(self, observation: Observation) -> None:
        """Infer the health of the source from an observation."""
        fault = text_of(observation.error) if isinstance(observation, Failed) else None
        if fault != self._fault:
            self._fault = fault
            self._update_health()
        if isinstance(observation, Found):
            self.context.found = observation.nodes

    def _announced(self) -> None:
        """Note that the strategy has announced this node: an earlier fault is over."""
        self._fault = None
        self._update_health()
        self._receiver.announced(self.name)

    def _crashed(self, exc: BaseException, *, ran_s: float, now_s: float) -> None:
        self._crashes = 1 if ran_s > self._calm_s else self._crashes + 1
        self._crash = f"strategy {self.name!r} raised {described(exc)}"
        too_often = self._intensity.add(now_s)
        if self._crashes == 1:
            log.error("%s; restarting it, links stay up", self._crash, exc_info=exc)
        elif too_often and not self._degraded:
            text = "%s; it raises too often: degraded, links stay up, restarting it slowly"
            log.error(text, self._crash)
        self._degraded = self._degraded or too_often
        self._update_health()

    def _forget_crashes(self) -> None:
        """Note that the strategy has run for a whole restart window, or ended normally."""
        self._crashes = 0
        self._crash = None
        self._degraded = False
        self._update_health()

    def _update_health(self) -> None:
        """Report failure or recovery to the membership at once, and the health itself soon.

        "Soon" is after everything that was observed together, and not more than once in
        ``_HEALTH_S``: a source may fail in a different way with each observation.
        """
        health = self._health()
        if self._failing != (health.error is not None):
            self._failing = not self._failing
            report = self._receiver.fails if self._failing else self._receiver.works
            report(self.name)
        if self._reporting is not None or health == self._reported:
            return
        loop = asyncio.get_running_loop()
        if loop.time() >= self._reported_at_s + _HEALTH_S:
            self._reporting = loop.call_soon(self._report_health)
        else:
            self._reporting = loop.call_at(self._reported_at_s + _HEALTH_S, self._report_health)

    def _health(self) -> SourceHealth:
        return SourceHealth(self.name, self._crash or self._fault, self._degraded)

    def _report_health(self) -> None:
        self._reporting = None
        health = self._health()
        if health == self._reported:
            return
        if health.error is None:
            log.info("%s: source works again", self.name)
        elif self._fault is not None and self._fault != self._reported.error:
            log.warning("%s: source failed: %s; known nodes are kept", self.name, self._fault)
        self._reported = health
        self._reported_at_s = asyncio.get_running_loop().time()
        self._receiver.health(health)
