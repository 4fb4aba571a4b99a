"""What strategies report, on its way to the membership and to the supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from cluster_kit.abc import Observation, Seen
from cluster_kit.membership import reports
from cluster_kit.node import BootId
from cluster_kit.throttle import Throttle
from cluster_kit.worker.link_reporter import LinkReporter
from cluster_kit.worker.local_node import LocalNode
from cluster_kit.worker.membership_driver import MembershipDriver
from cluster_kit.worker.messages import Announced, SourceHealth
from cluster_kit.worker.outbox import Outbox


class SourceReporter:
    """Takes the reports of all strategies of one topology.

    Args:
        driver: Takes what is for the membership.
        outbox: Takes what is for the supervisor.
        links: Tells the application about name conflicts.
        here: This node.
        sources: The names of all sources.
        stopping: Set once this worker is to leave.
    """

    def __init__(
        self,
        driver: MembershipDriver,
        outbox: Outbox,
        links: LinkReporter,
        *,
        here: LocalNode,
        sources: Iterable[str],
        stopping: asyncio.Event,
    ) -> None:
        self._driver = driver
        self._outbox = outbox
        self._links = links
        self._here = here
        self._unannounced = set(sources)
        self._stopping = stopping
        self._throttle = Throttle()

    def observed(self, source: str, observation: Observation) -> None:
        """Report an observation, which may reveal another node with the name of this one."""
        if isinstance(observation, Seen) and observation.node.name == self._here.node.name:
            self._report_conflict(observation.node.boot_id)
        self._driver.report(reports.Observed(source, observation))

    def works(self, source: str) -> None:
        """Report that a source works again."""
        self._driver.report(reports.SourceWorks(source))

    def fails(self, source: str) -> None:
        """Report that a source no longer works."""
        self._driver.report(reports.SourceFails(source))

    def health(self, health: SourceHealth) -> None:
        """Report the health of a source to the supervisor."""
        self._outbox.send(health)

    def announced(self, source: str) -> None:
        """Report, once, that all sources have announced this node, ``source`` being the last."""
        if source in self._unannounced:
            self._unannounced.discard(source)
            if not self._unannounced and not self._stopping.is_set():
                self._outbox.send(Announced())

    def _report_conflict(self, boot_id: BootId | None) -> None:
        name, own_boot_id = self._here.node.name, self._here.node.boot_id
        if boot_id in (None, own_boot_id):  # it is this node itself
            return
        if self._throttle.passes("conflict", self._driver.clock.now_s()):
            self._links.event("name_conflict", {"name": name, "boot_id": str(boot_id)})
