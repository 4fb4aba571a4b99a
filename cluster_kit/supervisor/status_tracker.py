"""Keeps what ``Supervisor.status()`` reports about one topology.

The supervising thread writes to it; other threads read under the bus's lock.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from cluster_kit.errors import name_taken
from cluster_kit.events import (
    Event,
    TopologyDegraded,
    TopologyEvent,
    TopologyReady,
    TopologyRecovered,
    TopologyRestarted,
)
from cluster_kit.pipe.messages import Inspected, SourceHealth
from cluster_kit.supervisor.status import (
    GoneStatus,
    LinkStatus,
    State,
    TopologyStatus,
    UnlinkedStatus,
)
from cluster_kit.supervisor.view import GONE_S, TopologyView


class StatusTracker:
    """The status of one topology.

    Args:
        view: Its nodes.
        sources: The names of its strategies.
    """

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

    def begin_serving(self, address: str | None) -> None:
        """Record that a new worker serves at ``address``; its strategies start without faults."""
        self.address = address
        self.announced = False
        self._sources = {name: SourceHealth(name, None) for name in self._sources}

    def announce(self) -> TopologyReady:
        """Note that the worker's strategies have announced this node; return the event for it."""
        self.announced = True
        return TopologyReady(topology=self._view.topology, address=self.address, t=time.time())

    def count_restart(self) -> TopologyRestarted:
        """Note that another worker is started; return the event for it."""
        self.restarts += 1
        error = self.last_error or ""
        topology, t = self._view.topology, time.time()
        return TopologyRestarted(topology=topology, error=error, restarts=self.restarts, t=t)

    def source_changed(self, health: SourceHealth) -> Iterator[Event]:
        """Record a strategy's health; yield the event that follows for the topology, if any."""
        was_degraded = self.degraded
        self._sources[health.source] = health
        if health.error is not None:
            self.last_error = health.error
        topology, t = self._view.topology, time.time()
        if self.degraded and not was_degraded:
            yield TopologyDegraded(topology=topology, error=health.error or "", t=t)
        elif was_degraded and not self.degraded:
            yield TopologyRecovered(topology=topology, t=t)

    def note(self, event: Event) -> None:
        """Record an event of the worker.

        A name conflict becomes the last error: otherwise the one of two processes of that name
        which gets no links would look healthy.
        """
        match event:
            case TopologyEvent(kind="name_conflict", data={"name": str(name)}):
                self.last_error = name_taken(name)

    def status(
        self, inspected: Inspected, *, finished: bool, crash_looping: bool
    ) -> TopologyStatus:
        """Return the topology's status; ``inspected`` is the latest answer of its worker."""
        view = self._view
        return TopologyStatus(
            name=view.topology,
            state=self._state(finished=finished, crash_looping=crash_looping),
            pid=self.pid,
            address=self.address,
            restarts=self.restarts,
            last_error=self.last_error,
            sources={name: health.error for name, health in self._sources.items()},
            known=tuple(view.known[key] for key in sorted(view.known)),
            links=tuple(self._links(inspected)),
            unlinked=tuple(self._unlinked(inspected)),
            failing=inspected.failing,
            gone=tuple(self._gone()),
        )

    def _state(self, *, finished: bool, crash_looping: bool) -> State:
        if finished:
            return State.STOPPED
        if crash_looping:
            return State.CRASH_LOOPING
        if self.degraded:
            return State.DEGRADED
        return State.READY if self.announced else State.STARTING

    def _links(self, inspected: Inspected) -> Iterator[LinkStatus]:
        now = time.time()
        for key, node in sorted(self._view.up.items()):
            yield LinkStatus(
                node=node,
                age_s=max(0.0, now - self._view.up_since[key]),
                rtt_s=inspected.rtts.get(key),
                secrets=tuple(each.hex() for each in inspected.secrets.get(key, ())),
            )

    def _unlinked(self, inspected: Inspected) -> Iterator[UnlinkedStatus]:
        known, up = self._view.known, self._view.up
        for each in inspected.unlinked:
            if each.key in known and each.key not in up:
                yield UnlinkedStatus(
                    node=known[each.key], reason=each.reason, tries=each.tries, next_s=each.next_s
                )

    def _gone(self) -> Iterator[GoneStatus]:
        now = time.time()
        for each in self._view.gone.values():
            if now - each.t < GONE_S:
                age_s = max(0.0, now - each.t)
                yield GoneStatus(node=each.node, reason=each.reason, age_s=age_s)
