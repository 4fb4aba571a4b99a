"""What plugins report to: ``LinkReceiver`` for the connector, ``SourceReceiver`` for strategies.

Most reports go on to the membership. Payloads go to the application, as do name conflicts and other
events of a connector; the health of a source goes to the supervisor.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from cluster_kit.abc import Observation, Seen
from cluster_kit.errors import name_taken
from cluster_kit.events import Reason, TopologyEvent
from cluster_kit.membership import reports
from cluster_kit.membership.membership import Membership
from cluster_kit.membership.sources import EXCHANGE
from cluster_kit.node import Node
from cluster_kit.pipe.messages import Announced, SourceHealth
from cluster_kit.throttle import Throttle
from cluster_kit.worker.forwarding import Forwarding
from cluster_kit.worker.local_node import LocalNode
from cluster_kit.worker.membership_driver import MembershipDriver
from cluster_kit.worker.outbox import Outbox
from cluster_kit.worker.plugin_values import check_plain

log = logging.getLogger("cluster_kit.worker")


class LinkReceiver:
    """The ``LinkReport`` of one connector.

    A connector is a plugin: if it passes what its contract doesn't allow, its own call raises
    ``TypeError`` or ``ValueError``.

    Attributes:
        rtts: The latest round-trip time to each linked node, in seconds.
        secret_ids: The ids of the secrets that each linked node holds; it uses the first.
    """

    def __init__(
        self,
        membership: Membership,
        driver: MembershipDriver,
        forwarding: Forwarding,
        *,
        here: LocalNode,
        partial: bool,
    ) -> None:
        assert here.node.boot_id is not None, "a worker has one from its start"
        self.fence = here.fence
        self.boot_id = here.node.boot_id
        self.partial = partial
        self.network = here.network
        self.security = here.security
        self.rtts: dict[str, float] = {}
        self.secret_ids: dict[str, tuple[bytes, ...]] = {}
        self._membership = membership
        self._driver = driver
        self._forwarding = forwarding
        self._throttle = Throttle()

    @property
    def greeting(self) -> bytes:
        """See ``LinkReport.greeting``."""
        return self._forwarding.greeting

    def up(self, node: Node, *, greeting: bytes | None = None, told: bytes = b"") -> None:
        """See ``LinkReport.up``."""
        self._forwarding.up(node, greeting, told)
        self._driver.report(reports.LinkUp(node))

    def message(self, node: Node, payload: bytes) -> None:
        """See ``LinkReport.message``."""
        self._forwarding.message(node, payload)

    def down(self, node: Node, reason: Reason) -> None:
        """See ``LinkReport.down``."""
        self._forwarding.down(node)
        self.rtts.pop(node.key, None)
        self.secret_ids.pop(node.key, None)
        self._driver.report(reports.LinkDown(node, Reason(reason)))

    def updated(self, node: Node) -> None:
        """See ``LinkReport.updated``."""
        self._driver.report(reports.LinkUpdated(node))

    def leaving(self, node: Node) -> None:
        """See ``LinkReport.leaving``."""
        self._driver.report(reports.LinkLeaving(node))

    def knows(self, node: Node) -> bool:
        """See ``LinkReport.knows``."""
        return self._membership.vouches_for(node)

    def hint(self, node: Node, ttl_s: float) -> None:
        """See ``LinkReport.hint``."""
        self._driver.report(reports.Observed(EXCHANGE, Seen(node, ttl_s)))

    def rtt(self, node: Node, seconds: float) -> None:
        """See ``LinkReport.rtt``."""
        self.rtts[node.key] = seconds

    def secrets(self, node: Node, ids: tuple[bytes, ...]) -> None:
        """See ``LinkReport.secrets``."""
        self.secret_ids[node.key] = ids

    def event(self, kind: str, data: Any) -> None:
        """See ``LinkReport.event``."""
        kind = str.__str__(kind)
        check_plain(data, f"event {kind!r}")
        if kind == "name_conflict" and isinstance(data, dict):
            self.warn_of_conflict(str(data.get("name")))
        self._driver.publish(TopologyEvent(topology=self._membership.name, kind=kind, data=data))

    def warn_of_conflict(self, name: str) -> None:
        """Warn once a minute that another node has this name, however many parts notice it."""
        if self._throttle.passes(name, self._driver.clock.now_s()):
            log.warning("%s", name_taken(name))


class SourceReceiver:
    """Receives the reports of all strategies of one topology.

    Args:
        driver: Passes observations to the membership.
        outbox: Sends the rest to the supervisor.
        links: Reports name conflicts to the application.
        here: This node.
        sources: The names of all sources.
        stopping: Set once this worker is to leave.
    """

    def __init__(
        self,
        driver: MembershipDriver,
        outbox: Outbox,
        links: LinkReceiver,
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
        """Report an observation; it may reveal that another node has this one's name."""
        if isinstance(observation, Seen) and observation.node.name == self._here.node.name:
            self._report_conflict(observation.node)
        self._driver.report(reports.Observed(source, observation))

    def _report_conflict(self, twin: Node) -> None:
        if twin.boot_id in (None, self._here.node.boot_id):  # it is this node itself
            return
        if self._throttle.passes("conflict", self._driver.clock.now_s()):
            data = {"name": twin.name, "boot_id": str(twin.boot_id)}
            self._links.event("name_conflict", data)

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
        """Note that a source has announced this node; report it once all of them have."""
        if source in self._unannounced:
            self._unannounced.discard(source)
            if not self._unannounced and not self._stopping.is_set():
                self._outbox.send(Announced())
