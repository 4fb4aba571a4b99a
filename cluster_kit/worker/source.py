"""Runs one strategy: feeds its observations to the worker, restarts it when it raises, and knows
its health.

A strategy that raises is restarted here, with back-off, while links and roster stay as they are.
One that raises too often is
degraded: it goes on being restarted, at the longest back-off. One that floods gives way to
    everything else.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable

from cluster_kit.abc import Failed, Found, Observation, Seen, Strategy
from cluster_kit.config import ChildSpec
from cluster_kit.errors import described, text_of
from cluster_kit.membership.reports import Observed, Report, SourceFails, SourceWorks
from cluster_kit.membership.retry import Backoff, Intensity
from cluster_kit.network import Network
from cluster_kit.node import Fence, Node
from cluster_kit.security import Security
from cluster_kit.worker.foreign import CLOSE_S, attempt
from cluster_kit.worker.local_node import LocalNode
from cluster_kit.worker.messages import SourceHealth
from cluster_kit.worker.observed import check_observation, checked_stream

log = logging.getLogger("cluster_kit.worker")

_BATCH = 128  # observations between two turns of the event loop: about a millisecond of work
_FIRST_RESTART_S = 0.1
_LAST_RESTART_S = 15.0
_TELL_S = 1.0  # between two words on the health of a source that changes all the time


class Context:
    """The ``Discovery`` that one strategy sees.

    Args:
        name: What its source is called.
        here: This node.
        announced: Called when this node is announced.
    """

    def __init__(self, name: str, here: LocalNode, announced: Callable[[], None]) -> None:
        self._here = here
        self._changed = asyncio.Event()
        self.announced = announced
        self.random = here.network.random(f"strategy {name}")
        self.found: frozenset[Node] = frozenset()

    @property
    def local(self) -> Node:
        """This node as it is now."""
        return self._here.node

    @property
    def leaving(self) -> bool:
        """Whether this node is about to leave."""
        return self._here.leaving

    @property
    def announce(self) -> bool:
        """Whether the strategy may make this node known."""
        return self._here.announce

    @property
    def fence(self) -> Fence:
        """Cluster and group."""
        return self._here.fence

    @property
    def network(self) -> Network:
        """The way to the outside."""
        return self._here.network

    @property
    def security(self) -> Security:
        """Protects what is sent."""
        return self._here.security

    async def changed(self) -> None:
        """Wait for the next change."""
        await self._changed.wait()
        self._changed.clear()

    def notify(self) -> None:
        """Wake the strategy that waits in ``changed``."""
        self._changed.set()


class Source:
    """One strategy at work, from ``run`` until that is cancelled.

    Args:
        name: What the source is called.
        strategy: What runs.
        child_spec: How often it may raise.
        here: This node.
        report: Handles at once what the source says, and that it begins to fail or works again.
        tell: Handles the health of the source, from time to time.
        announced: Called when this node is announced.
    """

    def __init__(
        self,
        name: str,
        strategy: Strategy,
        child_spec: ChildSpec,
        *,
        here: LocalNode,
        report: Callable[[Report], None],
        tell: Callable[[SourceHealth], None],
        announced: Callable[[], None],
    ) -> None:
        self.name = name
        self._strategy = strategy
        self._report = report
        self._tell = tell
        self._announced = announced
        self._calm_s = child_spec.max_seconds
        self._intensity = Intensity(child_spec.max_restarts, child_spec.max_seconds)
        self._backoff = Backoff(_FIRST_RESTART_S, _LAST_RESTART_S)
        self._crashes = 0
        self._degraded = False
        self._crash: str | None = None
        self._fault: str | None = None
        self._failing = False
        self._told = SourceHealth(name, None)
        self._told_at_s = -math.inf
        self._telling: asyncio.Handle | None = None
        self.context = Context(name, here, self._made_known)

    async def run(self) -> None:
        """Run the strategy until it ends normally; cancel to make it say goodbye."""
        loop = asyncio.get_running_loop()
        while True:
            started_s = loop.time()
            calm = loop.call_later(self._calm_s, self._settled)
            try:
                error = (await attempt(self._consume)).error
            finally:
                calm.cancel()
            if error is None:
                self._settled()
                return
            self._crashed(error, ran_s=loop.time() - started_s, now_s=loop.time())
            jitter = self.context.random.random()
            await asyncio.sleep(
                _LAST_RESTART_S * jitter
                if self._degraded
                else self._backoff.delay_s(self._crashes, jitter)
            )

    async def _consume(self) -> None:
        observations = checked_stream(self._strategy.discover(self.context))
        try:
            if not self._strategy.announces:
                self._announced()
            count = 0
            async for observation in observations:
                self._heard(observation)
                count += 1
                if count % _BATCH == 0:
                    await asyncio.sleep(0)
        finally:
            close = getattr(observations, "aclose", None)
            if close is not None:
                await self._closed(close)

    async def _closed(self, close: Callable[[], Awaitable[None]]) -> None:
        """Close the generator in the task that ran it, but wait no longer for it than for a
        goodbye.
        """
        try:
            async with asyncio.timeout(CLOSE_S):
                await close()
        except TimeoutError:
            log.warning("%s: the strategy did not come to its end within %g s", self.name, CLOSE_S)

    def _heard(self, observation: Observation) -> None:
        check_observation(observation)
        if self._fault is not None or not isinstance(observation, Seen):
            self._judge(observation)
        self._report(Observed(self.name, observation))

    def _judge(self, observation: Observation) -> None:
        """Take from an observation how the source itself is doing."""
        fault = text_of(observation.error) if isinstance(observation, Failed) else None
        if fault != self._fault:
            self._fault = fault
            self._update_health()
        if isinstance(observation, Found):
            self.context.found = observation.nodes

    def _made_known(self) -> None:
        """The strategy has announced this node, for the first time or again: what failed before
        works.
        """
        self._fault = None
        self._update_health()
        self._announced()

    def _crashed(self, exc: BaseException, *, ran_s: float, now_s: float) -> None:
        self._crashes = 1 if ran_s > self._calm_s else self._crashes + 1
        self._crash = f"strategy {self.name!r} raised {described(exc)}"
        too_often = self._intensity.add(now_s)
        if self._crashes == 1:
            log.error("%s; restarting it, links stay up", self._crash, exc_info=exc)
        elif too_often and not self._degraded:
            log.error(
                "%s; it raises too often: degraded, links stay up, restarting it slowly",
                self._crash,
            )
        self._degraded = self._degraded or too_often
        self._update_health()

    def _settled(self) -> None:
        """It has run for a whole restart window, or ended normally: forget its crashes."""
        self._crashes = 0
        self._crash = None
        self._degraded = False
        self._update_health()

    def _update_health(self) -> None:
        """Have the health told, if that has changed: once all that was observed together is in,
        unless it was told just now.
        """
        health = self._health()
        if self._failing != (health.error is not None):
            self._failing = not self._failing
            self._report(SourceFails(self.name) if self._failing else SourceWorks(self.name))
        if self._telling is not None or health == self._told:
            return
        loop = asyncio.get_running_loop()
        if loop.time() >= self._told_at_s + _TELL_S:
            self._telling = loop.call_soon(self._tell_health)
        else:
            self._telling = loop.call_at(self._told_at_s + _TELL_S, self._tell_health)

    def _health(self) -> SourceHealth:
        return SourceHealth(self.name, self._crash or self._fault, self._degraded)

    def _tell_health(self) -> None:
        self._telling = None
        health = self._health()
        if health == self._told:
            return
        if health.error is None:
            log.info("%s: source works again", self.name)
        elif self._fault is not None and self._fault != self._told.error:
            log.warning("%s: source failed: %s; what was known is kept", self.name, self._fault)
        self._told = health
        self._told_at_s = asyncio.get_running_loop().time()
        self._tell(health)
