"""What a keeper writes down about its topology, for ``Supervisor.status()``.

Written on the supervising thread, read by any under the bus's lock. Holds no process.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from cluster_kit.errors import name_taken
from cluster_kit.events import Event, TopologyDegraded, TopologyEvent, TopologyRecovered
from cluster_kit.supervisor.status import GoneStatus, LinkStatus, State, TopologyStatus, UnlinkedStatus
from cluster_kit.supervisor.view import GONE_S, TopologyView
from cluster_kit.worker.messages import Inspected, SourceHealth


class Account:
    """How one topology is doing, whose strategies are called ``sources``."""

    def __init__(self, view: TopologyView, sources: Iterable[str]) -> None:
        self.pid: int | None = None
        self.address: str | None = None
        self.announced = False
        self.restarts = 0
        self.last_error: str | None = None
        self._view = view
        self._sources = {name: SourceHealth(name, None) for name in sources}

    @property
    def degraded(self) -> bool:
        """Whether a strategy fails too often."""
        return any(health.degraded for health in self._sources.values())

    def serving(self, address: str | None) -> None:
        """A worker serves; its strategies begin afresh."""
        self.address = address
        self.announced = False
        self._sources = {name: SourceHealth(name, None) for name in self._sources}

    def source_changed(self, health: SourceHealth) -> Iterator[Event]:
        """A strategy works again, or fails; yield what that makes of the topology."""
        was_degraded = self.degraded
        self._sources[health.source] = health
        if health.error is not None:
            self.last_error = health.error
        if self.degraded and not was_degraded:
            yield TopologyDegraded(topology=self._view.topology, error=health.error or "", t=time.time())
        elif was_degraded and not self.degraded:
            yield TopologyRecovered(topology=self._view.topology, t=time.time())

    def told(self, event: Event) -> None:
        """An event passed by: of two live processes of one name, the one that is shut out would look healthy."""
        match event:
            case TopologyEvent(kind="name_conflict", data={"name": str(name)}):
                self.last_error = name_taken(name)

    def status(self, inspected: Inspected, *, finished: bool, crash_looping: bool) -> TopologyStatus:
        """Return how the topology is doing, with what its worker has just told."""
        view = self._view
        now = time.time()
        return TopologyStatus(
            name=view.topology,
            state=self._state(finished=finished, crash_looping=crash_looping),
            pid=self.pid,
            address=self.address,
            restarts=self.restarts,
            last_error=self.last_error,
            sources={name: health.error for name, health in self._sources.items()},
            known=tuple(view.known[key] for key in sorted(view.known)),
            links=tuple(
                LinkStatus(
                    node=node,
                    age_s=max(0.0, now - view.up_since[key]),
                    rtt_s=inspected.rtts.get(key),
                    secrets=tuple(each.hex() for each in inspected.secrets.get(key, ())),
                )
                for key, node in sorted(view.up.items())
            ),
            unlinked=tuple(
                UnlinkedStatus(node=view.known[each.key], reason=each.reason, tries=each.tries, next_s=each.next_s)
                for each in inspected.unlinked
                if each.key in view.known and each.key not in view.up
            ),
            failing=inspected.failing,
            gone=tuple(
                GoneStatus(node=each.node, reason=each.reason, age_s=max(0.0, now - each.t))
                for each in view.gone.values()
                if now - each.t < GONE_S
            ),
        )

    def _state(self, *, finished: bool, crash_looping: bool) -> State:
        if finished:
            return State.STOPPED
        if crash_looping:
            return State.CRASH_LOOPING
        if self.degraded:
            return State.DEGRADED
        return State.READY if self.announced else State.STARTING
