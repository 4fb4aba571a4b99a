"""Drives the membership of one topology: reports go in, commands and events come out.

All reports of one turn of the event loop are settled together in the next turn, in a single step of
the membership. So a thousand reports cost one step rather than a thousand.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from cluster_kit.attended import AttendedClock
from cluster_kit.events import Event
from cluster_kit.membership import reports
from cluster_kit.membership.membership import Effects, Membership
from cluster_kit.membership.reconciler import Command
from cluster_kit.membership.reports import Report
from cluster_kit.membership.selection import TopologyError
from cluster_kit.network import Clock
from cluster_kit.pipe.messages import BEAT_S, CannotServe
from cluster_kit.worker.host_process import EXIT_BROKEN, HostProcess
from cluster_kit.worker.outbox import Outbox
from cluster_kit.worker.plugin_calls import as_config_error

log = logging.getLogger("cluster_kit.worker")


class MembershipDriver:
    """Collects reports, steps the membership, starts its commands and publishes its events.

    Whatever carries out the commands reports how each ended, so it needs the driver. Therefore it
    is set later than all else: as ``execute``, before the first step.

    Args:
        membership: What it drives.
        max_nodes: How many nodes the membership holds at most.
        outbox: Takes the events.
        loop: The worker's.
        wall_clock: Dates the events.
        stopping: Set once this worker is to leave.
        process: Ended at once if the topology plugin fails; the next worker may fare better.

    Attributes:
        clock: The membership's time, in which silence is judged.
        execute: Starts a command without waiting for it.
    """

    def __init__(
        self,
        membership: Membership,
        max_nodes: int,
        outbox: Outbox,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: AttendedClock,
        wall_clock: Clock,
        stopping: asyncio.Event,
        process: HostProcess,
    ) -> None:
        self._membership = membership
        self._max_nodes = max_nodes
        self._outbox = outbox
        self._loop = loop
        self.clock = clock
        self.execute: Callable[[Command], None]
        self._wall_clock = wall_clock
        self._stopping = stopping
        self._process = process
        self._reports: list[Report] = []
        self._settling: asyncio.Handle | None = None
        self._wake_up: asyncio.TimerHandle | None = None
        self._warned_of_max_nodes = False

    def report(self, report: Report) -> None:
        """Pass ``report`` to the membership, together with all others of this turn."""
        self._reports.append(report)
        self.settle_soon()

    def settle_soon(self) -> None:
        """Settle in the next turn of the event loop, once, however often this is called."""
        if self._settling is None:
            self._settling = self._loop.call_soon(self.settle)

    def settle(self, *last: Report) -> None:
        """Step the membership with all reports up to ``last``, and act on the effects."""
        self._settling = None
        self._reports += last
        if self._stopping.is_set():
            self._reports.append(reports.Stopping())
        effects = self._step()
        for command in effects.commands:
            self.execute(command)
        self._wake_up_at(effects.wake_at_s)
        self._publish(effects.events)

    def publish(self, event: Event) -> None:
        """Publish ``event``, after the events that follow from earlier reports."""
        self.settle()
        self._publish([event])

    def _step(self) -> Effects:
        new, self._reports = self._reports, []
        try:
            effects = self._membership.step(new, self.clock.now_s())
        except TopologyError as exc:
            log.exception("the topology raised", exc_info=exc.__cause__)
            self._outbox.send_last(CannotServe(as_config_error(exc.__cause__ or exc, "topology")))
            self._process.end(EXIT_BROKEN)
        if self._membership.overflowing_source and not self._warned_of_max_nodes:
            self._warned_of_max_nodes = True
            text = "%s: more than max_nodes %d nodes found: the others are ignored; raise max_nodes"
            log.warning(text, self._membership.overflowing_source, self._max_nodes)
        return effects

    def _wake_up_at(self, time_s: float | None) -> None:
        """Settle again at ``time_s``, unless the worker's next beat comes first anyway."""
        if self._wake_up is not None:
            self._wake_up.cancel()
            self._wake_up = None
        now_s = self.clock.now_s()
        if time_s is not None and time_s < now_s + BEAT_S and not self._stopping.is_set():
            self._wake_up = self._loop.call_later(time_s - now_s, self.settle_soon)

    def _publish(self, events: Sequence[Event]) -> None:
        if events:
            now_s = self._wall_clock.wall_s()
            for event in events:
                # Nobody has seen the event yet, and a copy would cost more than all the rest.
                object.__setattr__(event, "t", now_s)
            self._outbox.publish(tuple(events))
